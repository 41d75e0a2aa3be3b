//! What a model costs.

use inkling_core::ModelConfig;
use serde::{Deserialize, Serialize};

use super::model::ParameterCard;

/// Asks what a model would cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Its sizes.
    pub config: ModelConfig,
    /// Sequences per training step.
    pub batch_size: usize,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// Every parameter, in the order of the forward pass.
    pub parameters: Vec<ParameterCard>,
    /// Bytes of every tensor of a training program.
    pub training_bytes: u64,
    /// Bytes of every tensor of a generating program.
    pub sampling_bytes: u64,
    /// Per token, of a forward pass over a full context.
    pub forward_flops: f64,
    /// Per token, of a training step.
    pub training_flops: f64,
}

/// Measures this device: trains a small model for some steps on the engine in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe;

/// How fast this device is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// While training.
    pub flops_per_second: f64,
}
