//! Rows of logits: the formulas are at `inkling_core::ops::cross_entropy`.

use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// `log Σ exp` of each row.
    pub fn log_sum_exp<'a>(logits: &'a [f32], lse: &'a mut [f32], vocab: usize) => log_sum_exp_imp
}

#[inline(always)]
fn log_sum_exp_imp<S: Simd>(s: S, logits: &[f32], lse: &mut [f32], vocab: usize) {
    for (row, lse) in logits.chunks_exact(vocab).zip(lse) {
        let max = s.maximum(row);
        let shift = s.splat(max);
        // A lane filled with -∞ adds e^-87, far below the last digit of a sum that is at least 1.
        let sum = s.fold(
            row,
            s.splat(0.0),
            f32::NEG_INFINITY,
            #[inline(always)]
            |acc, x| s.add(acc, exp(s, s.sub(x, shift))),
        );
        *lse = max + s.reduce_add(sum).ln();
    }
}

simd_dispatch! {
    /// `exp(logits - lse) · scale`.
    pub fn softmax<'a>(logits: &'a [f32], lse: &'a [f32], out: &'a mut [f32], vocab: usize, scale: f32) => softmax_imp
}

#[inline(always)]
fn softmax_imp<S: Simd>(s: S, logits: &[f32], lse: &[f32], out: &mut [f32], vocab: usize, scale: f32) {
    for ((row, out), &lse) in logits.chunks_exact(vocab).zip(out.chunks_exact_mut(vocab)).zip(lse) {
        let (shift, scale) = (s.splat(lse), s.splat(scale));
        s.map(
            row,
            out,
            #[inline(always)]
            |x| s.mul(exp(s, s.sub(x, shift)), scale),
        );
    }
}
