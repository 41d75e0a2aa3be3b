//! How `model.safetensors` stores a model's weights.
//!
//! ```text
//! format      matrices of layers                                 token table, head    wpe.weight    vectors
//! f32         F32                                                F32                  F32           F32
//! f16, bf16   F16, BF16                                          the same             the same      the same
//! q8          I8 [N, K], <name>.scale BF16 [N]                   as the layers'       F16           F32
//! q4          U8 [N, 16 blocks], <name>.scale BF16 [N, blocks]   as q8's              F16           F32
//! ```
//!
//! [`crate::quantize`] has the codes. A row of q4 codes does not tell its length, so the file's metadata have `<name>.columns`, `K`.
//! Tables keep more bits, as 4 hurt them out of proportion. Measured on the preset `tiny` (65 characters, loss 1.6774 in float32): 4 bits for
//! the layers alone cost 0.0042, for the token table (1 % of the weights) 0.0082 more, for the positions (1 %) another 0.0028.
//!
//! Folders of q8 and q4 always have Inkling's names and `model_type`: `transformers` has no such codes, and says that it does not know the
//! model instead of reading them as weights.

use serde::{Deserialize, Serialize};

use super::weight_names::{HEAD, TOKENS};
use crate::quantize::q4;

/// The table of learned positions.
const POSITIONS: &str = "wpe.weight";

/// How weights are stored; all are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightFormat {
    /// Float32, as they were trained.
    #[default]
    F32,
    /// Float16: 11 bits of precision, at most 65,504.
    F16,
    /// Bfloat16: 8 bits of precision, float32's range.
    Bf16,
    /// 8 bits a weight and a scale per row.
    Q8,
    /// 4 bits a weight of the layers and a scale per 32; tables as in q8.
    Q4,
}

impl WeightFormat {
    /// All of them, the most exact first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8, Self::Q4];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// PyTorch's name of the type, where there is one.
    pub(super) fn torch_dtype(self) -> Option<&'static str> {
        match self {
            Self::F32 => Some("float32"),
            Self::F16 => Some("float16"),
            Self::Bf16 => Some("bfloat16"),
            Self::Q8 | Self::Q4 => None,
        }
    }

    /// The format of one of the model's tensors, by Inkling's name.
    pub(super) fn of_tensor(self, name: &str, rank: usize) -> Self {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => self,
            Self::Q8 | Self::Q4 if rank != 2 => Self::F32,
            Self::Q8 | Self::Q4 if name == POSITIONS => Self::F16,
            Self::Q4 if name == TOKENS || name == HEAD => Self::Q8,
            Self::Q8 | Self::Q4 => self,
        }
    }

    /// What `config.json` says of it.
    pub(super) fn quantization(self) -> Option<Quantization> {
        let (bits, group_size) = match self {
            Self::F32 | Self::F16 | Self::Bf16 => return None,
            Self::Q8 => (8, None),
            Self::Q4 => (4, Some(q4::BLOCK)),
        };
        Some(Quantization { quant_method: Method::Inkling, bits, group_size })
    }
}

/// `quantization_config`: for people and other programs, as each tensor of the file says itself what it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quantization {
    quant_method: Method,
    bits: u8,
    /// Weights that share a scale; a whole row if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_size: Option<usize>,
}

/// Whose codes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    Inkling,
}
