//! Named tensors on the host, independent of any engine or file format: what an engine is loaded with and what it
//! hands back.

use std::collections::BTreeMap;

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
