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
pub use inkling_kernels::lanes::adamw::Constants;
use inkling_kernels::lanes::adamw::{average, update_piece};

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::step::Step;

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
