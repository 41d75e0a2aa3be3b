//! Each head's queries and keys normalised on their own (Henry et al. 2020; Qwen 3's `q_norm`, `k_norm`): scores stay bounded however
//! large the weights grow. Values pass unchanged.
//!
//! ```text
//! y = x · rstd · weight over the D channels of a head,     rstd = 1/√(mean(x²) + ε)
//! ```
//!
//! One gain for all query heads and one for all key heads, `[D]` each.

use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::ops::attention::Heads;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The forward pass.
#[derive(Debug)]
pub struct QkNorm {
    /// Queries, keys and values, `[M, (NH + 2 NKV) D]`.
    pub x: Tensor,
    /// Gain of queries, `[D]`.
    pub q_weight: Tensor,
    /// Gain of keys, `[D]`.
    pub k_weight: Tensor,
    /// The same shape as `x`, assigned.
    pub y: Tensor,
    /// rstd of each head's queries and keys, `[M, NH + NKV]`, assigned.
    pub stats: Tensor,
    /// Sizes.
    pub heads: Heads,
    /// ε.
    pub epsilon: f32,
}

impl Op for QkNorm {
    fn name(&self) -> &'static str {
        "query and key norm"
    }

    fn cpu(&self, _: &Memory, _: &Step) {
        unimplemented!()
    }

    fn gpu(&self, _: &mut Kernels<'_>) {
        unimplemented!()
    }
}

/// The backward pass.
#[derive(Debug)]
pub struct QkNormBackward {
    /// Gradient of `y`.
    pub dy: Tensor,
    /// Input of the forward pass.
    pub x: Tensor,
    /// rstd, `[M, NH + NKV]`.
    pub stats: Tensor,
    /// Gain of queries, `[D]`.
    pub q_weight: Tensor,
    /// Gain of keys, `[D]`.
    pub k_weight: Tensor,
    /// Gradient of `x`, assigned.
    pub dx: Tensor,
    /// Gradient of the queries' gain, accumulated.
    pub dq_weight: Tensor,
    /// Gradient of the keys' gain, accumulated.
    pub dk_weight: Tensor,
    /// Scratch, `[⌈M / 64⌉, 2, D]`.
    pub partials: Tensor,
    /// Sizes.
    pub heads: Heads,
}

impl Op for QkNormBackward {
    fn name(&self) -> &'static str {
        "query and key norm backward"
    }

    fn cpu(&self, _: &Memory, _: &Step) {
        unimplemented!()
    }

    fn gpu(&self, _: &mut Kernels<'_>) {
        unimplemented!()
    }
}
