//! Inkling's parameters by the names and layouts of a file.
//!
//! ```text
//! naming    prefix         name            layout
//! gpt2      transformer.   Inkling's       c_attn, c_proj, c_fc as [in, out] (Conv1D)
//! llama     model.         Llama's         queries, keys and values apart, and so gate and up
//! inkling                  Inkling's       [out, in] (nn.Linear), fused
//!
//! c_attn [(NH + 2 NKV) D, C] = rows of q_proj [NH D, C], k_proj [NKV D, C], v_proj [NKV D, C]
//! c_fc   [2F, C]             = rows of gate_proj [F, C], up_proj [F, C]
//! ```
//!
//! Files are also read without the prefix, as the `gpt2` repository itself has its names; `lm_head.weight` never has it.
//! Source: `transformers.GPT2LMHeadModel`, `LlamaForCausalLM` (and Mistral's and Qwen 3's, which share its names),
//! `transformers.pytorch_utils.Conv1D`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::fit::Fit;
use super::tensor_writer::Tensors;
use super::{CONFIG_FILE, MODEL_FILE};
use crate::config::{Architecture, ModelConfig};
use crate::error::Result;
use crate::parameters::ParameterSpec;
use crate::weights::{HostTensor, Weights};

/// The head, which a file of a tied model may repeat; called the same everywhere.
pub(super) const HEAD: &str = "lm_head.weight";
/// What it repeats.
pub(super) const TOKENS: &str = "wte.weight";

/// Whose names and layouts a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Gpt2,
    Llama,
    Inkling,
}

/// A tensor of the file that holds a parameter, or some of its rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// In the file, without the prefix.
    pub name: String,
    /// In the file.
    pub shape: Vec<usize>,
    /// Whether the file has `[in, out]`.
    pub transposed: bool,
}

impl Part {
    /// The tensor as Inkling has it.
    pub fn read(&self, tensor: HostTensor) -> HostTensor {
        if self.transposed { transpose(&tensor) } else { tensor }
    }
}

impl Naming {
    /// What stands before the names of the transformer's own tensors.
    fn prefix(self) -> &'static str {
        match self {
            Self::Gpt2 => "transformer.",
            Self::Llama => "model.",
            Self::Inkling => "",
        }
    }

    /// A part's whole name.
    pub fn in_file(self, part: &str) -> String {
        let prefix = if part.starts_with("lm_head.") { "" } else { self.prefix() };
        format!("{prefix}{part}")
    }

    /// The part that a tensor of the file is by its name.
    pub fn part_name(self, in_file: &str) -> &str {
        in_file.strip_prefix(self.prefix()).unwrap_or(in_file)
    }

    /// What a parameter is made of in the file, its rows from the first to the last.
    pub fn parts(self, config: &ModelConfig, spec: &ParameterSpec) -> Vec<Part> {
        let whole = |name: &str| vec![Part { name: name.into(), shape: spec.shape.clone(), transposed: false }];
        match self {
            Self::Inkling => whole(&spec.name),
            Self::Gpt2 => {
                let mut parts = whole(&spec.name);
                let conv1d = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"];
                if conv1d.iter().any(|end| spec.name.ends_with(end)) {
                    parts[0].transposed = true;
                    parts[0].shape.reverse();
                }
                parts
            }
            Self::Llama => {
                let (queries, keys) = (config.n_head * config.head_dim(), config.n_kv_head * config.head_dim());
                let rows = |layer: &str, names: &[(&str, usize)]| -> Vec<Part> {
                    let part = |&(name, rows): &(&str, usize)| Part {
                        name: format!("{layer}{name}.weight"),
                        shape: vec![rows, config.n_embd],
                        transposed: false,
                    };
                    names.iter().map(part).collect()
                };
                let Some((layer, name)) = spec.name.strip_prefix("h.").and_then(|name| name.split_once('.')) else {
                    return whole(match spec.name.as_str() {
                        "wte.weight" => "embed_tokens.weight",
                        "ln_f.weight" => "norm.weight",
                        head => head,
                    });
                };
                let layer = format!("layers.{layer}.");
                let renamed = |name| whole(&format!("{layer}{name}.weight"));
                match name.trim_end_matches(".weight") {
                    "ln_1" => renamed("input_layernorm"),
                    "attn.c_attn" => {
                        let names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
                        rows(&layer, &[(names[0], queries), (names[1], keys), (names[2], keys)])
                    }
                    "attn.q_norm" => renamed("self_attn.q_norm"),
                    "attn.k_norm" => renamed("self_attn.k_norm"),
                    "attn.c_proj" => renamed("self_attn.o_proj"),
                    "ln_2" => renamed("post_attention_layernorm"),
                    "mlp.c_fc" => rows(&layer, &[("mlp.gate_proj", config.n_inner), ("mlp.up_proj", config.n_inner)]),
                    "mlp.c_proj" => renamed("mlp.down_proj"),
                    other => unreachable!("a model in Llama's names has no {other}"),
                }
            }
        }
    }

    /// What old files carry as if it were a parameter, although it follows from the configuration: causal masks, and the angles of rope.
    pub fn is_buffer(self, name: &str) -> bool {
        match self {
            Self::Gpt2 => name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"),
            Self::Llama => name.ends_with("rotary_emb.inv_freq"),
            Self::Inkling => false,
        }
    }

    /// Whether a file of a tied model may repeat the token table as its head.
    pub fn may_repeat_head(self, config: &ModelConfig) -> bool {
        self != Self::Inkling && config.tie_word_embeddings && config.architecture == Architecture::Gpt
    }
}

