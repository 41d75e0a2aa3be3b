//! What decoding reads instead of float32 matrices: float16, or the codes and scales of [`crate::quantize`]. Made once, after the weights were
//! loaded.

use half::bf16;

use crate::cpu::matvec::to_half;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::quantize::{q4, q8};
use crate::step::Step;

/// Rounds a weight to float16.
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
        let dispatch =
            Dispatch::new(shader::QUANTIZE, "to_half").bind("weight", self.weight).assign("codes", self.half);
        let words = len.div_ceil(2);
        let dispatch = dispatch.param("rows", 1_usize).param("inputs", len);
        kernels.push(dispatch.linear(words.div_ceil(shader::QUANTIZE.constant("WORKGROUP"))));
    }
}

/// The two formats of codes and scales. Scales are widened to float32, which both engines read as they are
/// (in files they are bfloat16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`crate::quantize::q8`]: rows of codes filled up to whole words of four.
    Q8,
    /// [`crate::quantize::q4`]: codes as there.
    Q4,
}

impl Format {
    /// What follows the weight's name in the names of its tensors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Bytes of the codes of a row of `k` weights: whole words.
    pub fn row_bytes(self, k: usize) -> usize {
        match self {
            Self::Q8 => k.next_multiple_of(4),
            Self::Q4 => q4::row_bytes(k),
        }
    }

    /// Scales of a row of `k` weights.
    pub fn row_scales(self, k: usize) -> usize {
        match self {
            Self::Q8 => 1,
            Self::Q4 => q4::blocks(k),
        }
    }
}

/// Finds a weight's codes and scales, and rounds the weight to what they stand for: so that passes that read the weight itself compute the
/// same model.
#[derive(Debug)]
pub struct Quantize {
    /// Which.
    pub format: Format,
    /// `[N, K]`, rounded.
    pub weight: Tensor,
    /// [`Format::row_bytes`] for each row, assigned.
    pub codes: Tensor,
    /// [`Format::row_scales`] for each row, assigned.
    pub scales: Tensor,
    /// `N`.
    pub rows: usize,
    /// `K`.
    pub inputs: usize,
}

impl Op for Quantize {
    fn name(&self) -> &'static str {
        match self.format {
            Format::Q8 => "quantise to q8",
            Format::Q4 => "quantise to q4",
        }
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let (mut weight, mut codes, mut scales) =
            (mem.write(self.weight), mem.write(self.codes), mem.write(self.scales));
        let codes: &mut [u8] = bytemuck::cast_slice_mut(&mut codes);
        let codes = codes.chunks_exact_mut(self.format.row_bytes(self.inputs));
        let scales = scales.chunks_exact_mut(self.format.row_scales(self.inputs));
        let mut found = vec![bf16::ZERO; self.format.row_scales(self.inputs)];
        for ((w, codes), scales) in weight.chunks_exact_mut(self.inputs).zip(codes).zip(scales) {
            match self.format {
                Format::Q8 => {
                    let (codes, filling) = bytemuck::cast_slice_mut(codes).split_at_mut(w.len());
                    found[0] = q8::quantize_row(w, codes);
                    filling.fill(0);
                    q8::dequantize_row(codes, found[0], w);
                }
                Format::Q4 => {
                    q4::quantize_row(w, codes, &mut found);
                    q4::dequantize_row(codes, &found, w);
                }
            }
            scales.iter_mut().zip(&found).for_each(|(scale, found)| *scale = found.to_f32());
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { format, weight, codes, scales, rows, inputs } = *self;
        let workgroup = shader::QUANTIZE.constant("WORKGROUP");
        let (entry, workgroups) = match format {
            Format::Q8 => ("q8", rows),
            Format::Q4 => ("q4", (rows * q4::blocks(inputs)).div_ceil(workgroup)),
        };
        let dispatch = Dispatch::new(shader::QUANTIZE, entry).bind("weight", weight).assign("codes", codes);
        let dispatch = dispatch.assign("scales", scales).param("rows", rows).param("inputs", inputs);
        kernels.push(dispatch.linear(workgroups));
    }
}
