//! A linear layer on one token: `y = W x + b`, then an activation or a residual. Every weight is used once, so the time is that of reading
//! them: stored as float16 they take half of it (and a 0.8M model fits a level 2 cache), in 8 or 4 bits less. Sums are float32 in any case.

use crate::cpu::matvec::{matvec, matvec_half, matvec_q4, matvec_q8};
use crate::gpu::dispatch::Source;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::activation::activate;
use crate::ops::elementwise::add;
use crate::ops::linear::Epilogue;
use crate::ops::quantize::Format;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The weights of a decoding step.
#[derive(Clone, Copy, Debug)]
pub enum StoredWeight {
    /// `[N, K]` float32.
    Full(Tensor),
    /// `[N, K]` float16, two to a float's place.
    Half(Tensor),
    /// As [`Quantize`](crate::ops::quantize::Quantize) left them.
    Quantized {
        /// How.
        format: Format,
        /// [`Format::row_bytes`] for each row.
        codes: Tensor,
        /// [`Format::scale_places`].
        scales: Tensor,
    },
}

const NOTHING: Source = Source::Nothing;

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
            StoredWeight::Quantized { format, codes, scales } => {
                let (codes, scales, x) = (mem.read(codes), mem.read(scales), mem.read(self.x));
                let codes: &[u8] = bytemuck::cast_slice(&codes);
                match format {
                    Format::Q8 => matvec_q8(&mem.pool, bytemuck::cast_slice(codes), &scales, &x, &mut y),
                    Format::Q4 => matvec_q4(&mem.pool, codes, bytemuck::cast_slice(&scales), &x, &mut y),
                }
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
        // The shader's number of the format, and how many quads or words of codes a row has.
        let (format, pieces, [full, half, codes, scales]) = match self.weight {
            StoredWeight::Full(weight) => ("FULL", inputs.div_ceil(4), [weight.into(), NOTHING, NOTHING, NOTHING]),
            StoredWeight::Half(weight) => ("HALF", inputs.div_ceil(4), [NOTHING, weight.into(), NOTHING, NOTHING]),
            StoredWeight::Quantized { format, codes, scales } => {
                let name = match format {
                    Format::Q8 => "Q8",
                    Format::Q4 => "Q4",
                };
                (name, format.row_bytes(inputs) / 4, [NOTHING, NOTHING, codes.into(), scales.into()])
            }
        };
        // As many threads as a row has of them, as far as they go.
        let lanes = pieces.next_power_of_two().clamp(8, workgroup);
        let dispatch = Dispatch::new(shader::MATVEC, "matvec")
            .bind("x", self.x)
            .bind("weight", full)
            .bind("halves", half)
            .bind("codes", codes)
            .bind("scales", scales)
            .bind("bias", self.bias)
            .assign("y", self.y)
            .constant("LANES", lanes as f64)
            .constant("FORMAT", shader::MATVEC.constant(format) as f64)
            .constant("ALIGNED", inputs.is_multiple_of(4))
            .constant("HAS_BIAS", self.bias.is_some())
            .param("outputs", outputs)
            .param("inputs", inputs)
            .linear(outputs.div_ceil(shader::MATVEC.constant("ROWS") * (workgroup / lanes)));
        kernels.push(self.epilogue.bind(dispatch));
    }
}
