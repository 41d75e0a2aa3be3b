//! Root mean square normalisation over the channels of each row (Zhang & Sennrich 2019; Llama's `RMSNorm`):
//!
//! ```text
//! y = n · weight,     n = x · rstd,     rstd = 1/√(mean(x²) + ε)
//! dx += rstd · (g - n · mean(g n)),     g = dy · weight
//! dweight += Σ dy n
//! ```
//!
//! In float32 as in PyTorch: where a square overflows (`|x|` from 1.8e19 on), rstd is 0 and so is the row.

use inkling_kernels::lanes::rmsnorm::{backward_rows, forward_rows};

use crate::cpu::Pool;
use crate::cpu::gemm::Beta;
use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::ops::norm::{self, Center, Groups, ROWS_PER_PARTIAL, add_partials};
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

    fn cpu(&self, mem: &Memory, _: &Step) {
        forward(
            &mem.pool,
            &mem.read(self.x),
            &mem.read(self.weight),
            &mut mem.write(self.y),
            &mut mem.write(self.stats),
            self.epsilon,
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let &Self { x, weight, y, stats, epsilon } = self;
        let (center, groups) = (Center::Zero, Groups::ROW);
        norm::Forward { center, groups, x, weight, k_weight: None, bias: None, y, stats, epsilon }.push(kernels);
    }
}

/// See the module.
pub fn forward(pool: &Pool, x: &[f32], weight: &[f32], y: &mut [f32], stats: &mut [f32], epsilon: f32) {
    let c = weight.len();
    pool.rows([(y, c), (stats, 1)], pool.share(x.len() / c, 4).max(16), |rows, [y, stats]| {
        forward_rows(&x[rows.start * c..rows.end * c], weight, y, stats, epsilon);
    });
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
    /// Gradient of the gain, accumulated; `None` where the gain is frozen.
    pub dweight: Option<Tensor>,
    /// Scratch, `[⌈M / 64⌉, 1, C]`.
    pub partials: Tensor,
}

impl Op for RmsNormBackward {
    fn name(&self) -> &'static str {
        "rmsnorm backward"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let (stats, mut partials) = (mem.read(self.stats), mem.write(self.partials));
        backward(
            &mem.pool,
            &mem.read(self.dy),
            &mem.read(self.x),
            &stats,
            &mem.read(self.weight),
            &mut mem.write(self.dx),
            self.beta,
            self.dweight.is_some(),
            &mut partials,
        );
        add_partials(mem, &partials, stats.len(), [(self.dweight, 0..1)]);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let &Self { dy, x, stats, weight, dx, beta, dweight, partials } = self;
        norm::Backward {
            center: Center::Zero,
            groups: Groups::ROW,
            dy,
            x,
            stats,
            weight,
            k_weight: None,
            dx,
            beta,
            dweight,
            dk_weight: None,
            dbias: None,
            partials,
        }
        .push(kernels);
    }
}

/// `dx`, and the partial sums of `dweight` if they are wanted. See the module.
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub fn backward(
    pool: &Pool,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    beta: Beta,
    wants_dweight: bool,
    partials: &mut [f32],
) {
    let c = weight.len();
    pool.pieces([(dx, ROWS_PER_PARTIAL * c), (partials, c)], |i, [dx, partial]| {
        let first = i * ROWS_PER_PARTIAL;
        let rows = dx.len() / c;
        backward_rows(
            &dy[first * c..(first + rows) * c],
            &x[first * c..(first + rows) * c],
            &stats[first..first + rows],
            weight,
            dx,
            beta,
            wants_dweight.then_some(partial),
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Qwen3RMSNorm(5, eps=1e-6)` of transformers gives in float32.
    #[test]
    fn rows_are_those_of_transformers() {
        let row = [1.0, -2.0, 3.0, 0.5, -0.25];
        let normed = [0.591_054, -2.364_216, -0.886_581_06, 0.443_290_53, -0.036_940_876];
        let weight = [1.0, 2.0, -0.5, 1.5, 0.25];
        let pool = Pool::new(1);
        // The last row's mean of squares is infinite.
        for (factor, want) in [(1.0, normed), (1e15, normed), (0.0, [0.0; 5]), (1e20, [0.0; 5])] {
            let x = row.map(|x| factor * x);
            let (mut y, mut stats) = ([f32::NAN; 5], [f32::NAN]);
            forward(&pool, &x, &weight, &mut y, &mut stats, 1e-6);
            for (y, want) in y.into_iter().zip(want) {
                assert!((y - want).abs() <= 3e-7 * want.abs(), "{y} and not {want} at a factor of {factor}");
            }
        }

        let dy = [1.0, -1.0, 0.5, 2.0, 3.0];
        let (mut y, mut rstd) = ([0.0; 5], [0.0]);
        forward(&pool, &row, &weight, &mut y, &mut rstd, 1e-6);
        let (mut dx, mut dweight) = ([f32::NAN; 5], [f32::NAN; 5]);
        backward(&pool, &dy, &row, &rstd, &weight, &mut dx, Beta::Assign, true, &mut dweight);
        let want = [
            (dx, [0.361_343_15, -0.722_686_3, -0.836_896_06, 1.658_306_7, 0.500_718_24]),
            (dweight, [0.591_054, 1.182_108, 0.886_581_06, 0.591_054, -0.443_290_53]),
        ];
        for (gradient, want) in want {
            for (d, want) in gradient.into_iter().zip(want) {
                assert!((d - want).abs() <= 5e-7 * want.abs(), "{d} and not {want}");
            }
        }
    }
}
