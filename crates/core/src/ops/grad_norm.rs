//! Global gradient norm and the factor that clips it (PyTorch's `clip_grad_norm_`):
//!
//! ```text
//! norm = √(Σ g²) / scale  over all parameters        factor = min(1, max_norm / (norm + 1e-6)) / scale
//! ```
//!
//! `scale` is that of the loss in mixed precision (see [`loss_scaler`](super::loss_scaler)), 1 otherwise. Where the norm is not finite, the
//! factor is 0: the update is left out.

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::elementwise::sum_of_squares;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// Elements summed in float32 before the sums are added in float64: fixed, so that the norm does not depend on the thread count.
const PIECE: usize = 1 << 14;

/// Writes norm and factor where AdamW reads them: the host need not know before the step is over.
#[derive(Debug)]
pub struct GradNorm {
    /// Gradient arenas.
    pub grads: [Tensor; 2],
    /// Scratch: one float per `PIECE` of an arena, and both arenas' in one.
    pub partials: Tensor,
    /// `[2]`: norm, factor; assigned.
    pub stats: Tensor,
    /// `[2]`, its first the scale of the loss that the gradients carry.
    pub scaler: Option<Tensor>,
    /// Largest norm; 0 clips nothing.
    pub max_norm: f32,
}

impl GradNorm {
    /// Floats of `partials` for arenas of these lengths.
    pub fn partials(lengths: [usize; 2]) -> usize {
        lengths.iter().map(|n| n.div_ceil(PIECE)).sum()
    }
}

impl Op for GradNorm {
    fn name(&self) -> &'static str {
        "gradient norm"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let mut partials = mem.write(self.partials);
        let mut rest = &mut *partials;
        for grad in self.grads {
            let grad = mem.read(grad);
            let (part, tail) = rest.split_at_mut(grad.len().div_ceil(PIECE));
            sums_of_squares(&mem.pool, &grad, part);
            rest = tail;
        }
        let scale = self.scaler.map_or(1.0, |scaler| f64::from(mem.read(scaler)[0]));
        let norm = partials.iter().map(|&x| f64::from(x)).sum::<f64>().sqrt() / scale;
        let factor = clip_factor(norm, f64::from(self.max_norm)) / scale;
        mem.write(self.stats).copy_from_slice(&[norm as f32, factor as f32]);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let mut pieces = 0;
        for grad in self.grads {
            let vectors = kernels.len(grad).div_ceil(4);
            let count = vectors.div_ceil(shader::GRAD_NORM.constant("VECTORS_PER_PIECE"));
            // A bigram has no vectors.
            if count > 0 {
                let dispatch = Dispatch::new(shader::GRAD_NORM, "partial_sums")
                    .bind("g", grad)
                    .assign("partials", self.partials)
                    .param("vectors", vectors)
                    .param("first_piece", pieces);
                kernels.push(dispatch.linear(count));
                pieces += count;
            }
        }
        kernels.push(
            Dispatch::new(shader::GRAD_NORM, "finish")
                .bind("partials", self.partials)
                .assign("stats", self.stats)
                .bind("scaler", self.scaler)
                .constant("HAS_SCALER", self.scaler.is_some())
                .param("pieces", pieces)
                .param("max_norm", self.max_norm),
        );
    }
}

/// `min(1, max_norm / (norm + 1e-6))`; 0 where the norm is not finite.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    match norm {
        _ if !norm.is_finite() => 0.0,
        _ if max_norm > 0.0 => (max_norm / (norm + 1e-6)).min(1.0),
        _ => 1.0,
    }
}

fn sums_of_squares(pool: &Pool, grad: &[f32], partials: &mut [f32]) {
    pool.pieces([(partials, 1)], |i, [partial]| {
        partial[0] = sum_of_squares(&grad[i * PIECE..grad.len().min((i + 1) * PIECE)]);
    });
}
