//! Each head's queries and keys normalised on their own: the formulas are at `inkling_core::ops::qk_norm`.

use super::rmsnorm;
use crate::cpu::gemm::Beta;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

/// What a row has.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Heads of queries.
    pub queries: usize,
    /// Heads of queries and of keys.
    pub normed: usize,
    /// Channels of all, values included.
    pub width: usize,
}

simd_dispatch! {
    /// Rows of `x` to `y`; `weights` are the gains of queries and of keys, `stats` are rstd of each head.
    pub fn forward_rows<'a>(x: &'a [f32], weights: [&'a [f32]; 2], y: &'a mut [f32], stats: &'a mut [f32], row: Row, epsilon: f32) => forward_rows_imp
}

#[inline(always)]
fn forward_rows_imp<S: Simd>(
    s: S,
    x: &[f32],
    weights: [&[f32]; 2],
    y: &mut [f32],
    stats: &mut [f32],
    row: Row,
    epsilon: f32,
) {
    let (d, Row { queries, normed, width }) = (weights[0].len(), row);
    let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats.chunks_exact_mut(normed));
    for ((x, y), stats) in rows {
        let ((x, values), (y, y_values)) = (x.split_at(normed * d), y.split_at_mut(normed * d));
        y_values.copy_from_slice(values);
        for (h, ((x, y), rstd)) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(stats).enumerate() {
            *rstd = rmsnorm::forward_row(s, x, weights[usize::from(h >= queries)], y, epsilon);
        }
    }
}

simd_dispatch! {
    /// `dx` of some rows, and the sums of the gradients of gains over them, as far as they are wanted.
    pub fn backward_rows<'a>(dy: &'a [f32], x: &'a [f32], stats: &'a [f32], weights: [&'a [f32]; 2], dx: &'a mut [f32], partial: &'a mut [f32], wanted: [bool; 2], row: Row) => backward_rows_imp
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
fn backward_rows_imp<S: Simd>(
    s: S,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weights: [&[f32]; 2],
    dx: &mut [f32],
    partial: &mut [f32],
    wanted: [bool; 2],
    row: Row,
) {
    let (d, Row { queries, normed, width }) = (weights[0].len(), row);
    partial.fill(0.0);
    let rows = dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(stats.chunks_exact(normed));
    for (((dy, x), stats), dx) in rows.zip(dx.chunks_exact_mut(width)) {
        dx[normed * d..].copy_from_slice(&dy[normed * d..]);
        for (h, &rstd) in stats.iter().enumerate() {
            let (which, channels) = (usize::from(h >= queries), h * d..(h + 1) * d);
            let dweight = wanted[which].then_some(&mut partial[channels.clone()]);
            let (dy, x, dx) = (&dy[channels.clone()], &x[channels.clone()], &mut dx[channels]);
            rmsnorm::backward_row(s, dy, x, rstd, weights[which], dx, Beta::Assign, dweight);
        }
    }
}
