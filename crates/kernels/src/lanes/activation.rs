//! The MLP's non-linearity and its derivative, on slices. On its own it would be a pass over memory; here it runs in the epilogue of the
//! matrix product before it, and the derivative's product in that of the one after.

use crate::cpu::math;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

/// A non-linearity of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointwise {
    /// `max(x, 0)`.
    Relu,
    /// `x Φ(x)`.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))`.
    GeluNew,
}

simd_dispatch! {
    /// `x = f(x)`.
    pub fn activate<'a>(kind: Pointwise, x: &'a mut [f32]) => activate_imp
}

#[inline(always)]
fn activate_imp<S: Simd>(s: S, kind: Pointwise, x: &mut [f32]) {
    match kind {
        Pointwise::Relu => s.update_each(
            x,
            #[inline(always)]
            |x| math::relu(s, x).0,
        ),
        Pointwise::Gelu => s.update_each(
            x,
            #[inline(always)]
            |x| math::gelu(s, x),
        ),
        Pointwise::GeluNew => s.update_each(
            x,
            #[inline(always)]
            |x| math::gelu_new(s, x).0,
        ),
    }
}

simd_dispatch! {
    /// `slope = f'(x)`, then `x = f(x)`. ReLU's derivative at 0 is 0, as in PyTorch.
    pub fn activate_with_slope<'a>(kind: Pointwise, x: &'a mut [f32], slope: &'a mut [f32]) => activate_with_slope_imp
}

#[inline(always)]
fn activate_with_slope_imp<S: Simd>(s: S, kind: Pointwise, x: &mut [f32], slope: &mut [f32]) {
    match kind {
        Pointwise::Relu => s.update_two(
            x,
            slope,
            #[inline(always)]
            |x| math::relu(s, x),
        ),
        Pointwise::Gelu => s.update_two(
            x,
            slope,
            #[inline(always)]
            |x| (math::gelu(s, x), math::gelu_grad(s, x)),
        ),
        Pointwise::GeluNew => s.update_two(
            x,
            slope,
            #[inline(always)]
            |x| math::gelu_new(s, x),
        ),
    }
}
