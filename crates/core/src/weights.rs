//! Named tensors on the host, independent of any engine or file format: what an engine is loaded with and what it
//! hands back.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::hash::hex;

/// A dense row-major float32 tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values.
    pub data: Vec<f32>,
}

/// A model's parameters by Inkling's names (`wte.weight`, `h.0.attn.c_attn.weight`, …): GPT-2's names without the
/// `transformer.` prefix. Every linear weight is `[out, in]` (PyTorch's `nn.Linear`); the transposition to GPT-2's Conv1D
/// `[in, out]` happens only at the checkpoint's border. Ordered, so that iteration is reproducible.
pub type Weights = BTreeMap<String, HostTensor>;

/// What identifies weights, whatever files they are in: the SHA-256 of names, shapes and little-endian values, in the order of the names.
pub fn sha256(weights: &Weights) -> String {
    let mut hasher = Sha256::new();
    for (name, HostTensor { shape, data }) in weights {
        hasher.update(format!("{name} {shape:?}\n"));
        for chunk in data.chunks(1 << 14) {
            hasher.update(chunk.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
    }
    hex(&hasher.finalize())
}
