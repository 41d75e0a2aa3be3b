//! Llama's keys of `config.json`, and of the two families that add one thing to it: `transformers.LlamaConfig`, `MistralConfig` (a sliding
//! window), `Qwen3Config` (norms on queries and keys, also with a window).
//!
//! Unlike GPT-2's, sizes have no defaults here: the families' differ, and every published file states its own. What older files lack
//! (`num_key_value_heads` of a Llama, `head_dim`, `rope_theta`) has the meaning that it had then. The rotation's base is written as
//! `transformers` 4 reads it (`rope_theta`) and as 5 does (`rope_parameters`).
//!
//! Llama has one rate of dropout, `attention_dropout`; it is ours, which drops elsewhere too. That matters only for training.

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};

/// The base of the rotation where no key states it.
const DEFAULT_THETA: f32 = 10_000.0;

/// The head's channels in a Qwen 3 that does not state them.
const QWEN3_HEAD_DIM: usize = 128;

/// The families that share these keys, by their `model_type`.
pub(super) const MODEL_TYPES: [&str; 3] = ["llama", "mistral", "qwen3"];

/// What `rope_parameters` or, before, `rope_scaling` says.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Rope {
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f32>,
    rope_type: Option<String>,
    /// What `rope_type` was called; some files have both.
    #[serde(rename = "type", skip_serializing)]
    old_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_rotary_factor: Option<f32>,
}

/// The keys that decide what the model computes, and those that `transformers` wants to find.
#[derive(Serialize, Deserialize)]
pub(super) struct LlamaConfig {
    #[serde(skip_deserializing)]
    architectures: [&'static str; 1],
    model_type: String,
    vocab_size: usize,
    max_position_embeddings: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    /// Absent or `null` in a Llama: `num_attention_heads`.
    num_key_value_heads: Option<usize>,
    /// Absent or `null`: `hidden_size / num_attention_heads`, except in a Qwen 3.
    head_dim: Option<usize>,
    hidden_act: String,
    rms_norm_eps: f32,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_dropout: f32,
    rope_theta: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<Rope>,
    #[serde(skip_serializing)]
    rope_scaling: Option<Rope>,
    #[serde(skip_serializing)]
    partial_rotary_factor: Option<f32>,
    /// Llama and Qwen 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    attention_bias: Option<bool>,
    /// Llama.
    #[serde(skip_serializing_if = "Option::is_none")]
    mlp_bias: Option<bool>,
    /// Mistral, where `null` is none, and Qwen 3.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    sliding_window: Option<Option<usize>>,
    /// Qwen 3: whether the window is used at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    use_sliding_window: Option<bool>,
    /// Qwen 3: blocks below, without a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_window_layers: Option<usize>,
    /// Qwen 3: the same, block by block.
    #[serde(skip_serializing)]
    layer_types: Option<Vec<String>>,
    #[serde(skip_deserializing)]
    use_cache: bool,
    /// How the file beside stores the weights, by PyTorch's name.
    #[serde(skip_deserializing)]
    pub dtype: &'static str,
    /// `null`: absent, they would be Llama's 1 and 2, two characters of a small vocabulary.
    #[serde(skip_deserializing)]
    bos_token_id: (),
    #[serde(skip_deserializing)]
    eos_token_id: (),
}

/// Tells `null` from an absent key.
fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<&ModelConfig> for LlamaConfig {
    /// As much of `config` as the keys of the nearest family can say.
    fn from(config: &ModelConfig) -> Self {
        let window = config.sliding_window;
        let (architecture, model_type) = match (config.qk_norm, window) {
            (true, _) => ("Qwen3ForCausalLM", "qwen3"),
            (false, Some(_)) => ("MistralForCausalLM", "mistral"),
            (false, None) => ("LlamaForCausalLM", "llama"),
        };
        let of = |families: &[&str]| families.contains(&model_type);
        Self {
            architectures: [architecture],
            model_type: model_type.into(),
            vocab_size: config.vocab_size,
            max_position_embeddings: config.n_positions,
            hidden_size: config.n_embd,
            intermediate_size: config.n_inner,
            num_hidden_layers: config.n_layer,
            num_attention_heads: config.n_head,
            num_key_value_heads: Some(config.n_kv_head),
            head_dim: Some(config.head_dim()),
            hidden_act: "silu".into(),
            rms_norm_eps: config.layer_norm_epsilon,
            tie_word_embeddings: config.tie_word_embeddings,
            attention_dropout: config.dropout,
            rope_theta: Some(config.rope_theta),
            rope_parameters: Some(Rope {
                rope_theta: Some(config.rope_theta),
                rope_type: Some("default".into()),
                old_type: None,
                partial_rotary_factor: None,
            }),
            rope_scaling: None,
            partial_rotary_factor: None,
            attention_bias: of(&["llama", "qwen3"]).then_some(false),
            mlp_bias: of(&["llama"]).then_some(false),
            sliding_window: of(&["mistral", "qwen3"]).then_some(window),
            use_sliding_window: of(&["qwen3"]).then_some(window.is_some()),
            max_window_layers: of(&["qwen3"]).then_some(0),
            layer_types: None,
            use_cache: true,
            dtype: "float32",
            bos_token_id: (),
            eos_token_id: (),
        }
    }
}

impl LlamaConfig {
    /// The model that these keys describe; the error names the key that asks for something else.
    pub fn to_model(&self) -> Result<ModelConfig, String> {
        for (key, value) in [("attention_bias", self.attention_bias), ("mlp_bias", self.mlp_bias)] {
            if value == Some(true) {
                return Err(format!("`{key}` is true, which is not supported: a model of this family has no biases"));
            }
        }
        if self.hidden_act != "silu" {
            return Err(format!("the hidden_act {:?} is not supported: \"silu\" is", self.hidden_act));
        }
        self.check_head_dim()?;
        let Some(n_kv_head) =
            self.num_key_value_heads.or((self.model_type == "llama").then_some(self.num_attention_heads))
        else {
            return Err("`num_key_value_heads` is missing".into());
        };
        Ok(ModelConfig {
            architecture: Architecture::Gpt,
            vocab_size: self.vocab_size,
            n_positions: self.max_position_embeddings,
            n_embd: self.hidden_size,
            n_layer: self.num_hidden_layers,
            n_head: self.num_attention_heads,
            n_kv_head,
            n_inner: self.intermediate_size,
            position_embedding_type: PositionEmbedding::Rope,
            rope_theta: self.theta()?,
            sliding_window: self.window()?,
            qk_norm: self.model_type == "qwen3",
            normalization: Normalization::RmsNorm,
            activation_function: Activation::Swiglu,
            bias: false,
            layer_norm_epsilon: self.rms_norm_eps,
            tie_word_embeddings: self.tie_word_embeddings,
            lm_head_bias: false,
            dropout: self.attention_dropout,
        })
    }

