//! `config.json`, which says what the other files of a checkpoint are.
//!
//! ```text
//! {"model_type": "gpt2",    <GPT-2's keys>, "inkling": {<every field of ModelConfig>}}   opens in `transformers`
//! {"model_type": "llama",   <Llama's keys>, "inkling": {<every field of ModelConfig>}}   too; also "mistral", "qwen3"
//! {"model_type": "inkling",                 "inkling": {<every field of ModelConfig>}}   every other architecture, and weights as codes
//! {"model_type": "gpt2",    <GPT-2's keys>}                                              written by `transformers`
//! ```
//!
//! Where both a family's keys and `inkling` are there they must agree, since `transformers` reads only the former.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::gpt2_config::Gpt2Config;
use super::llama_config::{self, LlamaConfig};
use super::weight_format::{Quantization, WeightFormat};
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

/// Fields that came later, all at once. A file without any of them means what it meant then: the defaults, and as many heads of keys as of
/// queries.
const SECOND_FORMAT: [&str; 7] =
    ["n_kv_head", "position_embedding_type", "rope_theta", "sliding_window", "qk_norm", "normalization", "bias"];

/// The file of an architecture that no model of `transformers` has, or of weights that it cannot read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InklingFile<C> {
    model_type: String,
    inkling: C,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantization_config: Option<Quantization>,
}

/// The error is a sentence about this file.
type Checked<T> = std::result::Result<T, String>;

/// A family's keys and the full configuration.
#[derive(Serialize)]
struct FamilyFile<'a, K> {
    #[serde(flatten)]
    keys: K,
    inkling: &'a ModelConfig,
}

/// Which tensor names a configuration is saved with: GPT-2's or Llama's where their keys can say all that there is to say.
pub(super) fn naming(config: &ModelConfig, format: WeightFormat) -> Naming {
    let says_all = |model: Checked<ModelConfig>| model.is_ok_and(|model| model == *config);
    if format.quantization().is_some() {
        Naming::Inkling
    } else if says_all(Gpt2Config::from(config).to_model()) {
        Naming::Gpt2
    } else if says_all(LlamaConfig::from(config).to_model()) {
        Naming::Llama
    } else {
        Naming::Inkling
    }
}

/// Writes `config.json`.
pub(super) fn write(config: &ModelConfig, format: WeightFormat) -> Result<Vec<u8>> {
    config.validate()?;
    let dtype = format.torch_dtype();
    let json = match naming(config, format) {
        Naming::Gpt2 => {
            let mut keys = Gpt2Config::from(config);
            keys.dtype = dtype.unwrap_or(keys.dtype);
            serde_json::to_vec_pretty(&FamilyFile { keys, inkling: config })
        }
        Naming::Llama => {
            let mut keys = LlamaConfig::from(config);
            keys.dtype = dtype.unwrap_or(keys.dtype);
            serde_json::to_vec_pretty(&FamilyFile { keys, inkling: config })
        }
        Naming::Inkling => {
            let quantization_config = format.quantization();
            let file = InklingFile { model_type: "inkling".into(), inkling: config, quantization_config };
            serde_json::to_vec_pretty(&file)
        }
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
    let kind = match keys.get("model_type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(other) => return Err(format!("the model_type {other} is not a name")),
        None => return Err("`model_type` is missing: this is not a model's configuration".into()),
    };
    let form = keys.get("inkling").map(form).transpose()?;
    let (outer, naming) = match kind {
        "inkling" => {
            let InklingFile { inkling, .. } = typed(json)?;
            return Ok((with_form(inkling, form), Naming::Inkling));
        }
        "gpt2" => (typed::<Gpt2Config>(json)?.to_model()?, Naming::Gpt2),
        llama if llama_config::MODEL_TYPES.contains(&llama) => (typed::<LlamaConfig>(json)?.to_model()?, Naming::Llama),
        other => {
            let families = llama_config::MODEL_TYPES.map(|family| format!("{family:?}")).join(", ");
            return Err(format!("the model_type {other:?} is not supported: \"gpt2\", {families} and \"inkling\" are"));
        }
    };
    if keys.get("quantization_config").is_some_and(|value| !value.is_null()) {
        return Err(
            "`quantization_config` is there: weights quantised by other programs are not supported, so take the \
             model that this one was made from"
                .into(),
        );
    }
    if form.is_none() {
        return Ok((outer, naming));
    }
    let InklingPart { inkling } = typed(json)?;
    let inkling = with_form(inkling, form);
    check_agreement(&outer, &inkling, kind)?;
    Ok((inkling, naming))
}

/// Which fields an `inkling` object has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Without those of [`SECOND_FORMAT`].
    First,
    Second,
}

