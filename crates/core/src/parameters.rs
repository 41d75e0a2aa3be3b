//! The parameters that a configuration calls for: names, shapes and initial distributions, in file order.

use crate::config::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};

/// How a parameter starts out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element 0.
    Zeros,
    /// Every element 1.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between plus and minus this.
    Uniform(f32),
}

/// One parameter tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Inkling's name, see [`crate::weights::Weights`].
    pub name: String,
    /// `[out, in]` for matrices, `[rows, channels]` for tables, `[channels]` for vectors.
    pub shape: Vec<usize>,
    /// Initial distribution.
    pub init: Init,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

impl ModelConfig {
    /// Every parameter, in the order in which checkpoints and reports list them.
    ///
    /// Initial values follow GPT-2: N(0, 0.02), the two projections onto the residual stream scaled by `1/√(2 n_layer)`
    /// so that the stream's variance does not grow with depth; biases 0, gains 1.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let (v, t, c, f, d) = (self.vocab_size, self.n_positions, self.n_embd, self.n_inner, self.head_dim());
        let normal = Init::Normal(0.02);
        let residual = Init::Normal(0.02 / (2.0 * self.n_layer as f32).sqrt());
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize], init| {
            let is_linear_or_norm_bias = name.ends_with(".bias") && name != "lm_head.bias";
            let is_norm_bias = name.contains("ln_") && self.normalization == Normalization::RmsNorm;
            if !is_linear_or_norm_bias || (self.bias && !is_norm_bias) {
                list.push(ParameterSpec { name, shape: shape.to_vec(), init });
            }
        };
        if self.architecture == Architecture::Bigram {
            add("wte.weight".into(), &[v, v], normal);
            return list;
        }
        add("wte.weight".into(), &[v, c], normal);
        if self.position_embedding_type == PositionEmbedding::Learned {
            add("wpe.weight".into(), &[t, c], normal);
        }
        for l in 0..self.n_layer {
            add(format!("h.{l}.ln_1.weight"), &[c], Init::Ones);
            add(format!("h.{l}.ln_1.bias"), &[c], Init::Zeros);
            add(format!("h.{l}.attn.c_attn.weight"), &[self.qkv_channels(), c], normal);
            add(format!("h.{l}.attn.c_attn.bias"), &[self.qkv_channels()], Init::Zeros);
            if self.qk_norm {
                add(format!("h.{l}.attn.q_norm.weight"), &[d], Init::Ones);
                add(format!("h.{l}.attn.k_norm.weight"), &[d], Init::Ones);
            }
            add(format!("h.{l}.attn.c_proj.weight"), &[c, c], residual);
            add(format!("h.{l}.attn.c_proj.bias"), &[c], Init::Zeros);
            add(format!("h.{l}.ln_2.weight"), &[c], Init::Ones);
            add(format!("h.{l}.ln_2.bias"), &[c], Init::Zeros);
            add(format!("h.{l}.mlp.c_fc.weight"), &[self.mlp_channels(), c], normal);
            add(format!("h.{l}.mlp.c_fc.bias"), &[self.mlp_channels()], Init::Zeros);
            add(format!("h.{l}.mlp.c_proj.weight"), &[c, f], residual);
            add(format!("h.{l}.mlp.c_proj.bias"), &[c], Init::Zeros);
        }
        add("ln_f.weight".into(), &[c], Init::Ones);
        add("ln_f.bias".into(), &[c], Init::Zeros);
        if !self.tie_word_embeddings {
            add("lm_head.weight".into(), &[v, c], normal);
        }
        if self.lm_head_bias {
            add("lm_head.bias".into(), &[v], Init::Zeros);
        }
        list
    }

    /// Trainable parameters, the tied table counted once. Saturates rather than overflows on absurd sizes.
    pub fn num_parameters(&self) -> u64 {
        let [v, t, c, f, l] =
            [self.vocab_size, self.n_positions, self.n_embd, self.n_inner, self.n_layer].map(|n| n as u128);
        let if_so = |yes: bool, count: u128| if yes { count } else { 0 };
        let total = match self.architecture {
            Architecture::Bigram => v * v,
            Architecture::Gpt => {
                let d = c / self.n_head as u128;
                let qkv = (self.n_head as u128 + 2 * self.n_kv_head as u128) * d;
                let hidden = if self.activation_function == Activation::Swiglu { 2 * f } else { f };
                let norm = c + if_so(self.bias && self.normalization == Normalization::LayerNorm, c);
                let biases = if_so(self.bias, qkv + c + hidden + c);
                let block = 2 * norm + (qkv * c + c * c + hidden * c + f * c) + biases + if_so(self.qk_norm, 2 * d);
                let positions = if_so(self.position_embedding_type == PositionEmbedding::Learned, t * c);
                let head = if_so(!self.tie_word_embeddings, v * c) + if_so(self.lm_head_bias, v);
                v * c + positions + l * block + norm + head
            }
        };
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_equals_the_sum_of_the_list() {
        for config in [
            ModelConfig::default(),
            ModelConfig { tie_word_embeddings: false, lm_head_bias: true, n_positions: 128, ..ModelConfig::default() },
            ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..ModelConfig::default() },
            ModelConfig { bias: false, lm_head_bias: true, ..ModelConfig::default() },
            ModelConfig { normalization: Normalization::RmsNorm, ..ModelConfig::default() },
            ModelConfig {
                position_embedding_type: PositionEmbedding::Rope,
                activation_function: Activation::Swiglu,
                n_kv_head: 2,
                qk_norm: true,
                ..ModelConfig::default()
            },
        ] {
            let sum: usize = config.parameters().iter().map(ParameterSpec::numel).sum();
            assert_eq!(config.num_parameters(), sum as u64);
        }
    }
}
