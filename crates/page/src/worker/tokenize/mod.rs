//! Text to tokens, by any vocabulary. The corpus that some of them are learnt from is fetched when one of these is first asked for.

mod corpus;
mod split;
#[cfg(test)]
mod tests;

use inkling_core::tokenizer::{ByteTokenizer, Tokenizer};

use self::corpus::Corpus;
use self::split::split;
use super::Workshop;
use crate::protocol::tokenize::{Grow, Grown, Learn, Learnt, Tokenize, Vocabulary};
use crate::protocol::{Answer, Call, Failure, Id};

/// Vocabularies that are not the model's.
#[derive(Default)]
pub struct Tokenizers {
    corpus: Option<Corpus>,
    /// Whether it is on its way.
    fetching: bool,
    /// What cannot be answered before the corpus is there.
    waiting: Vec<(Id, Call)>,
}

impl Tokenizers {
    /// Nobody waits for it any more.
    pub fn cancel(&mut self, id: Id) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
    }
}

/// A token as text; bytes that are no text alone as `\xNN`.
pub fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    tokenizer.token_text(id).unwrap_or_default()
}

impl Workshop {
    pub(super) fn tokenize(&mut self, id: Id, call: Tokenize) {
        let answer = match call.by {
            Vocabulary::Model => self.loaded().and_then(|model| split(&model.checkpoint.tokenizer, &call.text)),
            Vocabulary::Byte => split(&ByteTokenizer.into(), &call.text),
            Vocabulary::Char => match &self.tokenizers.corpus {
                Some(corpus) => split(&corpus.characters(), &call.text),
                None => return self.wait_for_corpus(id, Call::Tokenize(call)),
            },
            Vocabulary::Bpe { merges } => match &mut self.tokenizers.corpus {
                Some(corpus) => split(corpus.pairs(merges), &call.text),
                None => return self.wait_for_corpus(id, Call::Tokenize(call)),
            },
        };
        self.done(id, answer.map(Answer::Tokenize));
    }

    pub(super) fn learn(&mut self, id: Id, call: Learn) {
        let learnt: Option<Learnt> = self.tokenizers.corpus.as_ref().map(Corpus::learnt);
        match learnt {
            Some(learnt) => self.done(id, Ok(Answer::Learn(learnt))),
            None => self.wait_for_corpus(id, Call::Learn(call)),
        }
    }

    pub(super) fn grow(&mut self, id: Id, call: Grow) {
        let grown: Option<Grown> = self.tokenizers.corpus.as_ref().map(|corpus| corpus.grow(&call.text));
        match grown {
            Some(grown) => self.done(id, Ok(Answer::Grow(grown))),
            None => self.wait_for_corpus(id, Call::Grow(call)),
        }
    }

    fn wait_for_corpus(&mut self, id: Id, call: Call) {
        self.tokenizers.waiting.push((id, call));
        self.fetch_corpus();
    }

    /// The first to wait has it fetched; after a failure nobody waits, and the next one tries again.
    pub(super) fn fetch_corpus(&mut self) {
        if !self.tokenizers.fetching {
            self.tokenizers.fetching = true;
            self.downloads.begin_corpus();
        }
    }

    /// Learns from the corpus, if it has come, and answers who waits for it.
    pub(super) fn corpus_fetched(&mut self, corpus: Result<Vec<u8>, Failure>) {
        self.tokenizers.fetching = false;
        self.corpus_for_runs(&corpus);
        let waiting = std::mem::take(&mut self.tokenizers.waiting);
        if waiting.is_empty() {
            return;
        }
        let learnt = corpus.and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| Failure::network("the corpus is not UTF-8 text"))?;
            Corpus::learn(&text)
        });
        match learnt {
            Ok(corpus) => {
                self.tokenizers.corpus = Some(corpus);
                self.queue.extend(waiting);
            }
            Err(failure) => waiting.into_iter().for_each(|(id, _)| self.done(id, Err(failure.clone()))),
        }
    }
}
