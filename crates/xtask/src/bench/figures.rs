//! What `trainer bench --json` and `bench_torch.py` both print: one JSON object with at least these three numbers.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most of an unexpected output that a message quotes, in characters.
const QUOTE: usize = 300;

/// One measurement, or medians, or ratios of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Tokens per second of full training steps.
    pub train_tokens_per_s: f64,
    /// Tokens per second of one sampled sequence.
    pub sample_tokens_per_s: f64,
    /// GFLOP/s of a large float32 matrix product.
    pub peak_gflops: f64,
}

impl Figures {
    /// The name of the sampling speed.
    pub const SAMPLING: &str = "sampling tokens/s";

    /// What [`Figures::values`] are called in the table.
    pub const NAMES: [&str; 3] = ["training tokens/s", Self::SAMPLING, "matmul GFLOP/s"];

    /// In the order of [`Figures::NAMES`].
    pub fn values(&self) -> [f64; 3] {
        [self.train_tokens_per_s, self.sample_tokens_per_s, self.peak_gflops]
    }

    fn from_values([train_tokens_per_s, sample_tokens_per_s, peak_gflops]: [f64; 3]) -> Self {
        Self { train_tokens_per_s, sample_tokens_per_s, peak_gflops }
    }

    /// Reads a benchmark's output; `command` is named if it is not as agreed.
    pub fn parse(command: &str, output: &str) -> Result<Self> {
        let error = |problem: String| {
            let quote: String = output.trim().chars().take(QUOTE).collect();
            Error::Output { command: command.into(), problem: format!("{problem}; it printed: {quote}") }
        };
        let figures: Self = serde_json::from_str(output)
            .map_err(|problem| error(format!("expected one JSON object with its figures ({problem})")))?;
        for (name, value) in Self::NAMES.iter().zip(figures.values()) {
            if !(value.is_finite() && value > 0.0) {
                return Err(error(format!("{name} is {value}, which is no speed")));
            }
        }
        Ok(figures)
    }

    /// The median of each figure. Of an even number of rounds, the mean of the middle two.
    pub fn median(rounds: &[Self]) -> Self {
        Self::from_values(std::array::from_fn(|index| median(rounds.iter().map(|figures| figures.values()[index]))))
    }

    /// Of each figure, the best round over the worst: 1 if all agree or there are none.
    pub fn spread(rounds: &[Self]) -> [f64; 3] {
        std::array::from_fn(|index| spread(rounds.iter().map(|figures| figures.values()[index])))
    }

    /// Each figure divided by the other's.
    pub fn over(&self, other: &Self) -> Self {
        Self::from_values(std::array::from_fn(|index| self.values()[index] / other.values()[index]))
    }
}

/// Of an even number of values, the mean of the middle two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The largest over the smallest: 1 if all agree or there are none.
pub fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().reduce(f64::max).zip(values.reduce(f64::min)).map_or(1.0, |(best, worst)| best / worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(train: f64) -> Figures {
        Figures { train_tokens_per_s: train, sample_tokens_per_s: 2.0 * train, peak_gflops: 100.0 }
    }

    #[test]
    fn further_fields_are_welcome() {
        let output = r#"{"preset": "small", "train_tokens_per_s": 7.0, "sample_tokens_per_s": 14, "peak_gflops": 100.0,
            "peak_memory_bytes": 5, "train_gflops": 1.0}"#;
        assert_eq!(Figures::parse("trainer bench", output).unwrap(), figures(7.0));
    }

    #[test]
    fn output_that_is_not_as_agreed_is_quoted() {
        let missing = r#"{"train_tokens_per_s": 7.0, "peak_gflops": 1.0}"#;
        let zero = r#"{"train_tokens_per_s": 7.0, "sample_tokens_per_s": 0.0, "peak_gflops": 1.0}"#;
        for (output, problem) in [
            ("", "expected one JSON object"),
            ("warming up", "it printed: warming up"),
            (missing, "missing field `sample_tokens_per_s`"),
            (zero, "sampling tokens/s is 0"),
        ] {
            let message = Figures::parse("trainer bench", output).unwrap_err().to_string();
            assert!(message.starts_with("`trainer bench`: ") && message.contains(problem), "{message}");
        }
    }

    #[test]
    fn a_median_ignores_one_bad_round() {
        assert_eq!(Figures::median(&[figures(10.0), figures(1.0), figures(11.0)]), figures(10.0));
        assert_eq!(Figures::median(&[figures(10.0), figures(20.0)]), figures(15.0));
    }

    #[test]
    fn the_spread_is_the_best_round_over_the_worst() {
        assert_eq!(Figures::spread(&[figures(10.0), figures(5.0), figures(8.0)]), [2.0, 2.0, 1.0]);
        assert_eq!(Figures::spread(&[]), [1.0; 3]);
    }

    #[test]
    fn a_ratio_above_one_is_faster() {
        assert_eq!(figures(20.0).over(&figures(10.0)).values(), [2.0, 2.0, 1.0]);
    }
}
