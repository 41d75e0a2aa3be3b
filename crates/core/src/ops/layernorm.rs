//! Layer normalisation over the channels of each row (Ba et al. 2016; PyTorch's `LayerNorm`):
//!
//! ```text
//! y = (x - mean) · rstd · weight + bias,     rstd = 1/√(var + ε),  var with divisor C
//! dx += rstd · (g - mean(g) - n · mean(g n)),  n = (x - mean) · rstd,  g = dy · weight
//! dweight += Σ dy n,   dbias += Σ dy
//! ```

use inkling_kernels::lanes::layernorm::{backward_rows, forward_rows};

use crate::cpu::Pool;
use crate::cpu::gemm::Beta;
use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::ops::norm::{self, Center, Groups, ROWS_PER_PARTIAL, add_partials, sums_per_block};
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The forward pass.
#[derive(Debug)]
pub struct LayerNorm {
    /// Input, `[M, C]`.
    pub x: Tensor,
    /// Gain, `[C]`.
    pub weight: Tensor,
    /// Bias, `[C]`.
    pub bias: Option<Tensor>,
    /// Output, `[M, C]`, assigned.
    pub y: Tensor,
    /// Mean and rstd of each row, `[M, 2]`, assigned.
    pub stats: Tensor,
    /// ε.
    pub epsilon: f32,
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layernorm"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        forward(
            &mem.pool,
            &mem.read(self.x),
            &mem.read(self.weight),
            self.bias.map(|bias| mem.read(bias)).as_deref(),
            &mut mem.write(self.y),
            &mut mem.write(self.stats),
            self.epsilon,
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let &Self { x, weight, bias, y, stats, epsilon } = self;
        let (center, groups) = (Center::Mean, Groups::ROW);
        norm::Forward { center, groups, x, weight, k_weight: None, bias, y, stats, epsilon }.push(kernels);
    }
}

/// See the module.
pub fn forward(
    pool: &Pool,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
    stats: &mut [f32],
    epsilon: f32,
) {
    let c = weight.len();
    pool.rows([(y, c), (stats, 2)], pool.share(x.len() / c, 4).max(16), |rows, [y, stats]| {
        forward_rows(&x[rows.start * c..rows.end * c], weight, bias, y, stats, epsilon);
    });
}

/// The backward pass.
#[derive(Debug)]
pub struct LayerNormBackward {
    /// Gradient of the output, `[M, C]`.
    pub dy: Tensor,
    /// Input of the forward pass, `[M, C]`.
    pub x: Tensor,
    /// Mean and rstd of each row, `[M, 2]`.
    pub stats: Tensor,
    /// Gain, `[C]`.
    pub weight: Tensor,
    /// Gradient of the residual stream, `[M, C]`.
    pub dx: Tensor,
    /// Whether this is the stream's first gradient (the last norm of the model) or adds to what came before.
    pub beta: Beta,
    /// Gradient of the gain, accumulated; `None` where the gain is frozen.
    pub dweight: Option<Tensor>,
    /// Gradient of the bias, accumulated; `None` where there is no bias, or it is frozen.
    pub dbias: Option<Tensor>,
    /// Scratch, `[⌈M / 64⌉, 2, C]`, without a bias `[⌈M / 64⌉, 1, C]`.
    pub partials: Tensor,
}

impl Op for LayerNormBackward {
    fn name(&self) -> &'static str {
        "layernorm backward"
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
            [self.dweight.is_some(), self.dbias.is_some()],
            &mut partials,
        );
        add_partials(mem, &partials, stats.len() / 2, [(self.dweight, 0..1), (self.dbias, 1..2)]);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let &Self { dy, x, stats, weight, dx, beta, dweight, dbias, partials } = self;
        norm::Backward {
            center: Center::Mean,
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
            dbias,
            partials,
        }
        .push(kernels);
    }
}

/// `dx`, and the partial sums of `dweight` and `dbias` as far as they are wanted. See the module.
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub fn backward(
    pool: &Pool,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    beta: Beta,
    [wants_dweight, wants_dbias]: [bool; 2],
    partials: &mut [f32],
) {
    let c = weight.len();
    let sums = sums_per_block(partials.len(), dx.len() / c, c);
    pool.pieces([(dx, ROWS_PER_PARTIAL * c), (partials, sums * c)], |i, [dx, partial]| {
        let first = i * ROWS_PER_PARTIAL;
        let rows = dx.len() / c;
        let (dweight, dbias) = partial.split_at_mut(c);
        backward_rows(
            &dy[first * c..(first + rows) * c],
            &x[first * c..(first + rows) * c],
            &stats[2 * first..2 * (first + rows)],
            weight,
            dx,
            beta,
            wants_dweight.then_some(dweight),
            wants_dbias.then_some(dbias),
        );
    });
}
