//! What a model is made of: [`ModelConfig`], plain data with Hugging Face's GPT-2 field names.
//!
//! ```text
//! x = wte[token] + wpe[position]
//! repeat n_layer:  x = x + attn(ln_1(x));  x = x + mlp(ln_2(x))
//! logits = ln_f(x) · lm_headᵀ
//! ```
//!
//! Each variant point is one enum, matched once per pass.
//! Source: Radford et al. 2019 (GPT-2); field names of `transformers.GPT2Config`.

use serde::{Deserialize, Serialize};

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

/// The non-linearity between the two matrices of the MLP.
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
    /// Hidden channels of the MLP (usually `4 * n_embd`).
    pub n_inner: usize,
    /// Non-linearity of the MLP.
    pub activation_function: Activation,
    /// Added to the variance before its root.
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
            n_inner: 512,
            activation_function: Activation::GeluNew,
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
            ("n_inner", self.n_inner, MAX_SIZE),
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

    /// Channels per head, `D`.
    pub fn head_dim(&self) -> usize {
        self.n_embd / self.n_head
    }
}
