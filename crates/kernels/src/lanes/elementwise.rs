//! The simplest kernels, which the others share.

use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// `y += x`.
    pub fn add<'a>(y: &'a mut [f32], x: &'a [f32]) => add_imp
}

#[inline(always)]
fn add_imp<S: Simd>(s: S, y: &mut [f32], x: &[f32]) {
    s.update(
        y,
        x,
        #[inline(always)]
        |y, x| s.add(y, x),
    );
}

simd_dispatch! {
    /// `y = a x`.
    pub fn scaled<'a>(y: &'a mut [f32], a: f32, x: &'a [f32]) => scaled_imp
}

#[inline(always)]
fn scaled_imp<S: Simd>(s: S, y: &mut [f32], a: f32, x: &[f32]) {
    let a = s.splat(a);
    s.map(
        x,
        y,
        #[inline(always)]
        |x| s.mul(a, x),
    );
}

simd_dispatch! {
    /// `x = a x`.
    pub fn scale<'a>(x: &'a mut [f32], a: f32) => scale_imp
}

#[inline(always)]
fn scale_imp<S: Simd>(s: S, x: &mut [f32], a: f32) {
    let a = s.splat(a);
    s.update_each(
        x,
        #[inline(always)]
        |x| s.mul(a, x),
    );
}

simd_dispatch! {
    /// `y += a x`.
    pub fn add_scaled<'a>(y: &'a mut [f32], a: f32, x: &'a [f32]) => add_scaled_imp
}

#[inline(always)]
fn add_scaled_imp<S: Simd>(s: S, y: &mut [f32], a: f32, x: &[f32]) {
    let a = s.splat(a);
    s.update(
        y,
        x,
        #[inline(always)]
        |y, x| s.mul_add(a, x, y),
    );
}

simd_dispatch! {
    /// `y[m] += x` for every row `y[m]`.
    pub fn add_to_rows<'a>(y: &'a mut [f32], x: &'a [f32]) => add_to_rows_imp
}

#[inline(always)]
fn add_to_rows_imp<S: Simd>(s: S, y: &mut [f32], x: &[f32]) {
    for y in y.chunks_exact_mut(x.len()) {
        add_imp(s, y, x);
    }
}

simd_dispatch! {
    /// `y *= x`.
    pub fn multiply<'a>(y: &'a mut [f32], x: &'a [f32]) => multiply_imp
}

#[inline(always)]
pub(super) fn multiply_imp<S: Simd>(s: S, y: &mut [f32], x: &[f32]) {
    s.update(
        y,
        x,
        #[inline(always)]
        |y, x| s.mul(y, x),
    );
}

simd_dispatch! {
    /// `Σ x²`.
    pub fn sum_of_squares<'a>(x: &'a [f32]) -> f32 => sum_of_squares_imp
}

#[inline(always)]
fn sum_of_squares_imp<S: Simd>(s: S, x: &[f32]) -> f32 {
    s.dot(x, x)
}
