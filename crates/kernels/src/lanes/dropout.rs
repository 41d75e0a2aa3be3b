//! Dropout: see `inkling_core::ops::dropout`.

use crate::cpu::simd::Simd;
use crate::rng::Dropout;
use crate::simd_dispatch;

simd_dispatch! {
    /// `x *= mask / (1 - p)`; element `i` uses the mask's element `start + i`.
    pub fn drop_slice<'a>(dropout: Dropout, start: u32, x: &'a mut [f32]) => drop_slice_imp
}

#[inline(always)]
fn drop_slice_imp<S: Simd>(s: S, dropout: Dropout, mut start: u32, x: &mut [f32]) {
    let mut vectors = x.chunks_exact_mut(S::LANES);
    for x in &mut vectors {
        let v = dropout.apply(s, start, s.load(x));
        s.store(x, v);
        start = start.wrapping_add(S::LANES as u32);
    }
    for (i, x) in vectors.into_remainder().iter_mut().enumerate() {
        *x *= dropout.factor(start.wrapping_add(i as u32));
    }
}
