//! What LoRA computes beside the products of a linear layer (see [`crate::lora`]):
//!
//! ```text
//! EffectiveWeight    W = W₀ + s·B A      before each product with W: r/M of its work for M rows
//! Scale              x = s·x             for the gradients of A and B
//! ```

use half::{bf16, f16};

use crate::cpu::Pool;
use crate::cpu::gemm::{Beta, Mat, gemm};
use crate::cpu::matvec::to_half;
use crate::cpu::simd::Simd;
use crate::gpu::dispatch::Source;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::lora::BaseFormat;
use crate::memory::Memory;
use crate::ops::elementwise::scale;
use crate::ops::quantize::Format;
use crate::program::{Op, PackedMatrix, Stored, Tensor};
use crate::quantize::q4;
use crate::simd_dispatch;
use crate::step::Step;
use crate::weights::HostTensor;

/// A frozen matrix `[N, K]` on the host.
#[derive(Clone, Copy, Debug)]
pub enum Packed<'a> {
    /// As it was read. No program stores it so.
    Full(&'a [f32]),
    /// `N · K` float16.
    Half(&'a [u16]),
    /// Rows of [`q4`] blocks, scales as bits of bfloat16.
    Q4 {
        /// [`q4::row_bytes`] for each row.
        codes: &'a [u8],
        /// [`q4::blocks`] for each row.
        scales: &'a [u16],
    },
}

/// The memory of a [`Packed`]: words of a program's tensors.
#[derive(Clone, Debug)]
pub struct Words {
    /// Which.
    pub format: BaseFormat,
    /// Float16, or codes.
    pub codes: Vec<u32>,
    /// Of codes.
    pub scales: Vec<u32>,
}

impl Words {
    /// Rounds a matrix with rows of `inputs` weights.
    pub fn pack(format: BaseFormat, inputs: usize, weights: &[f32]) -> Self {
        let rows = weights.len() / inputs;
        match format {
            BaseFormat::F16 => {
                let mut codes = vec![0; weights.len().div_ceil(2)];
                to_half(weights, bytemuck::cast_slice_mut(&mut codes));
                Self { format, codes, scales: vec![] }
            }
            BaseFormat::Q4 => {
                let mut codes = vec![0; rows * Format::Q4.row_bytes(inputs) / 4];
                let mut scales = vec![0; q4::scale_words(rows, inputs)];
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut codes);
                let bits: &mut [u16] = bytemuck::cast_slice_mut(&mut scales);
                let mut found = vec![bf16::ZERO; q4::blocks(inputs)];
                let rows = weights.chunks_exact(inputs).zip(bytes.chunks_exact_mut(q4::row_bytes(inputs)));
                for ((w, codes), bits) in rows.zip(bits.chunks_exact_mut(found.len())) {
                    q4::quantize_row(w, codes, &mut found);
                    bits.iter_mut().zip(&found).for_each(|(bits, scale)| *bits = scale.to_bits());
                }
                Self { format, codes, scales }
            }
        }
    }

    /// The matrix of that shape in these words, in float32.
    pub fn unpack(&self, shape: Vec<usize>) -> HostTensor {
        let mut data = vec![0.0; shape.iter().product()];
        effective_weight(&Pool::new(1), self.packed(), None, shape[1], &mut data);
        HostTensor { shape, data }
    }

    /// The matrix in these words.
    pub fn packed(&self) -> Packed<'_> {
        packed(self.format, bytemuck::cast_slice(&self.codes), bytemuck::cast_slice(&self.scales))
    }
}

/// The matrix in these bytes.
fn packed<'a>(format: BaseFormat, codes: &'a [u8], scales: &'a [u8]) -> Packed<'a> {
    match format {
        BaseFormat::F16 => Packed::Half(bytemuck::cast_slice(codes)),
        BaseFormat::Q4 => Packed::Q4 { codes, scales: bytemuck::cast_slice(scales) },
    }
}

impl Packed<'_> {
    /// `y = factor · y + row`.
    fn add_to(self, row: usize, factor: f32, y: &mut [f32]) {
        let inputs = y.len();
        match self {
            Self::Full(w) => add_full(factor, &w[row * inputs..][..inputs], y),
            Self::Half(w) => add_half(factor, &w[row * inputs..][..inputs], y),
            Self::Q4 { codes, scales } => {
                let blocks = q4::blocks(inputs);
                let codes = &codes[row * q4::row_bytes(inputs)..][..q4::row_bytes(inputs)];
                add_q4(factor, codes, &scales[row * blocks..][..blocks], y);
            }
        }
    }
}

/// With the same roundings as the others.
fn add_full(factor: f32, w: &[f32], y: &mut [f32]) {
    for (y, &w) in y.iter_mut().zip(w) {
        *y = factor.mul_add(*y, w);
    }
}

simd_dispatch! {
    fn add_half<'a>(factor: f32, w: &'a [u16], y: &'a mut [f32]) => add_half_imp
}

#[inline(always)]
fn add_half_imp<S: Simd>(s: S, factor: f32, w: &[u16], y: &mut [f32]) {
    let whole = y.len() / S::LANES * S::LANES;
    let (y, rest) = y.split_at_mut(whole);
    for (y, w) in y.chunks_exact_mut(S::LANES).zip(w.chunks_exact(S::LANES)) {
        s.store(y, s.mul_add(s.splat(factor), s.load(y), s.load_half(w)));
    }
    for (y, &w) in rest.iter_mut().zip(&w[whole..]) {
        *y = factor.mul_add(*y, f16::from_bits(w).to_f32());
    }
}