/// The object's form; the error names a field that is missing.
fn form(inkling: &Value) -> Checked<Form> {
    let Value::Object(fields) = inkling else {
        return Err("`inkling` is not an object".into());
    };
    let form = if SECOND_FORMAT.iter().any(|&field| fields.contains_key(field)) { Form::Second } else { Form::First };
    let later: &[&str] = if form == Form::Second { &SECOND_FORMAT } else { &[] };
    match REQUIRED.iter().chain(later).find(|&&field| !fields.contains_key(field)) {
        Some(absent) => Err(format!("`inkling.{absent}` is missing")),
        None => Ok(form),
    }
}

/// What an object of this form means.
fn with_form(inkling: ModelConfig, form: Option<Form>) -> ModelConfig {
    match form {
        Some(Form::First) => ModelConfig { n_kv_head: inkling.n_head, ..inkling },
        _ => inkling,
    }
}

/// The part of a family's file that is ours.
#[derive(Deserialize)]
struct InklingPart {
    inkling: ModelConfig,
}

/// Deserializes with the key in every error.
pub(super) fn typed<T: DeserializeOwned>(json: &[u8]) -> Checked<T> {
    // First as JSON alone, so that a syntax error is not blamed on the key before it.
    serde_json::from_slice::<IgnoredAny>(json).map_err(|e| format!("this is not JSON: {e}"))?;
    with_path(json)
}

#[cfg(not(target_family = "wasm"))]
fn with_path<T: DeserializeOwned>(json: &[u8]) -> Checked<T> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(json)).map_err(|e| {
        let path = e.path().to_string();
        if path == "." { e.into_inner().to_string() } else { format!("`{path}`: {}", e.into_inner()) }
    })
}

/// With line and column in place of the key: each reader is half as long to download.
#[cfg(target_family = "wasm")]
fn with_path<T: DeserializeOwned>(json: &[u8]) -> Checked<T> {
    serde_json::from_slice(json).map_err(|e| e.to_string())
}

