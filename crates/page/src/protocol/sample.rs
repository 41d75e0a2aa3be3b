//! Writing.

use inkling_core::sample::SamplerConfig;
use serde::{Deserialize, Serialize};

use super::Values;

/// Continues a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// At least one id.
    pub prompt: Vec<u32>,
    /// How to draw. The same seed gives the same text as `trainer sample`.
    pub sampling: SamplerConfig,
    /// Tokens to draw.
    pub count: usize,
}

/// Tokens drawn since the last part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Ids.
    pub tokens: Vec<u32>,
    /// The logits that each was drawn from, `[tokens, V]`.
    pub logits: Values,
}

/// A text is finished.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Drawn, without the prompt.
    pub tokens: usize,
    /// Seconds of computing, without waiting.
    pub seconds: f64,
}
