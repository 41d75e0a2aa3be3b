//! The gated unit of an MLP: the formulas are at `inkling_core::ops::swiglu`.

use super::elementwise::multiply_imp;
use crate::cpu::math::silu;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// `silu(gate) ∘ up`, of rows with gate and up side by side.
    pub fn forward_rows<'a>(pre: &'a [f32], hidden: &'a mut [f32], width: usize) => forward_rows_imp
}

#[inline(always)]
fn forward_rows_imp<S: Simd>(s: S, pre: &[f32], hidden: &mut [f32], width: usize) {
    for (pre, hidden) in pre.chunks_exact(2 * width).zip(hidden.chunks_exact_mut(width)) {
        let (gate, up) = pre.split_at(width);
        s.map(
            gate,
            hidden,
            #[inline(always)]
            |x| silu(s, x).0,
        );
        multiply_imp(s, hidden, up);
    }
}

simd_dispatch! {
    /// Its gradient.
    pub fn backward_rows<'a>(dhidden: &'a [f32], pre: &'a [f32], dpre: &'a mut [f32], width: usize) => backward_rows_imp
}

#[inline(always)]
fn backward_rows_imp<S: Simd>(s: S, dhidden: &[f32], pre: &[f32], dpre: &mut [f32], width: usize) {
    let rows = dhidden.chunks_exact(width).zip(pre.chunks_exact(2 * width));
    for ((dhidden, pre), dpre) in rows.zip(dpre.chunks_exact_mut(2 * width)) {
        let (gate, up) = pre.split_at(width);
        let (dgate, dup) = dpre.split_at_mut(width);
        dgate.copy_from_slice(gate);
        s.update_two(
            dgate,
            dup,
            #[inline(always)]
            |x| {
                let (y, slope) = silu(s, x);
                (slope, y)
            },
        );
        multiply_imp(s, dgate, up);
        multiply_imp(s, dgate, dhidden);
        multiply_imp(s, dup, dhidden);
    }
}
