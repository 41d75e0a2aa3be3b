//! Rotary position embedding: see `inkling_core::ops::rope`.

use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// Turns heads of one position, side by side, by its row of the table.
    pub fn turn_heads<'a>(heads: &'a mut [f32], angles: &'a [f32], sign: f32) => turn_heads_imp
}

#[inline(always)]
fn turn_heads_imp<S: Simd>(s: S, heads: &mut [f32], angles: &[f32], sign: f32) {
    let (cos, sin) = angles.split_at(angles.len() / 2);
    let whole = cos.len() - cos.len() % S::LANES;
    for head in heads.chunks_exact_mut(angles.len()) {
        let (a, b) = head.split_at_mut(cos.len());
        for i in (0..whole).step_by(S::LANES) {
            let angle = [s.load(&cos[i..]), s.load(&sin[i..])];
            let [x, y] = rotate(s, [s.load(&a[i..]), s.load(&b[i..])], angle, sign);
            s.store(&mut a[i..], x);
            s.store(&mut b[i..], y);
        }
        let (a, b) = (&mut a[whole..], &mut b[whole..]);
        if !a.is_empty() {
            let angle = [s.load_partial(&cos[whole..], 0.0), s.load_partial(&sin[whole..], 0.0)];
            let [x, y] = rotate(s, [s.load_partial(a, 0.0), s.load_partial(b, 0.0)], angle, sign);
            s.store_partial(a, x);
            s.store_partial(b, y);
        }
    }
}

/// `(a cos - b sin, a sin + b cos)`, the sine with a sign.
#[inline(always)]
fn rotate<S: Simd>(s: S, [a, b]: [S::F; 2], [cos, sin]: [S::F; 2], sign: f32) -> [S::F; 2] {
    let sin = s.mul(s.splat(sign), sin);
    [s.sub(s.mul(a, cos), s.mul(b, sin)), s.mul_add(a, sin, s.mul(b, cos))]
}