    fn check_head_dim(&self) -> Result<(), String> {
        let (channels, heads) = (self.hidden_size, self.num_attention_heads);
        let stated = self.head_dim.or((self.model_type == "qwen3").then_some(QWEN3_HEAD_DIM));
        match stated {
            Some(head_dim) if head_dim.checked_mul(heads) != Some(channels) => Err(format!(
                "`head_dim` is {head_dim}, but here {heads} heads share the {channels} channels of hidden_size evenly: a model \
                 whose heads have more or fewer is not supported"
            )),
            _ => Ok(()),
        }
    }

    /// The base of the rotation, which must not be scaled in any way.
    fn theta(&self) -> Result<f32, String> {
        let mut theta = self.rope_theta;
        let rotations = [("rope_parameters", &self.rope_parameters), ("rope_scaling", &self.rope_scaling)];
        for (key, rope) in rotations.into_iter().filter_map(|(key, rope)| Some((key, rope.as_ref()?))) {
            if let Some(kind) = [&rope.rope_type, &rope.old_type].into_iter().flatten().find(|&kind| kind != "default")
            {
                return Err(format!("the rope_type {kind:?} of `{key}` is not supported: only \"default\" is"));
            }
            match (theta, rope.rope_theta) {
                (Some(outer), Some(inner)) if outer != inner => {
                    return Err(format!(
                        "`rope_theta` is {outer} but `{key}.rope_theta` is {inner}: they must agree, so change both or neither"
                    ));
                }
                (outer, inner) => theta = outer.or(inner),
            }
        }
        let factors = [&self.rope_parameters, &self.rope_scaling].map(|rope| rope.as_ref()?.partial_rotary_factor);
        let partial = [self.partial_rotary_factor, factors[0], factors[1]].into_iter().flatten();
        match partial.into_iter().find(|&factor| factor != 1.0) {
            Some(factor) => Err(format!("`partial_rotary_factor` is {factor}, which is not supported: only 1 is")),
            None => Ok(theta.unwrap_or(DEFAULT_THETA)),
        }
    }

    /// The window of every block.
    fn window(&self) -> Result<Option<usize>, String> {
        match (self.model_type.as_str(), self.sliding_window) {
            ("mistral", None) => {
                Err("`sliding_window` is missing: a Mistral has a window in tokens, or null for none".into())
            }
            ("mistral", Some(window)) => Ok(window),
            ("qwen3", _) => self.qwen3_window(),
            (family, Some(Some(window))) => {
                Err(format!("`sliding_window` is {window}, but a {family} has none: model_type \"mistral\" has"))
            }
            (_, _) => Ok(None),
        }
    }

    /// Which blocks have the window is said by `layer_types`, in older files by how many have not.
    fn qwen3_window(&self) -> Result<Option<usize>, String> {
        const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];
        let layers = self.num_hidden_layers;
        let used = self.sliding_window.flatten().filter(|_| self.use_sliding_window == Some(true));
        let with_window = match &self.layer_types {
            Some(types) if types.len() != layers => {
                return Err(format!("`layer_types` has {} entries for {layers} blocks", types.len()));
            }
            Some(types) => match types.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
                Some(other) => return Err(format!("{other:?} in `layer_types` is not supported: {KINDS:?} are")),
                None => types.iter().filter(|&kind| kind == KINDS[1]).count(),
            },
            None if used.is_some() => layers.saturating_sub(self.max_window_layers.unwrap_or(0)),
            None => 0,
        };
        match with_window {
            0 => Ok(None),
            all if all == layers && used.is_some() => Ok(used),
            some => Err(format!("{some} of {layers} blocks have a sliding window: only all or none is supported")),
        }
    }
}
