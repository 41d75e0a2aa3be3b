//! How a model is trained: [`TrainConfig`], plain data with the field names of Hugging Face's `TrainingArguments`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nn::optimizer::{Decay, Optimizer};
use crate::ops::adamw::Constants;
use crate::program::DType;

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays.
    Constant,
    /// Half a cosine down to `min_learning_rate`.
    #[default]
    Cosine,
    /// A straight line down to `min_learning_rate`.
    Linear,
}

/// How training windows are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Anywhere, with replacement (nanoGPT).
    #[default]
    Random,
    /// Every window of an epoch once, in a new order and at a new offset each epoch.
    Shuffled,
}

/// Over what a loss is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Every non-overlapping window over the whole split, all predicted tokens alike: no chance involved.
    #[default]
    Full,
    /// `eval_batches` random batches, the same ones each time (nanoGPT's estimate).
    Sampled,
}

/// In what a run computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingPrecision {
    /// Float32 everywhere.
    #[default]
    F32,
    /// Mixed, on a GPU: activations, their gradients and the operands of matrix products are float16; weights, sums, the residual
    /// stream and the optimizer stay float32, and the loss is scaled.
    F16,
}

impl TrainingPrecision {
    /// How activations are stored.
    pub fn activations(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// Settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Sequences per forward pass, `B`.
    pub batch_size: usize,
    /// Forward passes whose gradients are averaged into one update.
    pub gradient_accumulation_steps: usize,
    /// Updates in all.
    pub max_steps: u64,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Where the schedule ends.
    pub min_learning_rate: f32,
    /// Shape of the schedule.
    pub lr_scheduler_type: Schedule,
    /// Updates over which the learning rate rises to its peak.
    pub warmup_steps: u64,
    /// AdamW's β₁.
    pub adam_beta1: f32,
    /// AdamW's β₂.
    pub adam_beta2: f32,
    /// AdamW's ε.
    pub adam_epsilon: f32,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
    /// What decays.
    pub decay: Decay,
    /// Largest global gradient norm; 0 clips nothing.
    pub max_grad_norm: f32,
    /// Share of the old moving average of the weights at each update; 0 keeps none.
    pub ema_decay: f32,
    /// In what the run computes.
    pub precision: TrainingPrecision,
    /// Whether to keep only the residual stream of each block and compute the rest again in the backward pass (gradient checkpointing).
    pub recompute: bool,
    /// Seed of all randomness.
    pub seed: u64,
    /// How windows are drawn.
    pub order: Order,
    /// Updates between evaluations.
    pub eval_steps: u64,
    /// Protocol of evaluations during training.
    pub eval_protocol: Protocol,
    /// Batches of a `sampled` evaluation.
    pub eval_batches: usize,
    /// Stop after this many evaluations without a new best; 0 never stops early.
    pub patience: u64,
}

impl Default for TrainConfig {
    /// The `tiny` preset's settings.
    fn default() -> Self {
        Self {
            batch_size: 32,
            gradient_accumulation_steps: 1,
            max_steps: 2000,
            learning_rate: 3e-3,
            min_learning_rate: 3e-4,
            lr_scheduler_type: Schedule::Cosine,
            warmup_steps: 100,
            adam_beta1: 0.9,
            adam_beta2: 0.95,
            adam_epsilon: 1e-8,
            weight_decay: 0.1,
            decay: Decay::Matrices,
            max_grad_norm: 1.0,
            ema_decay: 0.0,
            precision: TrainingPrecision::F32,
            recompute: false,
            seed: 1337,
            order: Order::Random,
            eval_steps: 250,
            eval_protocol: Protocol::Full,
            eval_batches: 50,
            patience: 0,
        }
    }
}

impl TrainConfig {
    /// Checks every field; the error names the field, its value and the allowed range.
    pub fn validate(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Training(message));
        for (name, value, most) in [
            ("batch_size", self.batch_size as u64, 1 << 16),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps as u64, 1 << 20),
            ("max_steps", self.max_steps, 1 << 31),
            ("eval_steps", self.eval_steps, u64::MAX),
            ("eval_batches", self.eval_batches as u64, 1 << 31),
        ] {
            if value == 0 || value > most {
                return fail(format!("{name} is {value}; it must be between 1 and {most}"));
            }
        }
        // Every forward pass has its own counter for randomness, of 32 bits.
        if self.max_steps.saturating_mul(self.gradient_accumulation_steps as u64) > u64::from(u32::MAX) {
            return fail("max_steps times gradient_accumulation_steps must be below 2^32".into());
        }
        for (name, value, range) in [
            ("learning_rate", self.learning_rate, 0.0..=10.0),
            ("min_learning_rate", self.min_learning_rate, 0.0..=self.learning_rate),
            ("adam_beta1", self.adam_beta1, 0.0..=0.999_999),
            ("adam_beta2", self.adam_beta2, 0.0..=0.999_999),
            ("adam_epsilon", self.adam_epsilon, 1e-20..=1.0),
            ("weight_decay", self.weight_decay, 0.0..=100.0),
            ("max_grad_norm", self.max_grad_norm, 0.0..=1e9),
            ("ema_decay", self.ema_decay, 0.0..=0.999_999),
        ] {
            if !range.contains(&value) {
                return fail(format!("{name} is {value}; it must be between {} and {}", range.start(), range.end()));
            }
        }
        if self.learning_rate == 0.0 {
            return fail("learning_rate is 0: nothing would be learnt".into());
        }
        if self.warmup_steps > self.max_steps {
            return fail(format!("warmup_steps ({}) is more than max_steps ({})", self.warmup_steps, self.max_steps));
        }
        Ok(())
    }

    /// Learning rate of update `step` (counted from 0), as nanoGPT's `get_lr`.
    pub fn learning_rate_at(&self, step: u64) -> f32 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f32 / (self.warmup_steps + 1) as f32;
        }
        let span = (self.max_steps - self.warmup_steps).max(1) as f64;
        let progress = ((step - self.warmup_steps) as f64 / span).min(1.0);
        let share = match self.lr_scheduler_type {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress)),
            Schedule::Linear => 1.0 - progress,
        };
        let (peak, floor) = (f64::from(self.learning_rate), f64::from(self.min_learning_rate));
        (floor + share * (peak - floor)) as f32
    }

    /// What the update pass is recorded with.
    pub fn optimizer(&self) -> Optimizer {
        Optimizer {
            constants: Constants {
                beta1: self.adam_beta1,
                beta2: self.adam_beta2,
                epsilon: self.adam_epsilon,
                weight_decay: self.weight_decay,
            },
            decay: self.decay,
            max_norm: self.max_grad_norm,
            ema_decay: (self.ema_decay > 0.0).then_some(self.ema_decay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmup_rises_and_cosine_falls_to_the_floor() {
        let config = TrainConfig {
            learning_rate: 1.0,
            min_learning_rate: 0.1,
            warmup_steps: 9,
            max_steps: 109,
            ..TrainConfig::default()
        };
        assert!((config.learning_rate_at(0) - 0.1).abs() < 1e-6);
        assert!((config.learning_rate_at(8) - 0.9).abs() < 1e-6);
        assert_eq!(config.learning_rate_at(9), 1.0);
        assert!((config.learning_rate_at(59) - 0.55).abs() < 1e-6);
        assert!((config.learning_rate_at(109) - 0.1).abs() < 1e-6);
        let linear = TrainConfig { lr_scheduler_type: Schedule::Linear, ..config.clone() };
        assert!((linear.learning_rate_at(34) - 0.775).abs() < 1e-6);
        let constant = TrainConfig { lr_scheduler_type: Schedule::Constant, ..config };
        assert_eq!(constant.learning_rate_at(108), 1.0);
    }

    #[test]
    fn bad_settings_are_named() {
        let base = TrainConfig::default;
        for (name, config) in [
            ("batch_size", TrainConfig { batch_size: 0, ..base() }),
            ("max_steps", TrainConfig { max_steps: 0, ..base() }),
            ("learning_rate", TrainConfig { learning_rate: f32::NAN, ..base() }),
            ("min_learning_rate", TrainConfig { min_learning_rate: 1.0, ..base() }),
            ("adam_beta2", TrainConfig { adam_beta2: 1.0, ..base() }),
            ("warmup_steps", TrainConfig { warmup_steps: 1 << 20, ..base() }),
            ("eval_steps", TrainConfig { eval_steps: 0, ..base() }),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(name), "{name}");
        }
    }
}
