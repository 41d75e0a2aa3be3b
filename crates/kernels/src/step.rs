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
    /// Counts the forward passes of training, or the tokens of a text: the randomness of each is its own.
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
    /// Where in a ring of results this replay leaves its own.
    pub slot: u32,
    /// Temperature of sampling; 0 is greedy.
    pub temperature: f32,
    /// Sample among so many tokens; 0 is all.
    pub top_k: u32,
    /// Sample among the likeliest tokens that together have this probability.
    pub top_p: f32,
}

impl Default for Step {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Step {
    /// Evaluation, nothing scaled, nothing random.
    pub const DEFAULT: Self = Self {
        mode: Mode::Eval,
        seed: 0,
        counter: 0,
        position: 0,
        loss_scale: 1.0,
        learning_rate: 0.0,
        bias_correction1: 1.0,
        bias_correction2: 1.0,
        slot: 0,
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
    };
}

/// A step as the uniform `Step` of `shaders/common.wgsl`: the same fields in the same order.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct StepUniform {
    seed_low: u32,
    seed_high: u32,
    counter: u32,
    position: u32,
    train: u32,
    slot: u32,
    loss_scale: f32,
    learning_rate: f32,
    bias_correction1: f32,
    bias_correction2: f32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    /// A uniform's size is a multiple of 16 bytes.
    padding: [u32; 3],
}

impl From<&Step> for StepUniform {
    fn from(step: &Step) -> Self {
        Self {
            seed_low: step.seed as u32,
            seed_high: (step.seed >> 32) as u32,
            counter: step.counter,
            position: step.position,
            train: u32::from(step.mode == Mode::Train),
            slot: step.slot,
            loss_scale: step.loss_scale,
            learning_rate: step.learning_rate,
            bias_correction1: step.bias_correction1,
            bias_correction2: step.bias_correction2,
            temperature: step.temperature,
            top_k: step.top_k,
            top_p: step.top_p,
            padding: [0; 3],
        }
    }
}

impl Step {
    /// The dropout mask of a site at this step; `None` when nothing is dropped.
    pub fn dropout(&self, p: f32, site: Site) -> Option<Dropout> {
        (self.mode == Mode::Train && p > 0.0).then(|| Dropout::new(Stream::new(self.seed, self.counter, site), p))
    }
}
