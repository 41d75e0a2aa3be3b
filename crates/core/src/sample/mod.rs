//! Sampling: settings, and a model that continues a text.

pub mod generator;
pub mod sampler;

pub use generator::{Drawn, Generator};
pub use sampler::{Sampler, SamplerConfig};
