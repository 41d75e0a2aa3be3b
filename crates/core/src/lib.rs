//! Inkling's core: a small GPT, its kernels, training, sampling, tokenizers and checkpoints.
//!
//! Core knows neither the DOM nor the terminal nor the file system: bytes in, bytes out.

pub mod checkpoint;
pub mod config;
pub mod embedding_space;
pub mod engine;
pub mod error;
pub mod gpu;
pub mod hash;
pub mod lora;
pub mod memory;
pub mod nn;
pub mod ops;
mod order;
pub mod parameters;
pub mod presets;
pub mod program;
pub mod sample;
pub mod tokenizer;
pub mod train;
pub mod weights;

pub use config::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};
pub use engine::{Device, Engine};
pub use error::{Error, Result};
pub use inkling_kernels::{cpu, quantize, rng, simd_dispatch, step};
pub use weights::{HostTensor, Weights};
