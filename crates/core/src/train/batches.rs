//! Which windows of the tokens a run learns from, batch by batch.

use super::config::Order;
use super::dataset::Part;
use crate::error::{Error, Result};
use crate::rng::{Site, Stream};

/// Tokens in and the tokens one position on, both `[B, T]` flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Inputs.
    pub tokens: Vec<u32>,
    /// What follows each.
    pub targets: Vec<u32>,
}

/// Draws the training batches of a run. What batch `counter` holds depends on the settings and the counter alone.
#[derive(Clone, Debug)]
pub struct Batches {
    seed: u64,
    order: Order,
    batch: usize,
    context: usize,
    /// The epoch whose order is held, and the order: 4 bytes per window.
    epoch: Option<(u32, Vec<u32>)>,
    /// `T + 1` tokens.
    window: Vec<u32>,
}

impl Batches {
    /// Batches of `batch` windows of `context` tokens.
    pub fn new(seed: u64, order: Order, batch: usize, context: usize) -> Self {
        Self { seed, order, batch, context, epoch: None, window: vec![0; context + 1] }
    }

    /// Fails when `tokens` tokens have more windows than can be shuffled. (Random windows may lie anywhere.)
    pub fn check(&self, tokens: u64) -> Result<()> {
        let windows = self.windows(tokens);
        if self.order == Order::Shuffled && windows > u64::from(u32::MAX) {
            return Err(Error::Data(format!(
                "order=shuffled puts at most {} windows in order and {tokens} tokens have {windows} of {}: use \
                 order=random or a longer context",
                u32::MAX,
                self.context
            )));
        }
        Ok(())
    }

    /// Bytes that the order of an epoch of `tokens` tokens takes.
    pub fn memory_bytes(&self, tokens: u64) -> u64 {
        match self.order {
            Order::Random => 0,
            Order::Shuffled => 4 * self.windows(tokens),
        }
    }

    /// Fills `out` with batch `counter` from `tokens` (more than `context` of them).
    ///
    /// # Errors
    /// Those of [`Part::read`].
    pub fn fill(&mut self, tokens: Part<'_>, counter: u32, out: &mut Batch) -> Result<()> {
        out.tokens.clear();
        out.targets.clear();
        for b in 0..self.batch {
            let start = self.start(tokens.len(), counter, b);
            tokens.read(start, &mut self.window)?;
            out.tokens.extend_from_slice(&self.window[..self.context]);
            out.targets.extend_from_slice(&self.window[1..]);
        }
        Ok(())
    }

    /// Whatever the offset of an epoch, this many windows fit.
    fn windows(&self, len: u64) -> u64 {
        let context = self.context as u64;
        (len.saturating_sub(context) / context).max(1)
    }

    /// Where window `b` of batch `counter` begins.
    fn start(&mut self, len: u64, counter: u32, b: usize) -> u64 {
        let context = self.context as u64;
        match self.order {
            Order::Random => Stream::new(self.seed, counter, Site::BATCH).below_u64(b as u32, len - context),
            Order::Shuffled => {
                let windows = self.windows(len);
                let sample = u64::from(counter) * self.batch as u64 + b as u64;
                let (epoch, i) = ((sample / windows) as u32, (sample % windows) as usize);
                let stream = Stream::new(self.seed, epoch, Site::SHUFFLE);
                if self.epoch.as_ref().is_none_or(|(held, _)| *held != epoch) {
                    self.epoch = Some((epoch, stream.permutation(windows as u32)));
                }
                let order = &self.epoch.as_ref().expect("just set").1;
                let offset = stream.below(u32::MAX, context.min(len - context) as u32);
                u64::from(offset) + u64::from(order[i]) * context
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::dataset::{Dataset, Split};

    fn counting(n: u32) -> Dataset {
        Dataset::new((0..n).collect(), &vec![1; n as usize]).unwrap()
    }

    #[test]
    fn targets_are_the_tokens_one_on() {
        let data = counting(1000);
        for order in [Order::Random, Order::Shuffled] {
            let mut batches = Batches::new(1, order, 4, 7);
            let mut batch = Batch::default();
            for counter in 0..100 {
                batches.fill(data.split(Split::Train), counter, &mut batch).unwrap();
                assert_eq!(batch.tokens.len(), 28);
                for (token, target) in batch.tokens.iter().zip(&batch.targets) {
                    assert_eq!(token + 1, *target);
                }
            }
        }
    }

    #[test]
    fn random_windows_reach_both_ends() {
        let data = counting(20);
        let mut batches = Batches::new(2, Order::Random, 64, 8);
        let (mut batch, mut seen) = (Batch::default(), std::collections::BTreeSet::new());
        for counter in 0..20 {
            batches.fill(data.split(Split::All), counter, &mut batch).unwrap();
            seen.extend(batch.tokens.chunks(8).map(|w| w[0]));
        }
        assert_eq!(seen, (0..12).collect());
    }

    #[test]
    fn random_windows_reach_all_of_a_text_of_more_than_2_to_the_32_tokens() {
        let len = (1 << 34) + 5;
        let mut batches = Batches::new(2, Order::Random, 64, 8);
        batches.check(len).unwrap();
        let mut quarters = [0; 4];
        for counter in 0..100 {
            for b in 0..64 {
                let start = batches.start(len, counter, b);
                assert!(start < len - 8);
                quarters[(start >> 32).min(3) as usize] += 1;
            }
        }
        // 1,600 each on average, with a standard deviation of 35.
        assert!(quarters.iter().all(|n| (1_400..1_800).contains(n)), "{quarters:?}");
    }

    #[test]
    fn more_windows_than_can_be_shuffled_are_refused() {
        let batches = Batches::new(2, Order::Shuffled, 64, 8);
        let most = 8 * (u64::from(u32::MAX) + 1) + 7;
        batches.check(most).unwrap();
        assert_eq!(batches.memory_bytes(most), 4 * u64::from(u32::MAX));
        let error = batches.check(most + 1).unwrap_err().to_string();
        assert!(error.contains("4294967296 of 8") && error.contains("order=random"), "{error}");
    }

    #[test]
    fn an_epoch_holds_every_window_once_and_epochs_differ() {
        let data = counting(1000);
        let (batch_size, context) = (3, 10);
        let windows = (1000 - context) / context;
        let mut batches = Batches::new(3, Order::Shuffled, batch_size, context);
        let (mut batch, mut starts) = (Batch::default(), Vec::new());
        for counter in 0..windows as u32 {
            batches.fill(data.split(Split::All), counter, &mut batch).unwrap();
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
        let data = counting(500);
        for order in [Order::Random, Order::Shuffled] {
            let (mut a, mut b) = (Batch::default(), Batch::default());
            let mut sequential = Batches::new(4, order, 5, 9);
            for counter in 0..50 {
                sequential.fill(data.split(Split::All), counter, &mut a).unwrap();
            }
            Batches::new(4, order, 5, 9).fill(data.split(Split::All), 49, &mut b).unwrap();
            assert_eq!(a, b);
        }
    }
}
