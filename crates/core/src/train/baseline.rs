//! What a model has to beat: the loss of counting pairs.
//!
//! `p(b | a) = (n(a, b) + 1) / (n(a) + V)`, with the counts of the training split (Laplace's add-one smoothing): the best that the last token
//! alone can do, but for the smoothing.

use super::dataset::{Dataset, Split};
use crate::error::Result;

/// Nats per token of the validation split by the pairs of the training split.
///
/// # Errors
/// A shard of the data that was changed.
pub fn bigram_loss(data: &Dataset) -> Result<f64> {
    let mut counted = pairs(data, Split::Train)?;
    counted.sort_unstable();
    // How many of the sorted pairs are in `low..high`.
    let count = |low: u64, high: u64| {
        counted.partition_point(|&pair| pair < high) - counted.partition_point(|&pair| pair < low)
    };
    let vocabulary = data.vocab_size() as f64;
    let mut asked = pairs(data, Split::Val)?;
    // Equal pairs side by side: each is counted once.
    asked.sort_unstable();
    let nats: f64 = asked
        .chunk_by(|a, b| a == b)
        .map(|same| {
            let pair = same[0];
            let first = pair >> 32 << 32;
            let (both, before) = (count(pair, pair + 1), count(first, first + (1 << 32)));
            -(same.len() as f64) * libm::log((both as f64 + 1.0) / (before as f64 + vocabulary))
        })
        .sum();
    Ok(nats / asked.len() as f64)
}

/// Each token of a split with the one before it, in one number.
fn pairs(data: &Dataset, split: Split) -> Result<Vec<u64>> {
    let part = data.split(split);
    let mut tokens = vec![0; part.len() as usize];
    part.read(0, &mut tokens)?;
    Ok(tokens.windows(2).map(|pair| u64::from(pair[0]) << 32 | u64::from(pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_with_one_more_of_each() {
        // 18 tokens to learn from: 0 is followed by 1 eight times and by 2 once, 1 by 0, 2 by none. To validate on: 2 1.
        let mut tokens = [0, 1].repeat(8);
        tokens.extend([0, 2, 2, 1]);
        let data = Dataset::new(tokens, &[1, 1, 1]).unwrap();
        assert!((bigram_loss(&data).unwrap() - f64::ln(3.0)).abs() < 1e-12);

        let mut tokens = [0, 1].repeat(18);
        tokens.extend([0, 1, 0, 2]);
        let data = Dataset::new(tokens, &[1, 1, 1]).unwrap();
        // To validate on: 0 1 0 2; before them 0 1 eighteen times and 1 0 seventeen times.
        let expected =
            [(18.0 + 1.0) / 21.0, (17.0 + 1.0) / 20.0, 1.0 / 21.0_f64].map(|p| -p.ln()).iter().sum::<f64>() / 3.0;
        assert!((bigram_loss(&data).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn it_is_that_of_a_table_of_counts() {
        let stream = crate::rng::Stream::new(3, 0, crate::rng::Site::BATCH);
        let tokens: Vec<u32> = (0..5000).map(|i| stream.below(i, 7).min(stream.below(i + 5000, 7))).collect();
        let data = Dataset::new(tokens.clone(), &[1; 7]).unwrap();
        let (train, val) = tokens.split_at(4500);
        let count = |a: u32, b: u32| train.windows(2).filter(|pair| **pair == [a, b]).count() as f64;
        let loss = |pair: &[u32]| {
            let before: f64 = (0..7).map(|b| count(pair[0], b)).sum();
            -((count(pair[0], pair[1]) + 1.0) / (before + 7.0)).ln()
        };
        let expected = val.windows(2).map(loss).sum::<f64>() / 499.0;
        assert!((bigram_loss(&data).unwrap() - expected).abs() < 1e-9);
    }
}
