//! `config.json`, which says what the other files of a checkpoint are.
//!
//! ```text
//! {"model_type": "gpt2",    <GPT-2's keys>, "inkling": {<every field of ModelConfig>}}   opens in `transformers`
//! {"model_type": "inkling",                 "inkling": {<every field of ModelConfig>}}   every other architecture
//! {"model_type": "gpt2",    <GPT-2's keys>}                                              written by `transformers`
//! ```
//!
//! Where both GPT-2's keys and `inkling` are there they must agree, since `transformers` reads only the former.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::gpt2_config::Gpt2Config;
use super::weight_names::Naming;
use super::{CONFIG_FILE, damaged};
use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// Largest file read; a usual one has under 2 KB.
const MAX_BYTES: usize = 1 << 20;

/// Fields that `inkling` must state: a default in their place would be a different model without a word.
const REQUIRED: [&str; 12] = [
    "architecture",
    "vocab_size",
    "n_positions",
    "n_embd",
    "n_layer",
    "n_head",
    "n_inner",
    "activation_function",
    "layer_norm_epsilon",
    "tie_word_embeddings",
    "lm_head_bias",
    "dropout",
];

/// The file of an architecture that no model of `transformers` has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InklingFile<C> {
    model_type: String,
    inkling: C,
}

/// The error is a sentence about this file.
type Checked<T> = std::result::Result<T, String>;

/// GPT-2's keys and, in our own files, the full configuration.
#[derive(Serialize)]
struct Gpt2File<'a> {
    #[serde(flatten)]
    gpt2: Gpt2Config,
    inkling: &'a ModelConfig,
}

/// Which tensor names a configuration is saved with: GPT-2's where GPT-2's keys can say all that there is to say.
pub(super) fn naming(config: &ModelConfig) -> Naming {
    let gpt2 = Gpt2Config::from(config).to_model();
    if gpt2.is_ok_and(|gpt2| gpt2 == *config) { Naming::Gpt2 } else { Naming::Inkling }
}

/// Writes `config.json`.
pub(super) fn write(config: &ModelConfig) -> Result<Vec<u8>> {
    config.validate()?;
    let json = match naming(config) {
        Naming::Gpt2 => serde_json::to_vec_pretty(&Gpt2File { gpt2: config.into(), inkling: config }),
        Naming::Inkling => serde_json::to_vec_pretty(&InklingFile { model_type: "inkling".into(), inkling: config }),
    };
    let mut json = json.map_err(|e| damaged(CONFIG_FILE, e.to_string()))?;
    json.push(b'\n');
    Ok(json)
}

/// Reads and validates `config.json`; also says how the tensors beside it are named.
pub(super) fn read(json: &[u8]) -> Result<(ModelConfig, Naming)> {
    let (config, naming) = parse(json).map_err(|problem| damaged(CONFIG_FILE, problem))?;
    config.validate().map_err(|e| match e {
        Error::Config(problem) => damaged(CONFIG_FILE, problem),
        other => other,
    })?;
    Ok((config, naming))
}

fn parse(json: &[u8]) -> Checked<(ModelConfig, Naming)> {
    if json.len() > MAX_BYTES {
        return Err(format!("the file has {} bytes; the largest accepted is {MAX_BYTES}", json.len()));
    }
    let keys: Map<String, Value> = typed(json)?;
    let inkling = keys.get("inkling");
    if let Some(inkling) = inkling {
        check_complete(inkling)?;
    }
    match keys.get("model_type") {
        Some(Value::String(kind)) if kind == "inkling" => {
            Ok((typed::<InklingFile<ModelConfig>>(json)?.inkling, Naming::Inkling))
        }
        Some(Value::String(kind)) if kind == "gpt2" => {
            let outer = typed::<Gpt2Config>(json)?.to_model()?;
            if inkling.is_none() {
                return Ok((outer, Naming::Gpt2));
            }
            let InklingPart { inkling } = typed(json)?;
            check_agreement(&outer, &inkling)?;
            Ok((inkling, Naming::Gpt2))
        }
        None => Err("`model_type` is missing: this is not a model's configuration".into()),
        Some(other) => Err(format!("the model_type {other} is not supported: \"gpt2\" and \"inkling\" are")),
    }
}

