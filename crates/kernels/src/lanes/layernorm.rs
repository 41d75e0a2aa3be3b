//! Layer norm: the formulas are at `inkling_core::ops::layernorm`.

use super::vectors::{for_vectors, get, put};
use crate::cpu::gemm::Beta;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// Rows of `x` to `y`; `stats` are mean and rstd of each.
    pub fn forward_rows<'a>(x: &'a [f32], weight: &'a [f32], bias: Option<&'a [f32]>, y: &'a mut [f32], stats: &'a mut [f32], epsilon: f32) => forward_rows_imp
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

simd_dispatch! {
    /// `dx` of some rows, and the sums of `dweight` and `dbias` over them.
    pub fn backward_rows<'a>(dy: &'a [f32], x: &'a [f32], stats: &'a [f32], weight: &'a [f32], dx: &'a mut [f32], beta: Beta, dweight: Option<&'a mut [f32]>, dbias: Option<&'a mut [f32]>) => backward_rows_imp
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
