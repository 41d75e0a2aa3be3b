//! The MLP's non-linearity and its derivative, on slices. On its own it would be a pass over memory; here it runs in the epilogue of the
//! matrix product before it, and the derivative's product in that of the one after.

use crate::config::Activation;
use crate::cpu::math;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// `x = f(x)`.
    pub fn activate<'a>(kind: Activation, x: &'a mut [f32]) => activate_imp
}

#[inline(always)]
fn activate_imp<S: Simd>(s: S, kind: Activation, x: &mut [f32]) {
    match kind {
        Activation::Relu => s.update_each(
            x,
            #[inline(always)]
            |x| math::relu(s, x).0,
        ),
        Activation::Gelu => s.update_each(
            x,
            #[inline(always)]
            |x| math::gelu(s, x),
        ),
        Activation::GeluNew => s.update_each(
            x,
            #[inline(always)]
            |x| math::gelu_new(s, x).0,
        ),
    }
}

simd_dispatch! {
    /// `slope = f'(x)`, then `x = f(x)`. ReLU's derivative at 0 is 0, as in PyTorch.
    pub fn activate_with_slope<'a>(kind: Activation, x: &'a mut [f32], slope: &'a mut [f32]) => activate_with_slope_imp
}

#[inline(always)]
fn activate_with_slope_imp<S: Simd>(s: S, kind: Activation, x: &mut [f32], slope: &mut [f32]) {
    match kind {
        Activation::Relu => s.update_two(
            x,
            slope,
            #[inline(always)]
            |x| math::relu(s, x),
        ),
        Activation::Gelu => s.update_two(
            x,
            slope,
            #[inline(always)]
            |x| (math::gelu(s, x), math::gelu_grad(s, x)),
        ),
        Activation::GeluNew => s.update_two(
            x,
            slope,
            #[inline(always)]
            |x| math::gelu_new(s, x),
        ),
    }
}