simd_dispatch! {
    fn add_q4<'a>(factor: f32, codes: &'a [u8], scales: &'a [u16], y: &'a mut [f32]) => add_q4_imp
}

#[inline(always)]
fn add_q4_imp<S: Simd>(s: S, factor: f32, codes: &[u8], scales: &[u16], y: &mut [f32]) {
    let mut weights = [0.0; q4::BLOCK];
    for ((y, codes), &scale) in y.chunks_mut(q4::BLOCK).zip(codes.chunks_exact(q4::BLOCK_BYTES)).zip(scales) {
        // A bfloat16 is the high half of a float32.
        let scale = s.splat(f32::from_bits(u32::from(scale) << 16));
        for at in (0..q4::BLOCK_BYTES).step_by(S::LANES) {
            let (low, high) = s.load_nibbles(&codes[at..]);
            s.store(&mut weights[at..], s.mul(low, scale));
            s.store(&mut weights[q4::BLOCK_BYTES + at..], s.mul(high, scale));
        }
        let (w, factor) = (&weights[..y.len()], s.splat(factor));
        s.update(
            y,
            w,
            #[inline(always)]
            |y, w| s.mul_add(factor, y, w),
        );
    }
}

/// `out = W₀ + s·B A` of `update = (A, B, s)`, or W₀ alone: rows of `inputs` weights.
///
/// # Panics
/// When the shapes do not fit.
pub fn effective_weight(
    pool: &Pool,
    base: Packed<'_>,
    update: Option<(&[f32], &[f32], f32)>,
    inputs: usize,
    out: &mut [f32],
) {
    let rows = out.len() / inputs;
    match update {
        Some((a, b, factor)) => {
            let rank = a.len() / inputs;
            let (b, a) = (Mat::new(b, rows, rank), Mat::new(a, rank, inputs));
            gemm(pool, b, a, Beta::Assign, [(out, inputs)], |range, [out]| {
                for (row, y) in range.zip(out.chunks_exact_mut(inputs)) {
                    base.add_to(row, factor, y);
                }
            });
        }
        None => pool.rows([(out, inputs)], pool.share(rows, 4), |range, [out]| {
            for (row, y) in range.zip(out.chunks_exact_mut(inputs)) {
                y.fill(0.0);
                base.add_to(row, 1.0, y);
            }
        }),
    }
}

/// `W = W₀ + s·B A`.
#[derive(Debug)]
pub struct EffectiveWeight {
    /// W₀, A and B.
    pub matrix: PackedMatrix,
    /// `[N, K]`, assigned.
    pub out: Tensor,
}

impl Op for EffectiveWeight {
    fn name(&self) -> &'static str {
        "effective weight"
    }

    fn flops(&self) -> u64 {
        let PackedMatrix { adapter, rows, inputs, .. } = self.matrix;
        adapter.map_or(0, |adapter| 2 * (rows * inputs * adapter.rank) as u64)
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let PackedMatrix { stored, adapter, inputs, .. } = self.matrix;
        let (codes, scales) = match stored {
            Stored::Half(halves) => (mem.read(halves), None),
            Stored::Q4 { codes, scales } => (mem.read(codes), Some(mem.read(scales))),
        };
        let scales = scales.as_deref().unwrap_or_default();
        let base = packed(stored.format(), bytemuck::cast_slice(&codes), bytemuck::cast_slice(scales));
        let update = adapter.map(|adapter| (mem.read(adapter.a.value), mem.read(adapter.b.value), adapter.scale));
        let update = update.as_ref().map(|(a, b, factor)| (&a[..], &b[..], *factor));
        effective_weight(&mem.pool, base, update, inputs, &mut mem.write(self.out));
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let PackedMatrix { stored, adapter, rows, inputs } = self.matrix;
        let (codes, scales) = match stored {
            Stored::Half(halves) => (halves, Source::Nothing),
            Stored::Q4 { codes, scales } => (codes, scales.into()),
        };
        let dispatch = Dispatch::new(shader::LORA, "effective_weight")
            .bind("codes", codes)
            .bind("scales", scales)
            .bind("a", adapter.map(|adapter| adapter.a.value))
            .bind("b", adapter.map(|adapter| adapter.b.value))
            .assign("x", self.out)
            .constant("IS_Q4", matches!(stored, Stored::Q4 { .. }))
            .param("len", rows * inputs)
            .param("inputs", inputs)
            .param("rank", adapter.map_or(0, |adapter| adapter.rank))
            .param("factor", adapter.map_or(0.0, |adapter| adapter.scale));
        kernels.push(dispatch.linear((rows * inputs).div_ceil(shader::LORA.constant("WORKGROUP"))));
    }
}

/// `x = s·x`.
#[derive(Debug)]
pub struct Scale {
    /// Any shape, float32.
    pub x: Tensor,
    /// `s`.
    pub factor: f32,
}

impl Op for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        scale(&mut mem.write(self.x), self.factor);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let len = kernels.len(self.x);
        let dispatch = Dispatch::new(shader::LORA, "scale").bind("x", self.x);
        let dispatch = dispatch.param("len", len).param("factor", self.factor);
        let dispatch = dispatch.param("inputs", 1_usize).param("rank", 0_usize);
        kernels.push(dispatch.linear(len.div_ceil(shader::LORA.constant("WORKGROUP"))));
    }
}
