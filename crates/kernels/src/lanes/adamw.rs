//! Pieces of an arena: the formulas are at `inkling_core::ops::adamw`.

use crate::cpu::simd::Simd;
use crate::simd_dispatch;
use crate::step::Step;

/// What stays the same all through a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// ε.
    pub epsilon: f32,
    /// λ.
    pub weight_decay: f32,
}

simd_dispatch! {
    /// A piece of an arena; the gradients become 0.
    pub fn update_piece<'a>(value: &'a mut [f32], grad: &'a mut [f32], m: &'a mut [f32], v: &'a mut [f32], clip: f32, constants: Constants, step: Step) => update_piece_imp
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
fn update_piece_imp<S: Simd>(
    s: S,
    value: &mut [f32],
    grad: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    clip: f32,
    constants: Constants,
    step: Step,
) {
    let Constants { beta1, beta2, epsilon, weight_decay } = constants;
    let decay = s.splat(1.0 - step.learning_rate * weight_decay);
    let minus_step = s.splat(-step.learning_rate / step.bias_correction1);
    let inverse_root = s.splat(1.0 / step.bias_correction2.sqrt());
    let (clip, epsilon) = (s.splat(clip), s.splat(epsilon));
    let (beta1, one_minus_beta1) = (s.splat(beta1), s.splat(1.0 - beta1));
    let (beta2, one_minus_beta2) = (s.splat(beta2), s.splat(1.0 - beta2));
    assert!(grad.len() == value.len() && m.len() == value.len() && v.len() == value.len());
    for at in (0..value.len()).step_by(S::LANES) {
        // Arenas are padded to whole vectors.
        let range = at..at + S::LANES;
        let g = s.mul(s.load(&grad[range.clone()]), clip);
        let new_m = s.mul_add(g, one_minus_beta1, s.mul(beta1, s.load(&m[range.clone()])));
        let new_v = s.mul_add(s.mul(g, g), one_minus_beta2, s.mul(beta2, s.load(&v[range.clone()])));
        let denominator = s.mul_add(s.sqrt(new_v), inverse_root, epsilon);
        let w = s.mul(s.load(&value[range.clone()]), decay);
        s.store(&mut value[range.clone()], s.mul_add(s.div(new_m, denominator), minus_step, w));
        s.store(&mut m[range.clone()], new_m);
        s.store(&mut v[range.clone()], new_v);
        s.store(&mut grad[range], s.splat(0.0));
    }
}

simd_dispatch! {
    /// `ema = decay · ema + (1 - decay) · value`.
    pub fn average<'a>(ema: &'a mut [f32], value: &'a [f32], decay: f32) => average_imp
}

#[inline(always)]
fn average_imp<S: Simd>(s: S, ema: &mut [f32], value: &[f32], decay: f32) {
    let (decay, rest) = (s.splat(decay), s.splat(1.0 - decay));
    s.update(
        ema,
        value,
        #[inline(always)]
        |ema, value| s.mul_add(ema, decay, s.mul(value, rest)),
    );
}
