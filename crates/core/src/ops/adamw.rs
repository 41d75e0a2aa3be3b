//! AdamW (Loshchilov and Hutter 2019; PyTorch's `AdamW`), one pass over a whole arena:
//!
//! ```text
//! g = grad · clip factor
//! m = β₁ m + (1 - β₁) g          v = β₂ v + (1 - β₂) g²
//! w = w - lr · λ · w
//! w = w - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
//! grad = 0
//! ```
//!
//! A step whose gradient norm is not finite (its clip factor is 0) changes nothing but the gradients, which go to zero. It still counts as one of
//! the `t` updates, so that `t` is the run's step.
//!
//! In mixed precision the values are the master weights, and the update leaves a float16 copy of the matrices for their products.

use half::f16;

use crate::cpu::Pool;
use crate::cpu::simd::Simd;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
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

/// The update of an arena.
#[derive(Debug)]
pub struct AdamW {
    /// Values.
    pub value: Tensor,
    /// Gradients; zero afterwards.
    pub grad: Tensor,
    /// First moment.
    pub m: Tensor,
    /// Second moment.
    pub v: Tensor,
    /// `[2]`: gradient norm, clip factor; where the latter is 0 the update is left out.
    pub stats: Tensor,
    /// Float16 copy of the values; assigned.
    pub half: Option<Tensor>,
    /// Constants.
    pub constants: Constants,
}

impl Op for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let stats = mem.read(self.stats);
        let mut grad = mem.write(self.grad);
        if stats[1] == 0.0 {
            grad.fill(0.0);
            return;
        }
        update(
            &mem.pool,
            [&mut mem.write(self.value), &mut grad, &mut mem.write(self.m), &mut mem.write(self.v)],
            stats[1],
            self.constants,
            step,
        );
        if let Some(half) = self.half {
            round(&mem.read(self.value), &mut mem.write(half));
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Constants { beta1, beta2, epsilon, weight_decay } = self.constants;
        let dispatch = Dispatch::new(shader::ADAMW, "update")
            .bind("value", self.value)
            .bind("grad", self.grad)
            .bind("m", self.m)
            .bind("v", self.v)
            .bind("stats", self.stats)
            .assign("half_value", self.half)
            .constant("HAS_HALF", self.half.is_some())
            .param("beta1", beta1)
            .param("beta2", beta2)
            .param("epsilon", epsilon)
            .param("weight_decay", weight_decay);
        push_vectors(kernels, dispatch, self.value);
    }
}

/// One invocation per four elements of `tensor`: arenas are padded to whole vectors.
fn push_vectors(kernels: &mut Kernels<'_>, dispatch: Dispatch, tensor: Tensor) {
    let vectors = kernels.len(tensor).div_ceil(4);
    let workgroups = vectors.div_ceil(shader::ADAMW.constant("WORKGROUP"));
    kernels.push(dispatch.param("vectors", vectors).linear(workgroups));
}

/// Elements per task, a multiple of every vector length.
const PIECE: usize = 1 << 14;

/// See the module. `[value, grad, m, v]` of one length.
pub fn update(pool: &Pool, arena: [&mut [f32]; 4], clip: f32, constants: Constants, step: &Step) {
    pool.pieces(arena.map(|x| (x, PIECE)), |_, [value, grad, m, v]| {
        update_piece(value, grad, m, v, clip, constants, *step);
    });
}

simd_dispatch! {
    fn update_piece<'a>(value: &'a mut [f32], grad: &'a mut [f32], m: &'a mut [f32], v: &'a mut [f32], clip: f32, constants: Constants, step: Step) => update_piece_imp
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

/// Exponential moving average of the values: `ema = decay · ema + (1 - decay) · value`. With `decay` 0 it is a copy.
#[derive(Debug)]
pub struct Ema {
    /// Values.
    pub value: Tensor,
    /// The average.
    pub ema: Tensor,
    /// `[2]`: gradient norm, clip factor; an update that is left out leaves the average alone.
    pub stats: Tensor,
    /// Share of the old average.
    pub decay: f32,
}

impl Op for Ema {
    fn name(&self) -> &'static str {
        "moving average"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        if mem.read(self.stats)[1] == 0.0 {
            return;
        }
        let value = mem.read(self.value);
        let value = &*value;
        let decay = self.decay;
        mem.pool.pieces([(&mut mem.write(self.ema), PIECE)], |i, [ema]| {
            average(ema, &value[i * PIECE..][..ema.len()], decay);
        });
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let dispatch = Dispatch::new(shader::ADAMW, "average")
            .bind("value", self.value)
            .bind("ema", self.ema)
            .bind("stats", self.stats)
            .param("decay", self.decay);
        push_vectors(kernels, dispatch, self.value);
    }
}

simd_dispatch! {
    fn average<'a>(ema: &'a mut [f32], value: &'a [f32], decay: f32) => average_imp
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

/// The float16 copy of the matrices, made anew: once after the values were loaded or exchanged.
#[derive(Debug)]
pub struct RoundMatrices {
    /// Values.
    pub value: Tensor,
    /// Their float16 copy; assigned.
    pub half: Tensor,
}

impl Op for RoundMatrices {
    fn name(&self) -> &'static str {
        "matrices to float16"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        round(&mem.read(self.value), &mut mem.write(self.half));
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let dispatch =
            Dispatch::new(shader::ADAMW, "round_matrices").bind("value", self.value).assign("half_value", self.half);
        push_vectors(kernels, dispatch, self.value);
    }
}

/// Rounds to the nearest float16, kept as float32; values beyond its range become its largest.
fn round(value: &[f32], half: &mut [f32]) {
    let largest = f16::MAX.to_f32();
    for (half, value) in half.iter_mut().zip(value) {
        *half = f16::from_f32(value.clamp(-largest, largest)).to_f32();
    }
}
