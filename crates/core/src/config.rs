//! What a model is made of: [`ModelConfig`], plain data with Hugging Face's GPT-2 field names.
//!
//! ```text
//! x = wte[token] + wpe[position]
//! repeat n_layer:  x = x + attn(ln_1(x));  x = x + mlp(ln_2(x))
//! logits = ln_f(x) · lm_headᵀ
//! ```
//!
//! Each variant point is one field, matched once per pass. The defaults are GPT-2's; rope, rmsnorm, swiglu and no biases make a Llama.
//! Source: Radford et al. 2019 (GPT-2), Touvron et al. 2023 (Llama); field names of `transformers.GPT2Config` where it has one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Which architecture the token stream runs through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// A decoder-only transformer.
    #[default]
    Gpt,
    /// `logits = table[token]`: the next token given only the present one, the floor to beat.
    Bigram,
}

/// How the model knows where a token stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionEmbedding {
    /// A trained table, added to the token's (GPT-2).
    #[default]
    Learned,
    /// Fixed sines and cosines, added to the token's embedding times `√C` (Vaswani et al. 2017).
    Sinusoidal,
    /// Queries and keys are rotated by angles that grow with the position (Su et al. 2021; Llama's order of channels).
    Rope,
}

/// What normalises the stream in front of each branch and at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Mean 0 and variance 1, then a gain and (with [`ModelConfig::bias`]) a bias (Ba et al. 2016).
    #[default]
    LayerNorm,
    /// Root mean square 1, then a gain (Zhang & Sennrich 2019).
    RmsNorm,
}

