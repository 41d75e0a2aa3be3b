//! What a model costs in memory and floating-point operations, counted from its recorded programs.
//!
//! Recording allocates descriptions only, so that models far larger than this machine can be counted.

use inkling_core::nn::Generation;
use inkling_core::program::{Pass, Precision};
use inkling_core::train::TrainConfig;
use inkling_core::{Architecture, ModelConfig};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Multiply-adds of a forward pass beyond which 64 bits no longer hold what the counting of bytes and operations makes of
/// them; it would take a fast machine years.
const MAX_WORK: f64 = (1_u64 << 54) as f64;

/// What a model costs. A multiply-add is two floating-point operations.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Bytes that the engine allocates to train at the settings' batch size.
    pub training_memory: u64,
    /// Bytes that the engine allocates to continue one text.
    pub inference_memory: u64,
    /// Operations of a forward pass, per token.
    pub forward_flops: f64,
    /// Operations of an update (forward, backward, optimizer), per token.
    pub training_flops: f64,
}

impl Costs {
    /// Counts them.
    ///
    /// # Errors
    /// Invalid configurations, and sizes whose costs 64 bits cannot count.
    pub fn of(model: &ModelConfig, train: &TrainConfig) -> Result<Self> {
        check_work(model, train)?;
        let (program, ..) = inkling_core::train::record(model, train)?;
        let (generation, _) = Generation::record(model, Precision::Half)?;
        let tokens = (train.batch_size * model.n_positions) as f64;
        let per_token = |passes: &[Pass]| passes.iter().map(|&pass| program.flops(pass)).sum::<u64>() as f64 / tokens;
        Ok(Self {
            training_memory: program.memory_bytes(),
            inference_memory: generation.memory_bytes(),
            forward_flops: per_token(&[Pass::Forward]),
            training_flops: per_token(&[Pass::Forward, Pass::Backward, Pass::Update]),
        })
    }

    /// As the JSON results of commands have them.
    pub fn to_json(self) -> Map<String, Value> {
        let object = json!({
            "training_memory_bytes": self.training_memory,
            "inference_memory_bytes": self.inference_memory,
            "forward_flops_per_token": self.forward_flops,
            "training_flops_per_token": self.training_flops,
        });
        match object {
            Value::Object(fields) => fields,
            _ => unreachable!("it was written as an object"),
        }
    }
}

/// Refuses sizes whose costs cannot be counted.
fn check_work(model: &ModelConfig, train: &TrainConfig) -> Result<()> {
    let [batch, context, layers, channels, hidden, vocabulary] =
        [train.batch_size, model.n_positions, model.n_layer, model.n_embd, model.n_inner, model.vocab_size]
            .map(|size| size as f64);
    let per_token = match model.architecture {
        Architecture::Bigram => vocabulary * vocabulary,
        Architecture::Gpt => {
            layers * channels * (4.0 * channels + 2.0 * hidden + 2.0 * context) + channels * vocabulary
        }
    };
    if batch * context * per_token <= MAX_WORK {
        return Ok(());
    }
    Err(Error::Setting {
        key: "batch_size".into(),
        problem: format!("{} sequences of {} tokens cost this model more than 64 bits can count", batch, context),
        hint: "make the batch, the context (n_positions) or the model smaller".into(),
    })
}
