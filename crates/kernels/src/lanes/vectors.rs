//! The vectors of a row, its tail included.

use crate::cpu::simd::Simd;

/// Calls `f(start, length)` for every vector of a row, the tail included.
#[inline(always)]
pub(super) fn for_vectors<S: Simd>(_: S, len: usize, mut f: impl FnMut(usize, usize)) {
    let whole = len / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        f(at, S::LANES);
    }
    if whole < len {
        f(whole, len - whole);
    }
}

#[inline(always)]
pub(super) fn get<S: Simd>(s: S, x: &[f32], at: usize, n: usize) -> S::F {
    if n == S::LANES { s.load(&x[at..at + S::LANES]) } else { s.load_partial(&x[at..at + n], 0.0) }
}

#[inline(always)]
pub(super) fn put<S: Simd>(s: S, x: &mut [f32], at: usize, n: usize, v: S::F) {
    if n == S::LANES { s.store(&mut x[at..at + S::LANES], v) } else { s.store_partial(&mut x[at..at + n], v) }
}
