//! Every variant point of a model, one at a time and together.

use inkling_core::{Activation, ModelConfig, Normalization, PositionEmbedding};

/// `base`, which is GPT-2's kind with a number of heads that six divides or is divided by, changed in one way each; at the end the
/// combinations that the field calls Llama, Mistral and Qwen 3.
pub fn variants(base: &ModelConfig) -> Vec<(&'static str, ModelConfig)> {
    let with = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = base.clone();
        change(&mut config);
        config
    };
    let llama = |config: &mut ModelConfig| {
        config.position_embedding_type = PositionEmbedding::Rope;
        config.normalization = Normalization::RmsNorm;
        config.activation_function = Activation::Swiglu;
        config.bias = false;
        config.n_kv_head = config.n_head / 3;
        config.tie_word_embeddings = false;
    };
    vec![
        ("sinusoidal", with(&|c| c.position_embedding_type = PositionEmbedding::Sinusoidal)),
        ("rope", with(&|c| c.position_embedding_type = PositionEmbedding::Rope)),
        ("rmsnorm", with(&|c| c.normalization = Normalization::RmsNorm)),
        ("relu", with(&|c| c.activation_function = Activation::Relu)),
        ("gelu", with(&|c| c.activation_function = Activation::Gelu)),
        ("swiglu", with(&|c| c.activation_function = Activation::Swiglu)),
        ("gqa", with(&|c| c.n_kv_head = c.n_head / 3)),
        ("mqa", with(&|c| c.n_kv_head = 1)),
        ("window", with(&|c| c.sliding_window = Some(c.n_positions / 2))),
        ("qk_norm", with(&|c| c.qk_norm = true)),
        ("no bias", with(&|c| c.bias = false)),
        (
            "untied",
            with(&|c| {
                c.tie_word_embeddings = false;
                c.lm_head_bias = true;
            }),
        ),
        ("llama", with(&llama)),
        (
            "mistral",
            with(&|c| {
                llama(c);
                c.sliding_window = Some(c.n_positions / 3);
            }),
        ),
        (
            "qwen 3",
            with(&|c| {
                llama(c);
                c.qk_norm = true;
            }),
        ),
    ]
}
