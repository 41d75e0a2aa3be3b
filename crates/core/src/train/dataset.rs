//! Tokens to learn from: a 90/10 split, and the windows of it that make batches and evaluations.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::rng::{Site, Stream};
use crate::train::config::Order;

/// Which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The first 90 %.
    Train,
    /// The last 10 %.
    Val,
    /// All of it.
    All,
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::All => "all",
        })
    }
}

/// An encoded text; clones share it.
#[derive(Clone, Debug)]
pub struct Dataset {
    tokens: Arc<Vec<u32>>,
    vocab_size: usize,
    /// Characters of the text, for bits per character.
    characters: usize,
    train_len: usize,
}

/// Tokens in and the tokens one position on, both `[B, T]` flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Inputs.
    pub tokens: Vec<u32>,
    /// What follows each.
    pub targets: Vec<u32>,
}

impl Dataset {
    /// A text of `characters` characters as tokens.
    ///
    /// # Errors
    /// When a token is not in the vocabulary.
    pub fn new(tokens: Vec<u32>, vocab_size: usize, characters: usize) -> Result<Self> {
        if let Some(at) = tokens.iter().position(|&t| t as usize >= vocab_size) {
            let id = tokens[at];
            return Err(Error::Data(format!("token {at} is {id}, but the vocabulary has {vocab_size} entries")));
        }
        // nanoGPT's split: the first int(0.9 n) tokens.
        let train_len = (tokens.len() as f64 * 0.9) as usize;
        Ok(Self { tokens: Arc::new(tokens), vocab_size, characters, train_len })
    }

    /// The tokens of a split.
    pub fn split(&self, split: Split) -> &[u32] {
        match split {
            Split::Train => &self.tokens[..self.train_len],
            Split::Val => &self.tokens[self.train_len..],
            Split::All => &self.tokens,
        }
    }

    /// Entries of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Characters per token over the whole text (1 for a character tokenizer).
    pub fn characters_per_token(&self) -> f64 {
        self.characters as f64 / self.tokens.len().max(1) as f64
    }

    /// Fails when a split cannot fill one window and its targets: `context + 1` tokens.
    pub fn check_context(&self, context: usize) -> Result<()> {
        for split in [Split::Train, Split::Val] {
            let have = self.split(split).len();
            // An evaluation accepts a short last window, but something must be predicted.
            let need = if split == Split::Train { context + 1 } else { 2 };
            if have < need {
                return Err(Error::Data(format!(
                    "the text has {} tokens, so the {split} split has {have} and a context of {context} needs {need}: \
                     use a longer text or a shorter context (--set n_positions=...)",
                    self.tokens.len()
                )));
            }
        }
        Ok(())
    }
}

/// Draws the training batches of a run. What batch `counter` holds depends on the settings and the counter alone.
#[derive(Clone, Debug)]
pub struct Batches {
    seed: u64,
    order: Order,
    batch: usize,
    context: usize,
    /// The epoch whose order is held, and the order.
    epoch: Option<(u32, Vec<u32>)>,
}

impl Batches {
    /// Batches of `batch` windows of `context` tokens.
    pub fn new(seed: u64, order: Order, batch: usize, context: usize) -> Self {
        Self { seed, order, batch, context, epoch: None }
    }

    /// Fills `out` with batch `counter` from `tokens` (more than `context` of them).
    pub fn fill(&mut self, tokens: &[u32], counter: u32, out: &mut Batch) {
        out.tokens.clear();
        out.targets.clear();
        for b in 0..self.batch {
            let start = self.window(tokens.len(), counter, b);
            out.tokens.extend_from_slice(&tokens[start..start + self.context]);
            out.targets.extend_from_slice(&tokens[start + 1..start + 1 + self.context]);
        }
    }

