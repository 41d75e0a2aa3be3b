//! Rows of attention: the formulas are at `inkling_core::ops::attention`.

use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// One head: `out = softmax(q Kᵀ / √D) V`. Rows of keys and values are `stride` apart, the head's channels begin at `first`; `scores`
    /// has one element per key.
    pub fn attend<'a>(
        q: &'a [f32],
        key: &'a [f32],
        value: &'a [f32],
        out: &'a mut [f32],
        scores: &'a mut [f32],
        stride: usize,
        first: usize,
    ) => attend_imp
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the arguments are the kernel's")]
fn attend_imp<S: Simd>(
    s: S,
    q: &[f32],
    key: &[f32],
    value: &[f32],
    out: &mut [f32],
    scores: &mut [f32],
    stride: usize,
    first: usize,
) {
    let d = q.len();
    let scale = 1.0 / (d as f32).sqrt();
    for (score, key) in scores.iter_mut().zip(key.chunks_exact(stride)) {
        *score = s.dot(q, &key[first..first + d]) * scale;
    }
    let max = s.splat(s.maximum(scores));
    s.update_each(
        scores,
        #[inline(always)]
        |x| exp(s, s.sub(x, max)),
    );
    let inverse = 1.0 / s.sum(scores);
    out.fill(0.0);
    for (&p, value) in scores.iter().zip(value.chunks_exact(stride)) {
        let p = s.splat(p * inverse);
        s.update(
            out,
            &value[first..first + d],
            #[inline(always)]
            |out, v| s.mul_add(p, v, out),
        );
    }
}

simd_dispatch! {
    /// A row of scores to softmax weights, `row = exp(row · scale - lse)`; returns `lse`.
    pub fn softmax<'a>(row: &'a mut [f32], scale: f32) -> f32 => softmax_imp
}

#[inline(always)]
fn softmax_imp<S: Simd>(s: S, row: &mut [f32], scale: f32) -> f32 {
    let max = s.maximum(row) * scale;
    let sum = exp_row_imp(s, row, scale, max);
    let inverse = s.splat(1.0 / sum);
    s.update_each(
        row,
        #[inline(always)]
        |e| s.mul(e, inverse),
    );
    max + sum.ln()
}

simd_dispatch! {
    /// `row = exp(row · scale - shift)`; returns the sum.
    pub fn exp_row<'a>(row: &'a mut [f32], scale: f32, shift: f32) -> f32 => exp_row_imp
}

#[inline(always)]
fn exp_row_imp<S: Simd>(s: S, row: &mut [f32], scale: f32, shift: f32) -> f32 {
    let (scale, shift) = (s.splat(scale), s.splat(-shift));
    let mut sum = s.splat(0.0);
    let mut vectors = row.chunks_exact_mut(S::LANES);
    for x in &mut vectors {
        let e = exp(s, s.mul_add(s.load(x), scale, shift));
        sum = s.add(sum, e);
        s.store(x, e);
    }
    let tail = vectors.into_remainder();
    if !tail.is_empty() {
        s.store_partial(tail, exp(s, s.mul_add(s.load_partial(tail, 0.0), scale, shift)));
        sum = s.add(sum, s.load_partial(tail, 0.0));
    }
    s.reduce_add(sum)
}

simd_dispatch! {
    /// `dS = P ∘ (dP - Σ dO ∘ O) / √D` of one row, in place of `dP`.
    pub fn score_gradient<'a>(p: &'a [f32], dp: &'a mut [f32], dout: &'a [f32], out: &'a [f32], scale: f32) => score_gradient_imp
}

#[inline(always)]
fn score_gradient_imp<S: Simd>(s: S, p: &[f32], dp: &mut [f32], dout: &[f32], out: &[f32], scale: f32) {
    let delta = s.splat(s.dot(dout, out));
    let scale = s.splat(scale);
    s.update(
        dp,
        p,
        #[inline(always)]
        |dp, p| s.mul(s.mul(p, scale), s.sub(dp, delta)),
    );
}
