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
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::elementwise::add;
use crate::program::{Op, Tensor};
use crate::simd_dispatch;
use crate::step::Step;

/// Rows whose `dweight` and `dbias` are summed together before the sums are added up: fixed, so that the result does not depend on the number of threads.
pub const ROWS_PER_PARTIAL: usize = 64;

/// GPU invocations that share a row's sums in the backward pass: they read 64 bytes side by side, and a block takes four rounds of
/// barriers, where a whole workgroup to a row would take 64.
const BACKWARD_ROW_LANES: u8 = 16;

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
        let channels = kernels.len(self.weight);
        let rows = kernels.len(self.x) / channels;
        // About eight channels a lane: enough lanes when there is one row, enough rows when rows are short.
        let row_lanes = (channels / 8).next_power_of_two().clamp(16, 256);
        let dispatch = Dispatch::new(shader::LAYERNORM, "forward")
            .constant("ROW_LANES", row_lanes as f64)
            .bind("x", self.x)
            .bind("weight", self.weight)
            .bind("bias", self.bias)
            .assign("y", self.y)
            .assign("stats", self.stats)
            .param("rows", rows)
            .param("channels", channels)
            .param("epsilon", self.epsilon);
        kernels.push(dispatch.linear(rows.div_ceil(shader::LAYERNORM.constant("WORKGROUP") / row_lanes)));
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
    /// Gradient of the gain, accumulated.
    pub dweight: Tensor,
    /// Gradient of the bias, accumulated.
    pub dbias: Option<Tensor>,
    /// Scratch, `[⌈M / 64⌉, 2, C]`.
    pub partials: Tensor,
}

impl Op for LayerNormBackward {
    fn name(&self) -> &'static str {
        "layernorm backward"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let mut partials = mem.write(self.partials);
        backward(
            &mem.pool,
            &mem.read(self.dy),
            &mem.read(self.x),
            &mem.read(self.stats),
            &mem.read(self.weight),
            &mut mem.write(self.dx),
            self.beta,
            &mut partials,
        );
        add_partials(&partials, &mut mem.write(self.dweight), 0);
        if let Some(dbias) = self.dbias {
            add_partials(&partials, &mut mem.write(dbias), 1);
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let shader = shader::LAYERNORM;
        assert_eq!(shader.constant("BLOCK"), ROWS_PER_PARTIAL, "layernorm.wgsl and layernorm.rs share `partials`");
        let channels = kernels.len(self.weight);
        let rows = kernels.len(self.x) / channels;
        let entry = |name| Dispatch::new(shader, name).param("rows", rows).param("channels", channels);
        let dispatch = entry("backward")
            .constant("ROW_LANES", BACKWARD_ROW_LANES)
            .constant("ACCUMULATE", self.beta == Beta::Accumulate)
            .bind("x", self.x)
            .bind("weight", self.weight)
            .bind("stats", self.stats)
            .bind("dy", self.dy)
            .assign("partials", self.partials);
        let dispatch = match self.beta {
            Beta::Assign => dispatch.assign("dx", self.dx),
            Beta::Accumulate => dispatch.bind("dx", self.dx),
        };
        kernels.push(dispatch.linear(rows.div_ceil(ROWS_PER_PARTIAL)));
        let dispatch =
            entry("reduce").bind("partials", self.partials).bind("dweight", self.dweight).bind("dbias", self.dbias);
        kernels.push(dispatch.grid((2 * channels).div_ceil(shader.constant("REDUCE_COLUMNS")), 1, 1));
    }
}

/// `dx` and the partial sums of `dweight` and `dbias`. See the module.
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub fn backward(
    pool: &Pool,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    beta: Beta,
    partials: &mut [f32],
) {
    let c = weight.len();
    pool.pieces([(dx, ROWS_PER_PARTIAL * c), (partials, 2 * c)], |i, [dx, partial]| {
        let first = i * ROWS_PER_PARTIAL;
        let rows = dx.len() / c;
        backward_rows(
            &dy[first * c..(first + rows) * c],
            &x[first * c..(first + rows) * c],
            &stats[2 * first..2 * (first + rows)],
            weight,
            dx,
            beta,
            partial,
        );
    });
}

/// Adds part `which` (0 dweight, 1 dbias) of every partial sum to a gradient.
pub fn add_partials(partials: &[f32], gradient: &mut [f32], which: usize) {
    let c = gradient.len();
    for partial in partials.chunks_exact(2 * c) {
        add(gradient, &partial[which * c..][..c]);
    }
}

simd_dispatch! {
    fn backward_rows<'a>(dy: &'a [f32], x: &'a [f32], stats: &'a [f32], weight: &'a [f32], dx: &'a mut [f32], beta: Beta, partial: &'a mut [f32]) => backward_rows_imp
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
    partial: &mut [f32],
) {
    let c = weight.len();
    let inverse = 1.0 / c as f32;
    let (dweight, dbias) = partial.split_at_mut(c);
    dweight.fill(0.0);
    dbias.fill(0.0);
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
                put(s, dweight, at, n, s.mul_add(dy, norm, get(s, dweight, at, n)));
                put(s, dbias, at, n, s.add(dy, get(s, dbias, at, n)));
            },
        );
    }
}

/// Calls `f(start, length)` for every vector of a row, the tail included.
#[inline(always)]
fn for_vectors<S: Simd>(_: S, len: usize, mut f: impl FnMut(usize, usize)) {
    let whole = len / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        f(at, S::LANES);
    }
    if whole < len {
        f(whole, len - whole);
    }
}

#[inline(always)]
fn get<S: Simd>(s: S, x: &[f32], at: usize, n: usize) -> S::F {
    if n == S::LANES { s.load(&x[at..at + S::LANES]) } else { s.load_partial(&x[at..at + n], 0.0) }
}

#[inline(always)]
fn put<S: Simd>(s: S, x: &mut [f32], at: usize, n: usize, v: S::F) {
    if n == S::LANES { s.store(&mut x[at..at + S::LANES], v) } else { s.store_partial(&mut x[at..at + n], v) }
}