/// The tensors of `model.safetensors` for `weights`, which must be exactly those of `config`.
pub(super) fn to_file<'a>(config: &ModelConfig, naming: Naming, weights: &'a Weights) -> Result<Tensors<'a>> {
    let mut fit = Fit::default();
    let mut tensors = Tensors::new();
    let mut known = BTreeSet::new();
    for spec in config.parameters() {
        let Some(tensor) = weights.get(&spec.name) else {
            fit.missing.push(spec.name);
            continue;
        };
        fit.check_shape(&spec.name, &tensor.shape, &spec.shape);
        if tensor.shape == spec.shape && tensor.data.len() == spec.numel() {
            let parts = naming.parts(config, &spec);
            tensors.extend(split(tensor, &parts).map(|(name, tensor)| (naming.in_file(name), tensor)));
        } else {
            // Refused below or by the writer, and not to be indexed before.
            tensors.insert(spec.name.clone(), Cow::Borrowed(tensor));
        }
        known.insert(spec.name);
    }
    fit.extra = weights.keys().filter(|name| !known.contains(*name)).cloned().collect();
    fit.finish(MODEL_FILE, CONFIG_FILE)?;
    Ok(tensors)
}

/// The parts of a parameter, each with its name in the file.
fn split<'a, 'p>(
    tensor: &'a HostTensor,
    parts: &'p [Part],
) -> impl Iterator<Item = (&'p str, Cow<'a, HostTensor>)> + use<'a, 'p> {
    let mut rest = &tensor.data[..];
    let is_whole = parts.len() == 1;
    parts.iter().map(move |part| {
        let part_tensor = match (is_whole, part.transposed) {
            (true, false) => Cow::Borrowed(tensor),
            (true, true) => Cow::Owned(transpose(tensor)),
            (false, _) => {
                let data;
                (data, rest) = rest.split_at(part.shape.iter().product());
                Cow::Owned(HostTensor { shape: part.shape.clone(), data: data.to_vec() })
            }
        };
        (part.name.as_str(), part_tensor)
    })
}

/// A parameter from all its parts.
pub(super) fn join(shape: Vec<usize>, parts: Vec<HostTensor>) -> HostTensor {
    let mut parts = parts.into_iter();
    let mut data = parts.next().map(|first| first.data).unwrap_or_default();
    data.reserve_exact(shape.iter().product::<usize>() - data.len());
    parts.for_each(|part| data.extend(part.data));
    HostTensor { shape, data }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(tensor: &HostTensor) -> HostTensor {
    let [rows, columns] = tensor.shape[..] else {
        unreachable!("only matrices are transposed: their shape has been compared with the configuration's")
    };
    let mut data = Vec::with_capacity(tensor.data.len());
    for column in 0..columns {
        data.extend((0..rows).map(|row| tensor.data[row * columns + column]));
    }
    HostTensor { shape: vec![columns, rows], data }
}
