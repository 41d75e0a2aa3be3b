//! The gated unit of an MLP (Shazeer 2020, Llama):
//!
//! ```text
//! hidden = silu(gate) ∘ up,     silu(x) = x σ(x)
//! dgate = dhidden ∘ up ∘ σ(gate) (1 + gate (1 - σ(gate))),     dup = dhidden ∘ silu(gate)
//! ```
//!
//! `pre` holds gate and up side by side: one matrix product makes both.

use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The forward pass.
#[derive(Debug)]
pub struct Swiglu {
    /// Gate, then up: `[M, 2F]`.
    pub pre: Tensor,
    /// `[M, F]`, assigned.
    pub hidden: Tensor,
}

impl Op for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
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
pub struct SwigluBackward {
    /// Gradient of `hidden`, `[M, F]`.
    pub dhidden: Tensor,
    /// Input of the forward pass, `[M, 2F]`.
    pub pre: Tensor,
    /// Gradient of `pre`, `[M, 2F]`, assigned.
    pub dpre: Tensor,
}

impl Op for SwigluBackward {
    fn name(&self) -> &'static str {
        "swiglu backward"
    }

    fn cpu(&self, _: &Memory, _: &Step) {
        unimplemented!()
    }

    fn gpu(&self, _: &mut Kernels<'_>) {
        unimplemented!()
    }
}
