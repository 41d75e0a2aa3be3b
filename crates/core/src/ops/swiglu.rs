//! The gated unit of an MLP (Shazeer 2020, Llama):
//!
//! ```text
//! hidden = silu(gate) ∘ up,     silu(x) = x σ(x)
//! dgate = dhidden ∘ up ∘ σ(gate) (1 + gate (1 - σ(gate))),     dup = dhidden ∘ silu(gate)
//! ```
//!
//! `pre` holds gate and up side by side: one matrix product makes both.

use inkling_kernels::lanes::swiglu::{backward_rows, forward_rows};

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
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
    /// `F`.
    pub width: usize,
}

impl Op for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        forward(&mem.pool, &mem.read(self.pre), &mut mem.write(self.hidden), self.width);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { pre, hidden, width } = *self;
        let rows = kernels.len(hidden) / width;
        kernels.push(if width.is_multiple_of(4) {
            dispatch("forward_quads", rows, width / 4).bind("pre_quads", pre).assign("hidden_quads", hidden)
        } else {
            dispatch("forward", rows, width).bind("pre", pre).assign("hidden", hidden)
        });
    }
}

/// A kernel with an invocation for each of `width` channels or quads of a row.
fn dispatch(entry: &'static str, rows: usize, width: usize) -> Dispatch {
    let workgroups = (rows * width).div_ceil(shader::SWIGLU.constant("WORKGROUP"));
    Dispatch::new(shader::SWIGLU, entry).constant("WIDTH", width as f64).param("rows", rows).linear(workgroups)
}

/// See [`Swiglu`].
pub fn forward(pool: &Pool, pre: &[f32], hidden: &mut [f32], width: usize) {
    pool.rows([(hidden, width)], pool.share(pre.len() / (2 * width), 4), |rows, [hidden]| {
        forward_rows(&pre[rows.start * 2 * width..rows.end * 2 * width], hidden, width);
    });
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
    /// `F`.
    pub width: usize,
}

impl Op for SwigluBackward {
    fn name(&self) -> &'static str {
        "swiglu backward"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        backward(&mem.pool, &mem.read(self.dhidden), &mem.read(self.pre), &mut mem.write(self.dpre), self.width);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { dhidden, pre, dpre, width } = *self;
        let rows = kernels.len(dhidden) / width;
        kernels.push(if width.is_multiple_of(4) {
            dispatch("backward_quads", rows, width / 4)
                .bind("dhidden_quads", dhidden)
                .bind("pre_quads", pre)
                .assign("dpre_quads", dpre)
        } else {
            dispatch("backward", rows, width).bind("dhidden", dhidden).bind("pre", pre).assign("dpre", dpre)
        });
    }
}

/// See [`SwigluBackward`].
pub fn backward(pool: &Pool, dhidden: &[f32], pre: &[f32], dpre: &mut [f32], width: usize) {
    pool.rows([(dpre, 2 * width)], pool.share(dhidden.len() / width, 4), |rows, [dpre]| {
        let pre = &pre[rows.start * 2 * width..rows.end * 2 * width];
        backward_rows(&dhidden[rows.start * width..rows.end * width], pre, dpre, width);
    });
}
