//! A written text, token by token, with what each was drawn from.
//!
//! While a text is rewritten, what it said before stays behind the new tokens until these have come so far: nothing goes blank, and what a
//! setting changed can be seen.

use inkling_core::sample::SamplerConfig;

use crate::protocol::sample::Generated;

/// What a text is written from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Ids.
    pub prompt: Vec<u32>,
    /// How to draw.
    pub sampling: SamplerConfig,
    /// Tokens to write.
    pub length: usize,
}

/// A token of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Its probability where it was drawn, after temperature and cuts.
    pub chance: f32,
    /// Bits of entropy there.
    pub entropy: f32,
    /// Seed of the dice; none where the visitor put it.
    pub seed: Option<u64>,
}

/// A text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// What it is or was written from.
    pub settings: Settings,
    /// The new ones, then what is left of the text before.
    pub tokens: Vec<Token>,
    /// The logits that each was drawn from, `[tokens, V]`.
    pub logits: Vec<f32>,
    /// V; 0 where nothing has been drawn yet.
    pub vocab: usize,
    /// Of the first so many, the visitor decided: they stay when the text is written again.
    pub given: usize,
    /// So many are new.
    pub fresh: usize,
    /// The ids of the text before, to compare with.
    pub before: Vec<u32>,
    /// Whether it is being written.
    pub writing: bool,
}

impl Text {
    /// Begins to write (again). `compare` keeps what there is to mark what becomes different.
    pub fn begin(&mut self, settings: Settings, compare: bool) {
        if !compare || settings.prompt != self.settings.prompt {
            self.before.clear();
        } else if !self.writing {
            self.before = self.ids();
        }
        self.settings = settings;
        self.fresh = self.given;
        self.writing = true;
    }

    /// Begins to write on.
    pub fn begin_more(&mut self) {
        self.end();
        self.writing = true;
    }

    /// Takes what was drawn. Another model's tokens are none of this text's.
    pub fn take(&mut self, drawn: &Generated) {
        let vocab = drawn.logits.len() / drawn.tokens.len().max(1);
        if drawn.tokens.is_empty() || (self.vocab != 0 && vocab != self.vocab) {
            return;
        }
        self.vocab = vocab;
        let old = self.fresh..(self.fresh + drawn.tokens.len()).min(self.tokens.len());
        let old_logits = old.start * vocab..(old.end * vocab).min(self.logits.len());
        let seed = Some(self.settings.sampling.seed);
        let new = drawn.tokens.iter().zip(drawn.chances.iter().zip(drawn.entropies.iter()));
        let new = new.map(|(&id, (&chance, &entropy))| Token { id, chance, entropy, seed });
        self.tokens.splice(old, new);
        self.logits.splice(old_logits, drawn.logits.iter().copied());
        self.fresh += drawn.tokens.len();
    }

    /// Ends here: what is left of the text before goes.
    pub fn end(&mut self) {
        self.logits.truncate(self.fresh * self.vocab);
        self.tokens.truncate(self.fresh);
        self.writing = false;
    }

    /// A text that has the first `at` tokens of this one, to be gone on with.
    pub fn up_to(&self, at: usize) -> Self {
        let tokens = self.tokens[..at].to_vec();
        let logits = self.logits[..at * self.vocab].to_vec();
        let (settings, vocab) = (self.settings.clone(), self.vocab);
        Self { settings, tokens, logits, vocab, given: at, fresh: at, ..Self::default() }
    }

    /// [`Self::up_to`], then a token in place of the one that is there.
    pub fn with(&self, at: usize, token: Token) -> Self {
        let mut text = self.up_to(at);
        text.tokens.push(token);
        text.logits.extend_from_slice(self.logits_of(at));
        text.given = at + 1;
        text.fresh = at + 1;
        text
    }

    /// The logits that a token was drawn from.
    pub fn logits_of(&self, at: usize) -> &[f32] {
        &self.logits[at * self.vocab..(at + 1) * self.vocab]
    }

    /// All ids.
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    /// Whether a token is another one than before.
    pub fn changed(&self, at: usize) -> bool {
        at < self.fresh && self.before.get(at).is_some_and(|&id| id != self.tokens[at].id)
    }

    /// The first token that is another one than before; none where there is nothing to compare with.
    pub fn first_change(&self) -> Option<usize> {
        (0..self.fresh).find(|&at| self.changed(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Values;

    fn drawn(ids: &[u32]) -> Generated {
        let logits = ids.iter().flat_map(|&id| [id as f32, 0.5]).collect();
        let chances = Values(vec![0.5; ids.len()]);
        Generated { tokens: ids.to_vec(), logits: Values(logits), entropies: chances.clone(), chances }
    }

    fn written(ids: &[u32]) -> Text {
        let mut text = Text::default();
        text.begin(Settings::default(), true);
        text.take(&drawn(ids));
        text.end();
        text
    }

    #[test]
    fn a_text_is_written_over_the_one_before() {
        let mut text = written(&[1, 2, 3, 4]);
        assert_eq!(text.first_change(), None);
        text.begin(Settings::default(), true);
        text.take(&drawn(&[1, 7]));
        assert_eq!(text.ids(), [1, 7, 3, 4]);
        assert_eq!(text.logits, [1.0, 0.5, 7.0, 0.5, 3.0, 0.5, 4.0, 0.5]);
        assert_eq!((text.fresh, text.first_change()), (2, Some(1)));
        // Once more, before it came to an end: compared with the last text that did.
        text.begin(Settings::default(), true);
        text.take(&drawn(&[1, 2, 3]));
        assert_eq!(text.first_change(), None);
        text.take(&drawn(&[5, 6]));
        text.end();
        assert_eq!(text.ids(), [1, 2, 3, 5, 6]);
        assert_eq!(text.first_change(), Some(3));
        assert!(!text.changed(4), "there was none");
        text.begin(Settings::default(), false);
        text.take(&drawn(&[9]));
        text.end();
        assert_eq!((text.ids(), text.first_change()), (vec![9], None));
        assert_eq!(text.logits_of(0), [9.0, 0.5]);
    }

    #[test]
    fn tokens_of_another_vocabulary_are_not_taken() {
        let text = written(&[1, 2, 3]);
        for logits in [vec![0.0; 1], vec![0.0; 1000]] {
            let mut more = text.clone();
            more.begin_more();
            let other = Generated { logits: Values(logits), ..drawn(&[4]) };
            more.take(&other);
            more.end();
            assert_eq!(more, text);
        }
        let mut rest = text.up_to(0);
        rest.take(&drawn(&[]));
        assert_eq!((rest.vocab, rest.tokens.len()), (2, 0));
    }

    #[test]
    fn forks_keep_what_is_before_them() {
        let text = written(&[1, 2, 3, 4]);
        let fork = text.up_to(2);
        assert_eq!((fork.ids(), fork.given, fork.fresh), (vec![1, 2], 2, 2));
        let token = Token { id: 8, chance: 0.1, entropy: 1.0, seed: None };
        let mut put = text.with(2, token);
        assert_eq!((put.ids(), put.given), (vec![1, 2, 8], 3));
        assert_eq!(put.logits_of(2), [3.0, 0.5], "the logits of the place stay");
        put.begin(Settings::default(), true);
        put.take(&drawn(&[5]));
        put.end();
        assert_eq!(put.ids(), [1, 2, 8, 5]);
        put.begin(Settings::default(), true);
        put.end();
        assert_eq!(put.ids(), [1, 2, 8]);
        assert!(text.up_to(0).logits.is_empty());
    }
}
