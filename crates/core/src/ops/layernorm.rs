//! Layer normalisation over the channels of each row (Ba et al. 2016; PyTorch's `LayerNorm`):
//!
//! ```text
//! y = (x - mean) · rstd · weight + bias,     rstd = 1/√(var + ε),  var with divisor C
//! dx += rstd · (g - mean(g) - n · mean(g n)),  n = (x - mean) · rstd,  g = dy · weight
//! dweight += Σ dy n,   dbias += Σ dy
//! ```

use crate::cpu::Pool;
use crate::cpu::gemm::Beta;
use crate::cpu::simd::Simd;
use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::ops::norm::{self, Center, Groups, ROWS_PER_PARTIAL, add_partials, for_vectors, get, put, sums_per_block};
use crate::program::{Op, Tensor};
use crate::simd_dispatch;
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

simd_dispatch! {
    fn forward_rows<'a>(x: &'a [f32], weight: &'a [f32], bias: Option<&'a [f32]>, y: &'a mut [f32], stats: &'a mut [f32], epsilon: f32) => forward_rows_imp
}

#[inline(always)]
fn forward_rows_imp<S: Simd>(
    s: S,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
    stats: &mut [f32],
    epsilon: f32,
) {
    let c = weight.len();
    let inverse = 1.0 / c as f32;
    for ((x, y), stats) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(stats.chunks_exact_mut(2)) {
        let mean = s.sum(x) * inverse;
        let minus_mean = s.splat(-mean);
        // Two passes over a row in cache: E[x²] - E[x]² would cancel.
        s.map(
            x,
            y,
            #[inline(always)]
            |x| s.add(x, minus_mean),
        );
        let variance = s.dot(y, y) * inverse;
        let rstd = 1.0 / (variance + epsilon).sqrt();
        let r = s.splat(rstd);
        s.update(
            y,
            weight,
            #[inline(always)]
            |y, w| s.mul(s.mul(y, r), w),
        );
        if let Some(bias) = bias {
            s.update(
                y,
                bias,
                #[inline(always)]
                |y, b| s.add(y, b),
            );
        }
        stats.copy_from_slice(&[mean, rstd]);
    }
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

simd_dispatch! {
    fn backward_rows<'a>(dy: &'a [f32], x: &'a [f32], stats: &'a [f32], weight: &'a [f32], dx: &'a mut [f32], beta: Beta, dweight: Option<&'a mut [f32]>, dbias: Option<&'a mut [f32]>) => backward_rows_imp
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
fn backward_rows_imp<S: Simd>(
    s: S,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    beta: Beta,
    mut dweight: Option<&mut [f32]>,
    mut dbias: Option<&mut [f32]>,
) {
    let c = weight.len();
    let inverse = 1.0 / c as f32;
    for sum in [dweight.as_deref_mut(), dbias.as_deref_mut()].into_iter().flatten() {
        sum.fill(0.0);
    }
    if beta == Beta::Assign {
        dx.fill(0.0);
    }
    let rows = dy.chunks_exact(c).zip(x.chunks_exact(c)).zip(stats.chunks_exact(2)).zip(dx.chunks_exact_mut(c));
    for (((dy, x), stats), dx) in rows {
        let (mean, rstd) = (s.splat(stats[0]), s.splat(stats[1]));
        let (mut sum_g, mut sum_gn) = (s.splat(0.0), s.splat(0.0));
        for_vectors(
            s,
            c,
            #[inline(always)]
            |at, n| {
                let (dy, x, w) = (get(s, dy, at, n), get(s, x, at, n), get(s, weight, at, n));
                let g = s.mul(dy, w);
                sum_g = s.add(sum_g, g);
                sum_gn = s.mul_add(g, s.mul(s.sub(x, mean), rstd), sum_gn);
            },
        );
        let (mean_g, mean_gn) = (s.splat(s.reduce_add(sum_g) * inverse), s.splat(s.reduce_add(sum_gn) * inverse));
        for_vectors(
            s,
            c,
            #[inline(always)]
            |at, n| {
                let (dy, x, w) = (get(s, dy, at, n), get(s, x, at, n), get(s, weight, at, n));
                let norm = s.mul(s.sub(x, mean), rstd);
                let inner = s.sub(s.sub(s.mul(dy, w), mean_g), s.mul(norm, mean_gn));
                put(s, dx, at, n, s.mul_add(inner, rstd, get(s, dx, at, n)));
                if let Some(dweight) = &mut dweight {
                    put(s, dweight, at, n, s.mul_add(dy, norm, get(s, dweight, at, n)));
                }
                if let Some(dbias) = &mut dbias {
                    put(s, dbias, at, n, s.add(dy, get(s, dbias, at, n)));
                }
            },
        );
    }
}
