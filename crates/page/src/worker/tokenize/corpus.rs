//! What the corpus teaches: its characters, and the byte pairs that are commonest in it.

use std::collections::HashMap;

use inkling_core::tokenizer::{BpeTokenizer, BpeTraining, CharTokenizer, Tokenizer, WordCounts, words};

use crate::protocol::tokenize::{Grown, Learnt, MOST_MERGES, Merged};
use crate::protocol::{Counts, Failure};

/// A corpus that has been read.
pub struct Corpus {
    characters: CharTokenizer,
    pairs: BpeTokenizer,
    /// The pairs after some number of merges: a figure asks for the same again and again.
    truncated: Option<(usize, Tokenizer)>,
    milliseconds: u32,
    read: usize,
}

impl Corpus {
    /// Reads a corpus: all of it for its characters and the first nine tenths, on which models train, for its pairs.
    pub fn learn(text: &str) -> Result<Self, Failure> {
        let begun = web_time::Instant::now();
        let mut end = text.len() / 10 * 9;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut counts = WordCounts::default();
        counts.add(&text[..end])?;
        let pairs = BpeTraining { vocab_size: 256 + MOST_MERGES, min_frequency: 0 }.train(counts, |_| {})?;
        let characters = CharTokenizer::from_text(text)?;
        let milliseconds = begun.elapsed().as_millis() as u32;
        Ok(Self { characters, pairs, truncated: None, milliseconds, read: text[..end].chars().count() })
    }

    /// As a message.
    pub fn learnt(&self) -> Learnt {
        let pairs = Tokenizer::from(self.pairs.clone());
        let text = |id| pairs.token_text(id).unwrap_or_default();
        let merges = self.pairs.merges().map(|merge| Merged {
            left: text(merge.left),
            right: text(merge.right),
            token: text(merge.result),
            id: merge.result,
        });
        Learnt {
            characters: self.characters.chars().iter().collect(),
            merges: merges.collect(),
            milliseconds: self.milliseconds,
            read: self.read,
        }
    }

    /// A token for every character.
    pub fn characters(&self) -> Tokenizer {
        self.characters.clone().into()
    }

    /// Byte pairs after some merges.
    pub fn pairs(&mut self, merges: usize) -> &Tokenizer {
        if self.truncated.as_ref().is_none_or(|(there, _)| *there != merges) {
            self.truncated = Some((merges, self.pairs.truncated(merges).into()));
        }
        &self.truncated.as_ref().expect("it has just been put there").1
    }

    /// A text's length after each merge.
    ///
    /// A word loses a token with every rule that is applied to it, in an order that is the same for the first `k` rules as far as all of them
    /// are among these: rule `r` therefore counts from the largest rank before and including it.
    pub fn grow(&self, text: &str) -> Grown {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for word in words(text) {
            *counts.entry(word).or_default() += 1;
        }
        let mut lost = vec![0; self.pairs.merges().count() + 1];
        for (word, count) in counts {
            let mut last = 0;
            for rank in self.pairs.merge_ranks(word) {
                last = last.max(rank as usize);
                lost[last + 1] += count;
            }
        }
        let lengths = lost.iter().scan(text.len() as u32, |length, lost| {
            *length -= lost;
            Some(*length)
        });
        Grown { lengths: Counts(lengths.collect()) }
    }
}