/// What the MLP does between its matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)` with the exact normal distribution function (PyTorch's `GELU()`).
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))`: GPT-2's (PyTorch's `approximate="tanh"`).
    #[default]
    GeluNew,
    /// `silu(x W_gate) ∘ (x W_up)`, `silu(x) = x σ(x)`: a gated unit with half again the matrices (Shazeer 2020; Llama).
    Swiglu,
}

/// Architecture and sizes of a model. `C` = `n_embd`, `T` = `n_positions`, `V` = `vocab_size` elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// GPT or bigram.
    pub architecture: Architecture,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Context length in tokens.
    pub n_positions: usize,
    /// Channels of the residual stream.
    pub n_embd: usize,
    /// Number of transformer blocks.
    pub n_layer: usize,
    /// Attention heads per block; each has `n_embd / n_head` channels.
    pub n_head: usize,
    /// Heads of keys and values: as many as `n_head`, or a divisor of it, each then shared by several queries (grouped-query attention,
    /// Ainslie et al. 2023; with 1, multi-query attention, Shazeer 2019).
    pub n_kv_head: usize,
    /// Hidden channels of the MLP (usually `4 * n_embd`; with a gate 8/3 of it for as many parameters).
    pub n_inner: usize,
    /// How positions enter.
    pub position_embedding_type: PositionEmbedding,
    /// Of rope: the slowest pair of channels turns by `rope_theta^(2/D - 1)` per token.
    pub rope_theta: f32,
    /// Attention sees so many tokens, itself included; `None` sees all (Mistral's `sliding_window`).
    pub sliding_window: Option<usize>,
    /// Whether each head's queries and keys get root mean square 1 and a gain before they meet (Henry et al. 2020; Qwen 3).
    pub qk_norm: bool,
    /// Which norm.
    pub normalization: Normalization,
    /// Non-linearity of the MLP.
    pub activation_function: Activation,
    /// Whether linear layers and layer norms have biases.
    pub bias: bool,
    /// Added to the norm's variance or mean square before its root.
    pub layer_norm_epsilon: f32,
    /// Whether `lm_head` is the token table itself.
    pub tie_word_embeddings: bool,
    /// Whether `lm_head` has a bias.
    pub lm_head_bias: bool,
    /// Probability of dropping: after the embedding sum, on attention weights, on both residual branches.
    pub dropout: f32,
}

impl Default for ModelConfig {
    /// The `tiny` preset's shape for 65 characters.
    fn default() -> Self {
        Self {
            architecture: Architecture::Gpt,
            vocab_size: 65,
            n_positions: 64,
            n_embd: 128,
            n_layer: 4,
            n_head: 4,
            n_kv_head: 4,
            n_inner: 512,
            position_embedding_type: PositionEmbedding::Learned,
            rope_theta: 10_000.0,
            sliding_window: None,
            qk_norm: false,
            normalization: Normalization::LayerNorm,
            activation_function: Activation::GeluNew,
            bias: true,
            layer_norm_epsilon: 1e-5,
            tie_word_embeddings: true,
            lm_head_bias: false,
            dropout: 0.0,
        }
    }
}

/// Largest value accepted for any size: keeps every product of two sizes inside 64 bits.
const MAX_SIZE: usize = 1 << 24;

/// Most blocks. The deepest GPTs have about a hundred; recording a million would take memory that no check foresees.
const MAX_LAYERS: usize = 1024;

impl ModelConfig {
    /// Checks every field; the error names the field, its value and the allowed range.
    pub fn validate(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Config(message));
        for (name, value, most) in [
            ("vocab_size", self.vocab_size, MAX_SIZE),
            ("n_positions", self.n_positions, MAX_SIZE),
            ("n_embd", self.n_embd, MAX_SIZE),
            ("n_layer", self.n_layer, MAX_LAYERS),
            ("n_head", self.n_head, MAX_SIZE),
            ("n_kv_head", self.n_kv_head, MAX_SIZE),
            ("n_inner", self.n_inner, MAX_SIZE),
            ("sliding_window", self.sliding_window.unwrap_or(1), MAX_SIZE),
        ] {
            if value == 0 || value > most {
                return fail(format!("{name} is {value}; it must be between 1 and {most}"));
            }
        }
        if self.num_parameters() > u64::from(u32::MAX) {
            return fail(format!(
                "these sizes make {} parameters; the most is {}, what 32-bit indices reach",
                self.num_parameters(),
                u32::MAX
            ));
        }
        if !self.n_embd.is_multiple_of(self.n_head) {
            return fail(format!(
                "n_embd ({}) is not divisible by n_head ({}): every head needs the same number of channels",
                self.n_embd, self.n_head
            ));
        }
        if !self.n_head.is_multiple_of(self.n_kv_head) {
            return fail(format!(
                "n_head ({}) is not divisible by n_kv_head ({}): every head of keys serves the same number of queries",
                self.n_head, self.n_kv_head
            ));
        }
        if self.position_embedding_type == PositionEmbedding::Rope && !self.head_dim().is_multiple_of(2) {
            return fail(format!(
                "a head has {} channels (n_embd / n_head), and rope turns pairs of them: make it even",
                self.head_dim()
            ));
        }
        if !(1.0..=1e9).contains(&self.rope_theta) {
            return fail(format!("rope_theta is {}; it must be between 1 and 1e9", self.rope_theta));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fail(format!("dropout is {}; it must be in [0, 1)", self.dropout));
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon < 1.0) {
            return fail(format!("layer_norm_epsilon is {}; it must be in (0, 1)", self.layer_norm_epsilon));
        }
        if self.tie_word_embeddings && self.architecture == Architecture::Bigram {
            return fail("a bigram has one table and no head to tie: set tie_word_embeddings to false".into());
        }
        Ok(())
    }

    /// Every field as JSON. By way of its text, as in files: made at once, a float32 of 1e-5 would be the float64 0.000009999999747378752.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let json = serde_json::to_vec(self).expect("a configuration is plain data");
        serde_json::from_slice(&json).expect("it was just written")
    }

    /// The first field in which `other` differs: its name, its value here and there.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<(String, Value, Value)> {
        let pairs = self.fields().into_iter().zip(other.fields());
        pairs.map(|((name, here), (_, there))| (name, here, there)).find(|(_, here, there)| here != there)
    }

    /// Channels per head, `D`.
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }

    /// Channels of queries, keys and values side by side, `(NH + 2 NKV) D`.
    pub fn qkv_channels(&self) -> usize {
        (self.n_head + 2 * self.n_kv_head) * self.head_dim()
    }

    /// What the MLP's first matrix gives, `F`; with a gate `2F`, the gate first.
    pub fn mlp_channels(&self) -> usize {
        match self.activation_function {
            Activation::Swiglu => 2 * self.n_inner,
            Activation::Relu | Activation::Gelu | Activation::GeluNew => self.n_inner,
        }
    }
}