    fn window(&mut self, len: usize, counter: u32, b: usize) -> usize {
        let context = self.context;
        match self.order {
            Order::Random => {
                Stream::new(self.seed, counter, Site::BATCH).below(b as u32, (len - context) as u32) as usize
            }
            Order::Shuffled => {
                // Whatever the offset of an epoch, this many windows fit.
                let windows = ((len - context) / context).max(1);
                let sample = u64::from(counter) * self.batch as u64 + b as u64;
                let (epoch, i) = ((sample / windows as u64) as u32, (sample % windows as u64) as usize);
                let stream = Stream::new(self.seed, epoch, Site::SHUFFLE);
                if self.epoch.as_ref().is_none_or(|(held, _)| *held != epoch) {
                    self.epoch = Some((epoch, stream.permutation(windows as u32)));
                }
                let order = &self.epoch.as_ref().expect("just set").1;
                let offset = stream.below(u32::MAX, context.min(len - context) as u32) as usize;
                offset + order[i] as usize * context
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(n: usize) -> Dataset {
        Dataset::new((0..n as u32).collect(), n, n).unwrap()
    }

    #[test]
    fn the_split_is_nanogpts() {
        let data = Dataset::new(vec![0; 1_115_394], 1, 1_115_394).unwrap();
        assert_eq!(data.split(Split::Train).len(), 1_003_854);
        assert_eq!(data.split(Split::Val).len(), 111_540);
    }

    #[test]
    fn targets_are_the_tokens_one_on() {
        let data = counting(1000);
        for order in [Order::Random, Order::Shuffled] {
            let mut batches = Batches::new(1, order, 4, 7);
            let mut batch = Batch::default();
            for counter in 0..100 {
                batches.fill(data.split(Split::Train), counter, &mut batch);
                assert_eq!(batch.tokens.len(), 28);
                for (token, target) in batch.tokens.iter().zip(&batch.targets) {
                    assert_eq!(token + 1, *target);
                }
            }
        }
    }

    #[test]
    fn random_windows_reach_both_ends() {
        let tokens: Vec<u32> = (0..20).collect();
        let mut batches = Batches::new(2, Order::Random, 64, 8);
        let (mut batch, mut seen) = (Batch::default(), std::collections::BTreeSet::new());
        for counter in 0..20 {
            batches.fill(&tokens, counter, &mut batch);
            seen.extend(batch.tokens.chunks(8).map(|w| w[0]));
        }
        assert_eq!(seen, (0..12).collect());
    }

    #[test]
    fn an_epoch_holds_every_window_once_and_epochs_differ() {
        let tokens: Vec<u32> = (0..1000).collect();
        let (batch_size, context) = (3, 10);
        let windows = (1000 - context) / context;
        let mut batches = Batches::new(3, Order::Shuffled, batch_size, context);
        let (mut batch, mut starts) = (Batch::default(), Vec::new());
        for counter in 0..windows as u32 {
            batches.fill(&tokens, counter, &mut batch);
            starts.extend(batch.tokens.chunks(context).map(|w| w[0]));
        }
        let epochs: Vec<&[u32]> = starts.chunks(windows).take(3).collect();
        for epoch in &epochs {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|w| w[1] - w[0] == context as u32), "windows tile the text");
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn a_batch_depends_on_its_counter_alone() {
        let tokens: Vec<u32> = (0..500).collect();
        for order in [Order::Random, Order::Shuffled] {
            let (mut a, mut b) = (Batch::default(), Batch::default());
            let mut sequential = Batches::new(4, order, 5, 9);
            for counter in 0..50 {
                sequential.fill(&tokens, counter, &mut a);
            }
            Batches::new(4, order, 5, 9).fill(&tokens, 49, &mut b);
            assert_eq!(a, b);
        }
    }

    #[test]
    fn short_texts_are_refused_with_the_numbers() {
        let error = counting(50).check_context(64).unwrap_err().to_string();
        assert!(error.contains("50 tokens") && error.contains("65"), "{error}");
        counting(73).check_context(64).unwrap();
        assert!(counting(0).check_context(1).is_err());
    }
}
