//! A linear layer on one token: `y = W x + b`, then an activation or a residual. Every weight is used once, so the time is that of reading
//! them: stored as float16 they take half of it (and a 0.8M model fits a level 2 cache). Sums are float32 either way.

use crate::cpu::matvec::{matvec, matvec_half, to_half};
use crate::gpu::dispatch::Source;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::activation::activate;
use crate::ops::elementwise::add;
use crate::ops::linear::Epilogue;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The weights of a decoding step.
#[derive(Clone, Copy, Debug)]
pub enum StoredWeight {
    /// `[N, K]` float32.
    Full(Tensor),
    /// `[N, K]` float16, two to a float's place.
    Half(Tensor),
}

/// See the module.
#[derive(Debug)]
pub struct Matvec {
    /// `[1, K]`.
    pub x: Tensor,
    /// `[N, K]`.
    pub weight: StoredWeight,
    /// `[N]`.
    pub bias: Option<Tensor>,
    /// `[1, N]`, assigned.
    pub y: Tensor,
    /// What follows; dropout and slopes belong to training.
    pub epilogue: Epilogue,
    /// `N · K`.
    pub weights: usize,
}

impl Op for Matvec {
    fn name(&self) -> &'static str {
        "matrix-vector"
    }

    fn flops(&self) -> u64 {
        2 * self.weights as u64
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let mut y = mem.write(self.y);
        match self.weight {
            StoredWeight::Full(weight) => matvec(&mem.pool, &mem.read(weight), &mem.read(self.x), &mut y),
            StoredWeight::Half(weight) => {
                let weight = &mem.read_halves(weight)[..self.weights];
                matvec_half(&mem.pool, weight, &mem.read(self.x), &mut y);
            }
        }
        if let Some(bias) = self.bias {
            add(&mut y, &mem.read(bias));
        }
        match self.epilogue {
            Epilogue::None => {}
            Epilogue::Activation { kind, .. } => activate(kind, &mut y),
            Epilogue::Residual { residual, .. } => add(&mut y, &mem.read(residual)),
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let (inputs, outputs) = (kernels.len(self.x), kernels.len(self.y));
        let workgroup = shader::MATVEC.constant("WORKGROUP");
        // As many threads as a row has quads, as far as they go.
        let lanes = inputs.div_ceil(4).next_power_of_two().clamp(8, workgroup);
        let (full, half) = match self.weight {
            StoredWeight::Full(weight) => (weight.into(), Source::Nothing),
            StoredWeight::Half(weight) => (Source::Nothing, weight.into()),
        };
        let dispatch = Dispatch::new(shader::MATVEC, "matvec")
            .bind("x", self.x)
            .bind("weight", full)
            .bind("halves", half)
            .bind("bias", self.bias)
            .assign("y", self.y)
            .constant("LANES", lanes as f64)
            .constant("HALF", full == Source::Nothing)
            .constant("ALIGNED", inputs.is_multiple_of(4))
            .constant("HAS_BIAS", self.bias.is_some())
            .param("outputs", outputs)
            .param("inputs", inputs)
            .linear(outputs.div_ceil(shader::MATVEC.constant("ROWS") * (workgroup / lanes)));
        kernels.push(self.epilogue.bind(dispatch));
    }
}

/// Rounds a weight to float16, once after it was loaded.
#[derive(Debug)]
pub struct ToHalf {
    /// `[N, K]`.
    pub weight: Tensor,
    /// As many float16, assigned.
    pub half: Tensor,
}

impl Op for ToHalf {
    fn name(&self) -> &'static str {
        "to float16"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        to_half(&mem.read(self.weight), &mut mem.write_halves(self.half));
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let len = kernels.len(self.weight);
        let dispatch = Dispatch::new(shader::MATVEC, "to_half").bind("weight", self.weight).assign("words", self.half);
        let words = len.div_ceil(2);
        kernels.push(dispatch.param("len", len).linear(words.div_ceil(shader::MATVEC.constant("WORKGROUP"))));
    }
}
