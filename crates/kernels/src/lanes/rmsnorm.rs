//! RMS norm: the formulas are at `inkling_core::ops::rmsnorm`.

use super::vectors::{for_vectors, get, put};
use crate::cpu::gemm::Beta;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// Rows of `x` to `y`; `stats` are rstd of each.
    pub fn forward_rows<'a>(x: &'a [f32], weight: &'a [f32], y: &'a mut [f32], stats: &'a mut [f32], epsilon: f32) => forward_rows_imp
}

#[inline(always)]
fn forward_rows_imp<S: Simd>(s: S, x: &[f32], weight: &[f32], y: &mut [f32], stats: &mut [f32], epsilon: f32) {
    let c = weight.len();
    for ((x, y), rstd) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(stats) {
        *rstd = forward_row(s, x, weight, y, epsilon);
    }
}

/// One row; gives back its rstd.
#[inline(always)]
pub(super) fn forward_row<S: Simd>(s: S, x: &[f32], weight: &[f32], y: &mut [f32], epsilon: f32) -> f32 {
    let rstd = 1.0 / (s.dot(x, x) / x.len() as f32 + epsilon).sqrt();
    let r = s.splat(rstd);
    for_vectors(
        s,
        x.len(),
        #[inline(always)]
        |at, n| {
            let norm = s.mul(get(s, x, at, n), r);
            put(s, y, at, n, s.mul(norm, get(s, weight, at, n)));
        },
    );
    rstd
}

simd_dispatch! {
    /// `dx` of some rows, and the sum of `dweight` over them.
    pub fn backward_rows<'a>(dy: &'a [f32], x: &'a [f32], stats: &'a [f32], weight: &'a [f32], dx: &'a mut [f32], beta: Beta, dweight: Option<&'a mut [f32]>) => backward_rows_imp
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
) {
    let c = weight.len();
    if let Some(dweight) = &mut dweight {
        dweight.fill(0.0);
    }
    let rows = dy.chunks_exact(c).zip(x.chunks_exact(c)).zip(stats).zip(dx.chunks_exact_mut(c));
    for (((dy, x), &rstd), dx) in rows {
        backward_row(s, dy, x, rstd, weight, dx, beta, dweight.as_deref_mut());
    }
}

/// One row; adds its part to `dweight`.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub(super) fn backward_row<S: Simd>(
    s: S,
    dy: &[f32],
    x: &[f32],
    rstd: f32,
    weight: &[f32],
    dx: &mut [f32],
    beta: Beta,
    mut dweight: Option<&mut [f32]>,
) {
    if beta == Beta::Assign {
        dx.fill(0.0);
    }
    let (c, rstd) = (weight.len(), s.splat(rstd));
    let mut sum_gn = s.splat(0.0);
    for_vectors(
        s,
        c,
        #[inline(always)]
        |at, n| {
            let g = s.mul(get(s, dy, at, n), get(s, weight, at, n));
            sum_gn = s.mul_add(g, s.mul(get(s, x, at, n), rstd), sum_gn);
        },
    );
    let mean_gn = s.splat(s.reduce_add(sum_gn) / c as f32);
    for_vectors(
        s,
        c,
        #[inline(always)]
        |at, n| {
            let (dy, w) = (get(s, dy, at, n), get(s, weight, at, n));
            let norm = s.mul(get(s, x, at, n), rstd);
            let inner = s.sub(s.mul(dy, w), s.mul(norm, mean_gn));
            put(s, dx, at, n, s.mul_add(inner, rstd, get(s, dx, at, n)));
            if let Some(dweight) = &mut dweight {
                put(s, dweight, at, n, s.mul_add(dy, norm, get(s, dweight, at, n)));
            }
        },
    );
}