/// Names the first key on which a family's keys and the `inkling` object differ.
fn check_agreement(outer: &ModelConfig, inkling: &ModelConfig, kind: &str) -> Checked<()> {
    let Some((key, value, ours)) = outer.first_difference(inkling) else {
        return Ok(());
    };
    Err(format!(
        "`{key}` is {value} by the keys of a {kind} (an absent one has its default) but `inkling.{key}` is {ours}: \
         they must agree, so change both or neither"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::{Activation, Architecture, Normalization, PositionEmbedding};

    /// Valid configurations of every size, up to far beyond what fits in memory: of GPT-2's shape, of Llama's, and of none.
    fn configs() -> impl Strategy<Value = ModelConfig> {
        let size = || prop_oneof![1..100usize, 1..=1usize << 16];
        let sizes = (size(), size(), 1..=1024usize, 1..=16usize, 1..=4usize, 1..=64usize, size());
        let activation = prop_oneof![
            Just(Activation::Relu),
            Just(Activation::Gelu),
            Just(Activation::GeluNew),
            Just(Activation::Swiglu)
        ];
        let position = prop_oneof![
            Just(PositionEmbedding::Learned),
            Just(PositionEmbedding::Sinusoidal),
            Just(PositionEmbedding::Rope)
        ];
        let norm = prop_oneof![Just(Normalization::LayerNorm), Just(Normalization::RmsNorm)];
        let more = (position, 1.0..1e9f32, prop::option::of(size()), norm);
        let floats = (0.0..1.0f32, f32::MIN_POSITIVE..1.0f32);
        let parts = (sizes, activation, any::<[bool; 5]>(), more, floats, 0..4u8);
        let config = parts.prop_map(|(sizes, activation_function, flags, more, floats, shape)| {
            let (vocab_size, n_positions, n_layer, n_kv_head, groups, head_dim, n_inner) = sizes;
            let [bigram, tied, lm_head_bias, qk_norm, bias] = flags;
            let n_head = n_kv_head * groups;
            let any = ModelConfig {
                architecture: if bigram { Architecture::Bigram } else { Architecture::Gpt },
                vocab_size,
                n_positions,
                n_embd: n_head * head_dim,
                n_layer,
                n_head,
                n_kv_head,
                n_inner,
                position_embedding_type: more.0,
                rope_theta: more.1,
                sliding_window: more.2,
                qk_norm,
                normalization: more.3,
                activation_function,
                bias,
                layer_norm_epsilon: floats.1,
                tie_word_embeddings: tied && !bigram,
                lm_head_bias,
                dropout: floats.0,
            };
            match shape {
                0 => gpt2_shaped(any),
                1 => llama_shaped(any),
                _ => any,
            }
        });
        config.prop_filter("not every head can be rotated, nor every size indexed", |config| config.validate().is_ok())
    }

    fn gpt2_shaped(config: ModelConfig) -> ModelConfig {
        let ModelConfig { vocab_size, n_positions, n_embd, n_layer, n_head, n_inner, .. } = config;
        ModelConfig {
            vocab_size,
            n_positions,
            n_embd,
            n_layer,
            n_head,
            n_kv_head: n_head,
            n_inner,
            activation_function: match config.activation_function {
                Activation::Swiglu => Activation::GeluNew,
                others => others,
            },
            layer_norm_epsilon: config.layer_norm_epsilon,
            tie_word_embeddings: config.tie_word_embeddings,
            dropout: config.dropout,
            ..ModelConfig::default()
        }
    }

    fn llama_shaped(config: ModelConfig) -> ModelConfig {
        ModelConfig {
            architecture: Architecture::Gpt,
            position_embedding_type: PositionEmbedding::Rope,
            normalization: Normalization::RmsNorm,
            activation_function: Activation::Swiglu,
            bias: false,
            lm_head_bias: false,
            ..config
        }
    }

    /// What `transformers` can compute, decided apart from how it is written.
    fn expected_naming(config: &ModelConfig) -> Naming {
        if *config == gpt2_shaped(config.clone()) {
            Naming::Gpt2
        } else if *config == llama_shaped(config.clone()) {
            Naming::Llama
        } else {
            Naming::Inkling
        }
    }

    proptest! {
        #[test]
        fn any_configuration_comes_back(config in configs()) {
            let json = write(&config, WeightFormat::F32).unwrap();
            let naming = naming(&config, WeightFormat::F32);
            prop_assert_eq!(naming, expected_naming(&config));
            prop_assert_eq!(read(&json).unwrap(), (config, naming));
        }

        /// `transformers` sees the same model as the `inkling` object says.
        #[test]
        fn a_familys_keys_alone_give_the_same_model(config in configs()) {
            let mut file: Map<String, Value> = serde_json::from_slice(&write(&config, WeightFormat::F32).unwrap()).unwrap();
            file.remove("inkling");
            let alone = read(&serde_json::to_vec(&file).unwrap());
            if naming(&config, WeightFormat::F32) == Naming::Inkling {
                prop_assert!(alone.is_err());
            } else {
                prop_assert_eq!(alone.unwrap().0, config);
            }
        }
    }

    #[test]
    fn every_field_is_required() {
        let fields = ModelConfig::default().fields();
        let mut required = [&REQUIRED[..], &SECOND_FORMAT[..]].concat();
        required.sort_unstable();
        assert!(fields.keys().eq(required));
    }

    #[test]
    fn a_file_from_before_the_later_fields_means_what_it_meant() {
        let lm_head_bias = ModelConfig { lm_head_bias: true, n_kv_head: 8, n_head: 8, ..ModelConfig::default() };
        for config in [lm_head_bias, ModelConfig { n_head: 2, n_kv_head: 2, ..ModelConfig::default() }] {
            let mut file: Value = serde_json::from_slice(&write(&config, WeightFormat::F32).unwrap()).unwrap();
            for field in SECOND_FORMAT {
                file["inkling"].as_object_mut().unwrap().remove(field).unwrap();
            }
            assert_eq!(read(&serde_json::to_vec(&file).unwrap()).unwrap().0, config);
            // One of them alone leaves open what the others are.
            for field in SECOND_FORMAT {
                let mut file = file.clone();
                file["inkling"][field] = config.fields()[field].clone();
                let message = read(&serde_json::to_vec(&file).unwrap()).unwrap_err().to_string();
                assert!(message.contains("`inkling.") && message.contains("is missing"), "{message}");
            }
        }
    }

    #[test]
    fn each_family_gets_what_it_can_say() {
        let llama = llama_shaped(ModelConfig::default());
        let mistral = ModelConfig { sliding_window: Some(16), ..llama.clone() };
        let qwen3 = ModelConfig { qk_norm: true, ..llama.clone() };
        let both = ModelConfig { qk_norm: true, ..mistral.clone() };
        for (config, kind) in [
            (ModelConfig::default(), "gpt2"),
            (llama, "llama"),
            (mistral, "mistral"),
            (qwen3, "qwen3"),
            (both, "qwen3"),
            (ModelConfig { n_kv_head: 2, ..ModelConfig::default() }, "inkling"),
        ] {
            let file: Value = serde_json::from_slice(&write(&config, WeightFormat::F32).unwrap()).unwrap();
            assert_eq!(file["model_type"], json!(kind));
        }
    }
}
