//! Parameters that do not train: outside the arenas, so that gradient norm, optimizer and moments know nothing of them.
//!
//! ```text
//! vectors, tables    float32, as any tensor
//! matrices           float16 or q4, unpacked to float32 before each product, with the update of an adapter added (see [`crate::lora`])
//! ```

use super::{Parameter, Program, Tensor};
use crate::lora::{BaseFormat, adapter_names};
use crate::ops::quantize::Format;
use crate::parameters::ParameterSpec;
use crate::quantize::q4;

/// A frozen parameter as recorded.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub spec: ParameterSpec,
    pub kept: Kept,
}

/// Where a frozen parameter is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    Full(Tensor),
    Packed(PackedMatrix),
}

/// A frozen matrix, `[N, K]`.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix {
    /// Its values.
    pub stored: Stored,
    /// What is trained in its place.
    pub adapter: Option<LowRank>,
    /// `N`.
    pub rows: usize,
    /// `K`.
    pub inputs: usize,
}

/// The values of a frozen matrix.
#[derive(Clone, Copy, Debug)]
pub enum Stored {
    /// Float16, two to a word.
    Half(Tensor),
    /// As [`crate::quantize::q4`].
    Q4 {
        /// Four words for each block of a row.
        codes: Tensor,
        /// Bfloat16, two to a word.
        scales: Tensor,
    },
}

impl Stored {
    /// How the values are stored.
    pub fn format(self) -> BaseFormat {
        match self {
            Self::Half(_) => BaseFormat::F16,
            Self::Q4 { .. } => BaseFormat::Q4,
        }
    }
}

/// The update `scale · B A` of a frozen matrix `[N, K]`.
#[derive(Clone, Copy, Debug)]
pub struct LowRank {
    /// `[r, K]`.
    pub a: Parameter,
    /// `[N, r]`.
    pub b: Parameter,
    /// `r`.
    pub rank: usize,
    /// `α / r`.
    pub scale: f32,
}

impl Program {
    /// Adds a frozen parameter in float32.
    pub(crate) fn freeze(&mut self, spec: ParameterSpec) {
        let tensor = self.tensor(&spec.name, &spec.shape);
        self.frozen.push(Frozen { spec, kept: Kept::Full(tensor) });
    }

    /// Adds a frozen matrix, with its adapter where the program has one, which counts `scale` times.
    pub(crate) fn freeze_packed(&mut self, spec: ParameterSpec, format: BaseFormat, scale: f32) {
        let [rows, inputs] = spec.shape[..] else { panic!("{} is no matrix", spec.name) };
        let name = &spec.name;
        let stored = match format {
            BaseFormat::F16 => Stored::Half(self.tensor(&format!("{name}.f16"), &[(rows * inputs).div_ceil(2)])),
            BaseFormat::Q4 => Stored::Q4 {
                codes: self.tensor(&format!("{name}.q4.codes"), &[rows, Format::Q4.row_bytes(inputs) / 4]),
                scales: self.tensor(&format!("{name}.q4.scales"), &[q4::scale_words(rows, inputs)]),
            },
        };
        let [a, b] = adapter_names(name);
        let low_rank = |a_value| {
            let (rank, _) = self.matrix(a_value);
            LowRank { a: self.parameter(&a), b: self.parameter(&b), rank, scale }
        };
        let adapter = self.find(&a).map(low_rank);
        let packed = PackedMatrix { stored, adapter, rows, inputs };
        self.frozen.push(Frozen { spec, kept: Kept::Packed(packed) });
    }

    /// The frozen matrix of that name, if it is one.
    pub(crate) fn packed(&self, name: &str) -> Option<PackedMatrix> {
        self.frozen.iter().find_map(|frozen| match frozen.kept {
            Kept::Packed(packed) if frozen.spec.name == name => Some(packed),
            _ => None,
        })
    }

    /// All frozen parameters in file order.
    pub(crate) fn frozen(&self) -> &[Frozen] {
        &self.frozen
    }

    /// Float32 for a matrix, in memory that all unpacked matrices share: it holds the one that was written last.
    pub(crate) fn unpacked(&mut self, shape: [usize; 2]) -> Tensor {
        let name = format!("unpacked[{}, {}]", shape[0], shape[1]);
        if let Some(tensor) = self.find(&name) {
            return tensor;
        }
        let buffer = *self.unpacked.get_or_insert_with(|| {
            self.buffers.push((0, super::DType::F32));
            self.buffers.len() - 1
        });
        let len = &mut self.buffers[buffer].0;
        *len = (*len).max(shape.iter().product());
        self.add(super::TensorInfo { name, shape: shape.to_vec(), buffer, offset: 0 })
    }

    /// Bytes on a GPU of what is frozen.
    pub fn frozen_bytes(&self) -> u64 {
        let words = |tensor: Tensor| self.shape(tensor).iter().product::<usize>() as u64;
        let all = self.frozen.iter().map(|frozen| match frozen.kept {
            Kept::Full(tensor) | Kept::Packed(PackedMatrix { stored: Stored::Half(tensor), .. }) => words(tensor),
            Kept::Packed(PackedMatrix { stored: Stored::Q4 { codes, scales }, .. }) => words(codes) + words(scales),
        });
        4 * all.sum::<u64>()
    }
}
