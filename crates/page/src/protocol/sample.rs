//! Writing.

use inkling_core::sample::SamplerConfig;
use serde::{Deserialize, Serialize};

use super::Values;

/// Continues a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// At least one id.
    pub prompt: Vec<u32>,
    /// Tokens that stand behind the prompt already: kept from a text before, or put there. They are read one by one, so that the logits
    /// after them are those of a text that was written in one go (a longer prompt would be looked at through another window).
    pub given: Vec<u32>,
    /// How to draw. The same seed gives the same text as `trainer sample`.
    pub sampling: SamplerConfig,
    /// Tokens to draw.
    pub count: usize,
}

/// Tokens drawn since the last part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Ids.
    pub tokens: Vec<u32>,
    /// The logits that each was drawn from, `[tokens, V]`.
    pub logits: Values,
    /// The probability of each in the distribution that it was drawn from, after temperature and cuts.
    pub chances: Values,
    /// Bits of entropy of these distributions.
    pub entropies: Values,
}

/// A text is finished.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Drawn, without what was given.
    pub tokens: usize,
    /// Seconds that drawing took, without reading what was given and without waiting.
    pub seconds: f64,
}

/// Bits of entropy: `-Σ p log₂ p`.
pub fn entropy(probabilities: &[f32]) -> f32 {
    let terms = probabilities.iter().filter(|&&p| p > 0.0).map(|&p| f64::from(p) * f64::from(p).log2());
    -terms.sum::<f64>().min(0.0) as f32
}
