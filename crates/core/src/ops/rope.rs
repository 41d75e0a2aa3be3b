//! Rotary position embedding (Su et al. 2021), in Llama's order of channels: of each head's queries and keys, the pair of channels
//! `(i, i + D/2)` is turned by the angle `position · θ^(-2i/D)`, so that scores depend on distances only.
//!
//! ```text
//! (x_i, x_{i+D/2}) ← (x_i cos - x_{i+D/2} sin,  x_i sin + x_{i+D/2} cos)          backward: the same with -sin
//! ```
//!
//! The angles are computed once, in float64, see [`table`]: both engines read the same cosines and sines.

use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::ops::attention::Heads;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Forward pass.
    Forward,
    /// Backward pass: a rotation's gradient is the rotation back.
    Backward,
}

/// Turns queries and keys where they are.
#[derive(Debug)]
pub struct Rope {
    /// Queries, keys and values, `[M, (NH + 2 NKV) D]`, or their gradient; queries and keys are changed.
    pub qkv: Tensor,
    /// [`table`] of at least `T` positions, `[positions, D]`.
    pub table: Tensor,
    /// Sizes. Row `m` is position `m mod T`; with `T = 1`, when decoding, the step's.
    pub heads: Heads,
    /// Which way.
    pub direction: Direction,
}

impl Op for Rope {
    fn name(&self) -> &'static str {
        match self.direction {
            Direction::Forward => "rope",
            Direction::Backward => "rope backward",
        }
    }

    fn cpu(&self, _: &Memory, _: &Step) {
        unimplemented!()
    }

    fn gpu(&self, _: &mut Kernels<'_>) {
        unimplemented!()
    }
}

/// `[positions, D]`: of each position the cosines of its `D/2` angles, then their sines.
pub fn table(positions: usize, head_dim: usize, theta: f32) -> Vec<f32> {
    let half = head_dim / 2;
    let mut table = Vec::with_capacity(positions * head_dim);
    for position in 0..positions {
        let angle = |i: usize| position as f64 * libm::pow(f64::from(theta), -2.0 * i as f64 / head_dim as f64);
        table.extend((0..half).map(|i| libm::cos(angle(i)) as f32));
        table.extend((0..half).map(|i| libm::sin(angle(i)) as f32));
    }
    table
}
