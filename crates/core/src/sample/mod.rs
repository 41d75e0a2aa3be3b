//! Sampling: logits to a token, and a model to logits, one token at a time.

pub mod generator;
pub mod sampler;

pub use generator::Generator;
pub use sampler::{Sampler, SamplerConfig};
