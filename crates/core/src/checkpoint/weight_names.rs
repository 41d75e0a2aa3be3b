//! [`Weights`] to and from the tensors of `model.safetensors`.
//!
//! ```text
//! model_type   name in the file       layout of c_attn, c_proj, c_fc    lm_head.weight, wte.weight
//! gpt2         transformer.<name>     [in, out] (Conv1D)                [V, C]
//! inkling      <name>                 [out, in] (nn.Linear)             [V, C]
//! ```
//!
//! GPT-2's file names are also read without `transformer.`, as in the `gpt2` repository itself; `lm_head.weight` never has it.
//! Source: `transformers.GPT2LMHeadModel`, `transformers.pytorch_utils.Conv1D`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::tensor_file::{TensorFile, Tensors};
use super::{MODEL_FILE, damaged};
use crate::config::{Architecture, ModelConfig};
use crate::error::Result;
use crate::weights::{HostTensor, Weights};

const PREFIX: &str = "transformer.";
const HEAD: &str = "lm_head.weight";
const TOKENS: &str = "wte.weight";

/// Names that one list in a message shows.
const SHOWN: usize = 6;

/// Whose names and layouts a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Gpt2,
    Inkling,
}

impl Naming {
    fn in_file(self, name: &str) -> String {
        match self {
            Self::Gpt2 if !name.starts_with("lm_head.") => format!("{PREFIX}{name}"),
            Self::Gpt2 | Self::Inkling => name.into(),
        }
    }

    /// Inkling's name for a tensor of the file.
    fn in_memory(self, name: &str) -> &str {
        match self {
            Self::Gpt2 => name.strip_prefix(PREFIX).unwrap_or(name),
            Self::Inkling => name,
        }
    }

    /// Whether the file has this tensor as Conv1D does, `[in, out]`.
    fn is_transposed(self, name: &str) -> bool {
        let conv1d = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"];
        self == Self::Gpt2 && conv1d.iter().any(|end| name.ends_with(end))
    }

    /// Causal masks, which old files carry as if they were parameters.
    fn is_mask(self, name: &str) -> bool {
        self == Self::Gpt2 && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"))
    }
}

/// The tensors of `model.safetensors` for `weights`, which must be exactly those of `config`.
pub(super) fn to_file<'a>(config: &ModelConfig, naming: Naming, weights: &'a Weights) -> Result<Tensors<'a>> {
    let mut fit = Fit::default();
    let mut tensors = Tensors::new();
    for spec in config.parameters() {
        let Some(tensor) = weights.get(&spec.name) else {
            fit.missing.push(spec.name);
            continue;
        };
        fit.check_shape(&spec.name, &tensor.shape, &spec.shape);
        // What does not fit is refused below or by the writer, and must not be indexed before.
        let fits = tensor.shape == spec.shape && tensor.data.len() == spec.numel();
        let transposed = naming.is_transposed(&spec.name) && fits;
        let tensor = if transposed { Cow::Owned(transpose(tensor)) } else { Cow::Borrowed(tensor) };
        tensors.insert(naming.in_file(&spec.name), tensor);
    }
    let known = |name: &String| tensors.contains_key(&naming.in_file(name));
    fit.extra = weights.keys().filter(|name| !known(name)).cloned().collect();
    fit.finish(MODEL_FILE)?;
    Ok(tensors)
}

/// The weights in `file`, which must be exactly those of `config`. Shapes are compared before anything is converted.
pub(super) fn from_file(config: &ModelConfig, naming: Naming, file: &TensorFile) -> Result<Weights> {
    let (layers, tensors) = (config.n_layer, file.len());
    // A file with fewer tensors than the model has layers need not be searched for each of them, nor its list be made.
    if layers > tensors && config.architecture == Architecture::Gpt {
        let problem = format!("the configuration has {layers} layers, but this file has only {tensors} tensors");
        return Err(damaged(MODEL_FILE, problem));
    }
    let mut fit = Fit::default();
    let mut found = BTreeMap::new();
    for (in_file, shape) in file.shapes().filter(|(name, _)| !naming.is_mask(name)) {
        if let Some((other, _)) = found.insert(naming.in_memory(in_file), (in_file, shape)) {
            return Err(damaged(MODEL_FILE, format!("`{other}` and `{in_file}` are the same tensor under two names")));
        }
    }
    // A tied head repeats the token table in some files; whether it really does is checked below.
    let tied_head = if naming == Naming::Gpt2 && config.tie_word_embeddings { found.remove(HEAD) } else { None };

    let mut plan = Vec::new();
    for mut spec in config.parameters() {
        let transposed = naming.is_transposed(&spec.name);
        if transposed {
            spec.shape.reverse();
        }
        match found.remove(spec.name.as_str()) {
            None => fit.missing.push(naming.in_file(&spec.name)),
            Some((in_file, shape)) => {
                fit.check_shape(in_file, shape, &spec.shape);
                plan.push((spec.name, in_file, transposed));
            }
        }
    }
    fit.extra = found.values().map(|(in_file, _)| in_file.to_string()).collect();
    fit.finish(MODEL_FILE)?;

    let mut weights = Weights::new();
    for (name, in_file, transposed) in plan {
        let tensor = file.read(in_file)?;
        weights.insert(name, if transposed { transpose(&tensor) } else { tensor });
    }
    if let Some((in_file, _)) = tied_head
        && weights.get(TOKENS) != Some(&file.read(in_file)?)
    {
        let problem = format!(
            "`{in_file}` differs from the token table although {} ties them: set tie_word_embeddings to false to keep it",
            super::CONFIG_FILE
        );
        return Err(damaged(MODEL_FILE, problem));
    }
    Ok(weights)
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

/// How the tensors at hand differ from those of a configuration.
#[derive(Default)]
pub(super) struct Fit {
    pub missing: Vec<String>,
    pub extra: Vec<String>,
    pub misshapen: Vec<String>,
}

impl Fit {
    /// Notes a tensor whose shape is not the configuration's.
    pub fn check_shape(&mut self, name: &str, found: &[usize], expected: &[usize]) {
        if found != expected {
            self.misshapen.push(format!("{name} is {found:?} instead of {expected:?}"));
        }
    }

    /// Fails with everything that was noted.
    pub fn finish(self, file: &str) -> Result<()> {
        let lists = [("missing", self.missing), ("unexpected", self.extra), ("of the wrong shape", self.misshapen)];
        let parts: Vec<String> = lists
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{} {what}: {}", names.len(), capped(&names)))
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        let problem = format!("the tensors are not those of {}; {}", super::CONFIG_FILE, parts.join("; "));
        Err(damaged(file, problem))
    }
}

fn capped(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
