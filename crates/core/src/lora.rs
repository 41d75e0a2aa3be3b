//! Low-rank adaptation (LoRA; Hu et al. 2021): a model is frozen, and beside each chosen matrix an update of low rank is learnt.
//!
//! ```text
//! W = W₀ + s·B A,    s = α / r        W₀ [N, K] frozen;  A [r, K], B [N, r] trained
//! dB += s·dYᵀ (X Aᵀ)                  dA += s·(dY B)ᵀ X
//! ```
//!
//! A starts uniform within ±1/√K (PEFT's `kaiming_uniform_(a=√5)`) and B at 0, so that training starts at the base. Only A and B have
//! gradients and moments; W₀ is kept in float16 or, as QLoRA does (Dettmers et al. 2023), in 4 bits a weight. What the adapters learn is
//! relative to the base *as it was rounded*: evaluating, sampling and merging round it in the same way, and so give the same model.
//!
//! Names and shapes are PEFT's (`LoraConfig`, `lora_A`, `lora_B`), modules GPT-2's.

use serde::{Deserialize, Serialize};

use crate::config::{Architecture, ModelConfig};
use crate::cpu::Pool;
use crate::error::{Error, Result};
use crate::ops::lora::{Packed, Words, effective_weight};
use crate::parameters::{Init, ParameterSpec};
use crate::weights::Weights;

/// The matrices of a block, which can have adapters.
pub const MODULES: [&str; 4] = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];

/// How matrices of the frozen base are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseFormat {
    /// Float16.
    #[default]
    F16,
    /// [`crate::quantize::q4`]: 4.5 bits a weight.
    Q4,
}

/// What is adapted, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank of the updates.
    pub r: usize,
    /// Updates count `lora_alpha / r` times.
    pub lora_alpha: f32,
    /// Modules that have adapters: by their whole names or the last parts of these, as PEFT matches them; `c_proj` means both.
    pub target_modules: Vec<String>,
    /// How the base is stored.
    pub base: BaseFormat,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let target_modules = ["c_attn", "c_proj"].map(str::to_owned).to_vec();
        Self { r: 8, lora_alpha: 16.0, target_modules, base: BaseFormat::default() }
    }
}

impl LoraConfig {
    /// Factor on the updates.
    pub fn scale(&self) -> f32 {
        self.lora_alpha / self.r as f32
    }

    /// Whether the matrix `h.0.attn.c_attn.weight`, say, has an adapter.
    pub(crate) fn targets(&self, weight: &str) -> bool {
        let Some(module) = module(weight) else { return false };
        self.target_modules.iter().any(|target| is_end(module, target))
    }

    /// Fails when a model cannot be adapted so; the error names the field, its value and what it may be.
    pub fn check(&self, model: &ModelConfig) -> Result<()> {
        let fail = |problem: String| Err(Error::Lora(problem));
        if model.architecture != Architecture::Gpt {
            return fail("a bigram model is one table, which has no matrices to adapt: train it as a whole".into());
        }
        let known = format!("{}; c_attn, c_fc and c_proj (both) for short", MODULES.join(", "));
        if self.target_modules.is_empty() {
            return fail(format!("target_modules is empty; there are {known}"));
        }
        if let Some(unknown) = self.target_modules.iter().find(|t| !MODULES.iter().any(|module| is_end(module, t))) {
            return fail(format!("target_modules has {unknown:?}, which no matrix is called; there are {known}"));
        }
        if !(self.lora_alpha > 0.0 && self.lora_alpha <= 1e6) {
            return fail(format!("lora_alpha is {}; it must be above 0 and at most 1000000", self.lora_alpha));
        }
        let sides = model.parameters().into_iter().filter(|spec| self.targets(&spec.name)).flat_map(|spec| spec.shape);
        let most = sides.min().unwrap_or(0);
        if self.r == 0 || self.r > most {
            return fail(format!(
                "r is {}; it must be between 1 and {most}, the smaller side of the smallest adapted matrix",
                self.r
            ));
        }
        Ok(())
    }

    /// The adapters: what a program trains.
    pub fn parameters(&self, model: &ModelConfig) -> Vec<ParameterSpec> {
        let adapted = model.parameters().into_iter().filter(|spec| self.targets(&spec.name));
        adapted
            .flat_map(|spec| {
                let [a, b] = adapter_names(&spec.name);
                let (outputs, inputs) = (spec.shape[0], spec.shape[1]);
                let bound = 1.0 / (inputs as f32).sqrt();
                [
                    ParameterSpec { name: a, shape: vec![self.r, inputs], init: Init::Uniform(bound) },
                    ParameterSpec { name: b, shape: vec![outputs, self.r], init: Init::Zeros },
                ]
            })
            .collect()
    }

    /// The whole model: matrices of the base rounded as they are stored, with the updates added. Adapters may have any rank.
    ///
    /// # Panics
    /// When `base` is not a model's weights, or an adapter does not fit its matrix.
    pub fn merge(&self, base: &mut Weights, adapters: &Weights) {
        self.merge_rounded(Some(self.base), base, adapters);
    }

    /// [`Self::merge`] with another rounding of the base's matrices, or none.
    pub(crate) fn merge_rounded(&self, format: Option<BaseFormat>, base: &mut Weights, adapters: &Weights) {
        let pool = Pool::new(1);
        for (name, matrix) in base.iter_mut().filter(|(name, _)| is_block_matrix(name)) {
            let [a, b] = adapter_names(name);
            let update = adapters.get(&a).zip(adapters.get(&b)).map(|(a, b)| (&a.data[..], &b.data[..], self.scale()));
            let inputs = matrix.shape[1];
            let words = format.map(|format| Words::pack(format, inputs, &matrix.data));
            let as_read = if words.is_none() { matrix.data.clone() } else { vec![] };
            let stored = words.as_ref().map_or(Packed::Full(&as_read), Words::packed);
            effective_weight(&pool, stored, update, inputs, &mut matrix.data);
        }
    }
}

/// Whether a parameter is a matrix of a block, which LoRA keeps packed.
pub fn is_block_matrix(parameter: &str) -> bool {
    module(parameter).is_some()
}

/// `attn.c_attn` of `h.0.attn.c_attn.weight`.
fn module(parameter: &str) -> Option<&str> {
    let (_, rest) = parameter.strip_prefix("h.")?.split_once('.')?;
    rest.strip_suffix(".weight").filter(|module| MODULES.contains(module))
}

/// Whether a dotted name ends in another, or is it.
fn is_end(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Names of a matrix's A and B.
pub fn adapter_names(weight: &str) -> [String; 2] {
    let module = weight.trim_end_matches(".weight");
    ["lora_A", "lora_B"].map(|which| format!("{module}.{which}.weight"))
}
