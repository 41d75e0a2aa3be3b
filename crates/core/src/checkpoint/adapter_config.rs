//! `adapter_config.json`: what a folder's adapters are of, in PEFT's form (`peft.LoraConfig`).
//!
//! PEFT's fields that Inkling's adapters have no use for must be as if they were not there: what they say cannot be computed here. What PEFT
//! has no field for is under `inkling`, which PEFT ignores.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config_json::{naming, typed};
use super::weight_format::WeightFormat;
use super::weight_names::Naming;
use super::{ADAPTER_CONFIG_FILE, damaged};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::lora::{BaseFormat, LoraConfig};
use crate::weights::Weights;

/// Largest file read; a usual one has under 2 KB.
const MAX_BYTES: usize = 1 << 20;

/// What adapters are of.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// What is adapted, and how. Only of adapters with an `origin` are `target_modules` and the base's format known.
    pub lora: LoraConfig,
    /// Path or name of the base.
    pub base: String,
    /// What only Inkling's adapters tell.
    pub origin: Option<Origin>,
}

/// Of adapters that Inkling trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// [`crate::weights::sha256`] of the base.
    pub base_sha256: String,
    /// How the base was stored.
    pub base_format: BaseFormat,
    /// In Inkling's names.
    pub target_modules: Vec<String>,
    /// The base as it was trained: its context may be shorter.
    pub model: ModelConfig,
}

/// PEFT's fields that must have this value or be absent.
fn fixed() -> [(&'static str, Vec<Value>); 12] {
    let nothing = || vec![Value::Null, json!([]), json!({})];
    let no = || vec![Value::Null, json!(false)];
    [
        ("bias", vec![json!("none")]),
        ("use_rslora", no()),
        ("use_dora", no()),
        ("use_qalora", no()),
        ("lora_bias", no()),
        ("rank_pattern", nothing()),
        ("alpha_pattern", nothing()),
        ("modules_to_save", nothing()),
        ("layers_to_transform", nothing()),
        ("layer_replication", nothing()),
        ("trainable_token_indices", nothing()),
        ("target_parameters", nothing()),
    ]
}

/// The fields that are read.
#[derive(Deserialize)]
struct File {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f32,
    inkling: Option<Origin>,
}

impl AdapterConfig {
    /// Reads `adapter_config.json`.
    ///
    /// # Errors
    /// A file that is damaged or says what Inkling cannot compute, by the field's name.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let fail = |problem: String| damaged(ADAPTER_CONFIG_FILE, problem);
        if bytes.len() > MAX_BYTES {
            return Err(fail(format!("the file has {} bytes; the largest accepted is {MAX_BYTES}", bytes.len())));
        }
        let fields: Map<String, Value> = typed(bytes).map_err(fail)?;
        let file: File = typed(bytes).map_err(fail)?;
        if file.peft_type != "LORA" {
            return Err(fail(format!("peft_type is {:?}; \"LORA\" is supported", file.peft_type)));
        }
        for (field, allowed) in fixed() {
            if let Some(value) = fields.get(field).filter(|value| !allowed.contains(value)) {
                return Err(fail(format!("`{field}` is {value}, which is not supported: it must be {}", allowed[0])));
            }
        }
        if file.r == 0 || !(file.lora_alpha > 0.0 && file.lora_alpha.is_finite()) {
            return Err(fail(format!("r is {} and lora_alpha {}; both must be above 0", file.r, file.lora_alpha)));
        }
        let base = file.base_model_name_or_path.filter(|base| !base.is_empty());
        let base = base.ok_or_else(|| fail("`base_model_name_or_path` is missing: of which model these are".into()))?;
        if let Some(origin) = &file.inkling {
            origin.model.validate().map_err(|e| fail(format!("`inkling`: {e}")))?;
        }
        let (format, targets) = match &file.inkling {
            Some(origin) => (origin.base_format, origin.target_modules.clone()),
            None => (BaseFormat::F16, vec![]),
        };
        let lora = LoraConfig { r: file.r, lora_alpha: file.lora_alpha, target_modules: targets, base: format };
        if let Some(origin) = &file.inkling {
            lora.check(&origin.model).map_err(|e| fail(e.to_string()))?;
        }
        Ok(Self { lora, base, origin: file.inkling })
    }

    /// The whole model: the base rounded as it was when the adapters were trained, and as it is where nobody says that it was, with the
    /// updates added.
    ///
    /// # Panics
    /// As [`LoraConfig::merge`].
    pub fn merge(&self, base: &mut Weights, adapters: &Weights) {
        self.lora.merge_rounded(self.origin.as_ref().map(|origin| origin.base_format), base, adapters);
    }

    /// Writes it, for adapters of `model`.
    pub(super) fn write(&self, model: &ModelConfig) -> Result<Vec<u8>> {
        let naming = naming(model, WeightFormat::F32);
        let mut targets = self.lora.target_modules.clone();
        if naming == Naming::Llama {
            let adapted = model.parameters().into_iter().filter(|spec| self.lora.targets(&spec.name));
            let parts = adapted.flat_map(|spec| naming.parts(model, &spec));
            targets = parts
                .filter_map(|part| part.name.trim_end_matches(".weight").rsplit('.').next().map(Into::into))
                .collect();
            targets.sort();
            targets.dedup();
        }
        let file = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "r": self.lora.r,
            "lora_alpha": self.lora.lora_alpha,
            "lora_dropout": 0.0,
            "target_modules": targets,
            // PEFT's name for Conv1D's [in, out].
            "fan_in_fan_out": naming == Naming::Gpt2,
            "bias": "none",
            "init_lora_weights": true,
            "inference_mode": true,
            "inkling": self.origin,
        });
        Ok(format!("{file:#}\n").into_bytes())
    }
}
