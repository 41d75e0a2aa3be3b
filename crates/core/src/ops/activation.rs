//! The MLP's non-linearity and its derivative, on slices. On its own it would be a pass over memory; here it runs inside the epilogues
//! of the matrix products around it.

use crate::config::Activation;
use crate::cpu::math;
use crate::cpu::simd::Simd;
use crate::simd_dispatch;

simd_dispatch! {
    /// `y = f(x)`.
    pub fn activate<'a>(kind: Activation, x: &'a [f32], y: &'a mut [f32]) => activate_imp
}

#[inline(always)]
fn activate_imp<S: Simd>(s: S, kind: Activation, x: &[f32], y: &mut [f32]) {
    match kind {
        Activation::Relu => s.map(
            x,
            y,
            #[inline(always)]
            |x| s.max(s.splat(0.0), x),
        ),
        Activation::Gelu => s.map(
            x,
            y,
            #[inline(always)]
            |x| math::gelu(s, x),
        ),
        Activation::GeluNew => s.map(
            x,
            y,
            #[inline(always)]
            |x| math::gelu_new(s, x),
        ),
    }
}

simd_dispatch! {
    /// `dy *= f'(x)`, `x` the input of the forward pass. ReLU's derivative at 0 is 0, as in PyTorch.
    pub fn activate_backward<'a>(kind: Activation, x: &'a [f32], dy: &'a mut [f32]) => activate_backward_imp
}

#[inline(always)]
fn activate_backward_imp<S: Simd>(s: S, kind: Activation, x: &[f32], dy: &mut [f32]) {
    match kind {
        Activation::Relu => {
            for (dy, &x) in dy.iter_mut().zip(x) {
                *dy = if x > 0.0 { *dy } else { 0.0 };
            }
        }
        Activation::Gelu => s.update(
            dy,
            x,
            #[inline(always)]
            |dy, x| s.mul(dy, math::gelu_grad(s, x)),
        ),
        Activation::GeluNew => s.update(
            dy,
            x,
            #[inline(always)]
            |dy, x| s.mul(dy, math::gelu_new_grad(s, x)),
        ),
    }
}
