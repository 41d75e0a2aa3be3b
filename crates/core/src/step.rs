//! What changes between replays of a program: one small record, one uniform on a GPU.

use crate::rng::{Dropout, Site, Stream};

/// Whether dropout is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops.
    Train,
    /// Dropout is the identity.
    #[default]
    Eval,
}

/// The inputs of one replay that are not tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Whether dropout is on.
    pub mode: Mode,
    /// Seed of the run.
    pub seed: u64,
    /// Counts the forward passes of training: the randomness of each is its own.
    pub counter: u32,
    /// Number of tokens before this one (decoding only).
    pub position: u32,
    /// Factor on the loss's gradient: `1 / gradient_accumulation_steps`.
    pub loss_scale: f32,
    /// Learning rate of this update.
    pub learning_rate: f32,
    /// `1 - β₁ᵗ`, AdamW's bias correction of the first moment at update `t`.
    pub bias_correction1: f32,
    /// `1 - β₂ᵗ`.
    pub bias_correction2: f32,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            mode: Mode::Eval,
            seed: 0,
            counter: 0,
            position: 0,
            loss_scale: 1.0,
            learning_rate: 0.0,
            bias_correction1: 1.0,
            bias_correction2: 1.0,
        }
    }
}

impl Step {
    /// The dropout mask of a site at this step; `None` when nothing is dropped.
    pub fn dropout(&self, p: f32, site: Site) -> Option<Dropout> {
        (self.mode == Mode::Train && p > 0.0).then(|| Dropout::new(Stream::new(self.seed, self.counter, site), p))
    }
}
