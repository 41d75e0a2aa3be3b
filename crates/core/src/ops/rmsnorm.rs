//! Root mean square normalisation over the channels of each row (Zhang & Sennrich 2019; Llama's `RMSNorm`):
//!
//! ```text
//! y = n · weight,     n = x · rstd,     rstd = 1/√(mean(x²) + ε)
//! dx += rstd · (g - n · mean(g n)),     g = dy · weight
//! dweight += Σ dy n
//! ```

use crate::cpu::gemm::Beta;
use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The forward pass.
#[derive(Debug)]
pub struct RmsNorm {
    /// Input, `[M, C]`.
    pub x: Tensor,
    /// Gain, `[C]`.
    pub weight: Tensor,
    /// Output, `[M, C]`, assigned.
    pub y: Tensor,
    /// rstd of each row, `[M]`, assigned.
    pub stats: Tensor,
    /// ε.
    pub epsilon: f32,
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "rmsnorm"
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
pub struct RmsNormBackward {
    /// Gradient of the output, `[M, C]`.
    pub dy: Tensor,
    /// Input of the forward pass, `[M, C]`.
    pub x: Tensor,
    /// rstd of each row, `[M]`.
    pub stats: Tensor,
    /// Gain, `[C]`.
    pub weight: Tensor,
    /// Gradient of the residual stream, `[M, C]`.
    pub dx: Tensor,
    /// Whether this is the stream's first gradient (the last norm of the model) or adds to what came before.
    pub beta: Beta,
    /// Gradient of the gain, accumulated.
    pub dweight: Tensor,
    /// Scratch, `[⌈M / 64⌉, C]`.
    pub partials: Tensor,
}

impl Op for RmsNormBackward {
    fn name(&self) -> &'static str {
        "rmsnorm backward"
    }

    fn cpu(&self, _: &Memory, _: &Step) {
        unimplemented!()
    }

    fn gpu(&self, _: &mut Kernels<'_>) {
        unimplemented!()
    }
}