fn check_complete(inkling: &Value) -> Checked<()> {
    let Value::Object(fields) = inkling else {
        return Err("`inkling` is not an object".into());
    };
    match REQUIRED.iter().find(|&&field| !fields.contains_key(field)) {
        Some(absent) => Err(format!("`inkling.{absent}` is missing")),
        None => Ok(()),
    }
}

/// The part of a GPT-2 file that is ours.
#[derive(Deserialize)]
struct InklingPart {
    inkling: ModelConfig,
}

/// Deserializes with the key in every error.
fn typed<T: DeserializeOwned>(json: &[u8]) -> Checked<T> {
    // First as JSON alone, so that a syntax error is not blamed on the key before it.
    serde_json::from_slice::<IgnoredAny>(json).map_err(|e| format!("this is not JSON: {e}"))?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(json)).map_err(|e| {
        let path = e.path().to_string();
        if path == "." { e.into_inner().to_string() } else { format!("`{path}`: {}", e.into_inner()) }
    })
}

/// Names the first key on which GPT-2's keys and the `inkling` object differ.
fn check_agreement(outer: &ModelConfig, inkling: &ModelConfig) -> Checked<()> {
    let (outer, inkling) = (fields(outer)?, fields(inkling)?);
    let Some((key, value)) = outer.iter().find(|&(key, value)| inkling.get(key) != Some(value)) else {
        return Ok(());
    };
    let ours = inkling.get(key).map(ToString::to_string).unwrap_or_default();
    Err(format!(
        "`{key}` is {value} by GPT-2's keys (an absent one has GPT-2's default) but `inkling.{key}` is {ours}: \
         they must agree, so change both or neither"
    ))
}

/// A configuration as JSON, its floats as they are written in files.
fn fields(config: &ModelConfig) -> Checked<Map<String, Value>> {
    serde_json::to_string(config).and_then(|json| serde_json::from_str(&json)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Activation, Architecture};

    /// Valid configurations of every size, up to far beyond what fits in memory.
    fn configs() -> impl Strategy<Value = ModelConfig> {
        let size = || prop_oneof![1..100usize, 1..=1usize << 16];
        let activation = prop_oneof![Just(Activation::Relu), Just(Activation::Gelu), Just(Activation::GeluNew)];
        let sizes = (size(), size(), 1..=1024usize, 1..=64usize, 1..=64usize, size());
        let floats = (0.0..1.0f32, f32::MIN_POSITIVE..1.0f32);
        let config =
            (sizes, activation, any::<[bool; 3]>(), floats).prop_map(|(sizes, activation_function, flags, floats)| {
                let (vocab_size, n_positions, n_layer, n_head, head_dim, n_inner) = sizes;
                let [bigram, tied, lm_head_bias] = flags;
                ModelConfig {
                    architecture: if bigram { Architecture::Bigram } else { Architecture::Gpt },
                    vocab_size,
                    n_positions,
                    n_embd: n_head * head_dim,
                    n_layer,
                    n_head,
                    n_kv_head: n_head,
                    n_inner,
                    activation_function,
                    layer_norm_epsilon: floats.1,
                    tie_word_embeddings: tied && !bigram,
                    lm_head_bias,
                    dropout: floats.0,
                    ..ModelConfig::default()
                }
            });
        config.prop_filter("more parameters than 32-bit indices reach", |config| config.validate().is_ok())
    }

    proptest! {
        #[test]
        fn any_configuration_comes_back(config in configs()) {
            let json = write(&config).unwrap();
            let naming = naming(&config);
            let expected = config.architecture == Architecture::Gpt && !config.lm_head_bias;
            prop_assert_eq!(naming == Naming::Gpt2, expected);
            prop_assert_eq!(read(&json).unwrap(), (config, naming));
        }

        /// `transformers` sees the same model as the `inkling` object says.
        #[test]
        fn gpt2s_keys_alone_give_the_same_model(config in configs()) {
            let mut file: Map<String, Value> = serde_json::from_slice(&write(&config).unwrap()).unwrap();
            file.remove("inkling");
            let alone = read(&serde_json::to_vec(&file).unwrap());
            if naming(&config) == Naming::Gpt2 {
                prop_assert_eq!(alone.unwrap().0, config);
            } else {
                prop_assert!(alone.is_err());
            }
        }
    }

    #[test]
    fn every_field_is_required() {
        let fields = fields(&ModelConfig::default()).unwrap();
        assert!(fields.keys().eq({
            let mut required = REQUIRED.to_vec();
            required.sort_unstable();
            required
        }));
    }
}
