//! GPT-2's keys of `config.json`: `transformers.GPT2Config`, with its defaults.

use serde::{Deserialize, Serialize};

use crate::config::{Activation, Architecture, ModelConfig};

/// The keys that decide what the model computes, and those that `transformers` wants to find.
#[derive(Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Gpt2Config {
    #[serde(skip_deserializing)]
    architectures: [&'static str; 1],
    model_type: String,
    vocab_size: usize,
    #[serde(alias = "max_position_embeddings")]
    n_positions: usize,
    /// What `n_positions` was called; old readers want it, `transformers` ignores it by now.
    #[serde(skip_deserializing)]
    n_ctx: usize,
    #[serde(alias = "hidden_size")]
    n_embd: usize,
    #[serde(alias = "num_hidden_layers")]
    n_layer: usize,
    #[serde(alias = "num_attention_heads")]
    n_head: usize,
    /// `null` is `4 * n_embd`.
    n_inner: Option<usize>,
    activation_function: String,
    resid_pdrop: f32,
    embd_pdrop: f32,
    attn_pdrop: f32,
    layer_norm_epsilon: f32,
    tie_word_embeddings: bool,
    scale_attn_weights: bool,
    scale_attn_by_inverse_layer_idx: bool,
    /// Numerics of mixed precision only; the function computed is the same.
    reorder_and_upcast_attn: bool,
    add_cross_attention: bool,
    #[serde(skip_deserializing)]
    use_cache: bool,
    /// How the file beside stores the weights, by PyTorch's name.
    #[serde(skip_deserializing)]
    pub dtype: &'static str,
    /// `null`: absent, it would be GPT-2's 50256, outside a small vocabulary.
    #[serde(skip_deserializing)]
    bos_token_id: (),
    #[serde(skip_deserializing)]
    eos_token_id: (),
}

impl Default for Gpt2Config {
    /// `GPT2Config()`.
    fn default() -> Self {
        Self {
            architectures: ["GPT2LMHeadModel"],
            model_type: "gpt2".into(),
            vocab_size: 50257,
            n_positions: 1024,
            n_ctx: 1024,
            n_embd: 768,
            n_layer: 12,
            n_head: 12,
            n_inner: None,
            activation_function: "gelu_new".into(),
            resid_pdrop: 0.1,
            embd_pdrop: 0.1,
            attn_pdrop: 0.1,
            layer_norm_epsilon: 1e-5,
            tie_word_embeddings: true,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            reorder_and_upcast_attn: false,
            add_cross_attention: false,
            use_cache: true,
            dtype: "float32",
            bos_token_id: (),
            eos_token_id: (),
        }
    }
}

impl From<&ModelConfig> for Gpt2Config {
    /// As much of `config` as GPT-2's keys can say.
    fn from(config: &ModelConfig) -> Self {
        Self {
            vocab_size: config.vocab_size,
            n_positions: config.n_positions,
            n_ctx: config.n_positions,
            n_embd: config.n_embd,
            n_layer: config.n_layer,
            n_head: config.n_head,
            n_inner: Some(config.n_inner),
            activation_function: match config.activation_function {
                Activation::Relu => "relu",
                Activation::Gelu => "gelu",
                Activation::GeluNew => "gelu_new",
                // Not GPT-2's: who reads it back sees that it does not fit.
                Activation::Swiglu => "swiglu",
            }
            .into(),
            resid_pdrop: config.dropout,
            embd_pdrop: config.dropout,
            attn_pdrop: config.dropout,
            layer_norm_epsilon: config.layer_norm_epsilon,
            tie_word_embeddings: config.tie_word_embeddings,
            ..Self::default()
        }
    }
}

impl Gpt2Config {
    /// The model that these keys describe; the error names the key that asks for something else.
    pub fn to_model(&self) -> Result<ModelConfig, String> {
        let refuse = |key: &str, value: bool| Err(format!("`{key}` is {value}, which is not supported"));
        if self.scale_attn_by_inverse_layer_idx {
            return refuse("scale_attn_by_inverse_layer_idx", true);
        }
        if !self.scale_attn_weights {
            return refuse("scale_attn_weights", false);
        }
        if self.add_cross_attention {
            return refuse("add_cross_attention", true);
        }
        let (resid, embd, attn) = (self.resid_pdrop, self.embd_pdrop, self.attn_pdrop);
        if resid != embd || resid != attn {
            return Err(format!(
                "`resid_pdrop` is {resid}, `embd_pdrop` {embd} and `attn_pdrop` {attn}: there is one dropout rate here, \
                 so set the three to the same value (it matters only for training)"
            ));
        }
        let activation_function = match self.activation_function.as_str() {
            "relu" => Activation::Relu,
            "gelu" => Activation::Gelu,
            // One formula under the two names that `transformers` has for it.
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluNew,
            other => {
                return Err(format!(
                    "the activation_function {other:?} is not supported: \"relu\", \"gelu\" and \"gelu_new\" are"
                ));
            }
        };
        Ok(ModelConfig {
            architecture: Architecture::Gpt,
            vocab_size: self.vocab_size,
            n_positions: self.n_positions,
            n_embd: self.n_embd,
            n_layer: self.n_layer,
            n_head: self.n_head,
            n_kv_head: self.n_head,
            n_inner: self.n_inner.unwrap_or_else(|| self.n_embd.saturating_mul(4)),
            activation_function,
            layer_norm_epsilon: self.layer_norm_epsilon,
            tie_word_embeddings: self.tie_word_embeddings,
            lm_head_bias: false,
            dropout: resid,
            ..ModelConfig::default()
        })
    }
}
