//! What a model costs, what running it really does, and how fast this device is.

use inkling_core::ModelConfig;
use serde::{Deserialize, Serialize};

/// Asks what a model would cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Its sizes.
    pub config: ModelConfig,
    /// Sequences per training step.
    pub batch_size: usize,
}

/// What a model costs, out of the programs that would run: they are recorded, not loaded, so nothing of this size is allocated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// Bytes of every tensor of a training program: weights, gradients, both moments, activations.
    pub training_bytes: u64,
    /// Bytes of every tensor of a generating program: weights, KV cache, activations of a prompt.
    pub sampling_bytes: u64,
    /// Per token, of a forward pass over a full context.
    pub forward_flops: f64,
    /// Per token, of a training step: forward, backward, update.
    pub training_flops: f64,
    /// The forward pass over one full context.
    pub forward: Vec<OpCard>,
    /// One token, with the KV cache of those before it.
    pub decode: Vec<OpCard>,
    /// What a training step does after its forward pass.
    pub backward: Vec<OpCard>,
}

/// Operations of a recorded program that do the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpCard {
    /// As the program calls it.
    pub name: String,
    /// Whose parameters it applies, `attn.c_attn` say; empty if nobody's.
    pub of: String,
    /// How often it is there.
    pub times: usize,
    /// Of all of them together.
    pub flops: u64,
    /// Whether it is part of the block, and so there once per layer.
    pub in_block: bool,
}

/// Measures this device: trains a small model for some steps on the engine in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe;

/// How fast this device is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// While training.
    pub flops_per_second: f64,
    /// The same with one thread, where several train; else the same number.
    pub alone: f64,
    /// Updates that were timed.
    pub steps: usize,
    /// Seconds that they took.
    pub seconds: f64,
    /// Parameters of the model that was trained.
    pub parameters: u64,
    /// Tokens of each update.
    pub tokens: usize,
}
