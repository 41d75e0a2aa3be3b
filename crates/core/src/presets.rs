//! Named starting points: a model and the settings to train it with, each with the reason for its numbers.

use crate::config::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};
use crate::nn::optimizer::Decay;
use crate::tokenizer::TokenizerKind;
use crate::train::config::{Protocol, Schedule, TrainConfig};

/// A model, how to train it, and why.
#[derive(Clone, Debug)]
pub struct Preset {
    /// What the command line calls it.
    pub name: &'static str,
    /// One line.
    pub reason: &'static str,
    /// The model, for a vocabulary of 65 until the data says otherwise.
    pub model: ModelConfig,
    /// How it reads its text.
    pub tokenizer: TokenizerKind,
    /// The settings.
    pub train: TrainConfig,
}

/// Every preset, smallest first.
pub fn all() -> Vec<Preset> {
    vec![
        bigram(),
        micro(),
        nano(),
        tiny(),
        small(),
        modern(),
        minigpt_small(),
        stories_small(),
        stories_medium(),
        minigpt_strong(),
        medium(),
        stories_large(),
        gpt2(),
    ]
}

/// The preset of that name.
pub fn find(name: &str) -> Option<Preset> {
    all().into_iter().find(|preset| preset.name == name)
}

fn gpt(n_layer: usize, n_head: usize, n_embd: usize, n_positions: usize) -> ModelConfig {
    ModelConfig {
        n_layer,
        n_head,
        n_kv_head: n_head,
        n_embd,
        n_positions,
        n_inner: 4 * n_embd,
        ..ModelConfig::default()
    }
}

fn bigram() -> Preset {
    Preset {
        name: "bigram",
        reason: "the floor: the next character from the last one alone, 2.45 nats on Tiny Shakespeare",
        model: ModelConfig {
            architecture: Architecture::Bigram,
            tie_word_embeddings: false,
            n_positions: 32,
            ..ModelConfig::default()
        },
        tokenizer: TokenizerKind::Char,
        train: TrainConfig { max_steps: 2000, learning_rate: 3e-2, min_learning_rate: 3e-3, ..TrainConfig::default() },
    }
}

fn micro() -> Preset {
    Preset {
        name: "micro",
        reason: "the GPT of Karpathy's \"Let's build GPT\" lecture: trains in seconds, for trying things out",
        model: ModelConfig { activation_function: Activation::Relu, ..gpt(4, 4, 64, 32) },
        tokenizer: TokenizerKind::Char,
        train: TrainConfig {
            batch_size: 16,
            learning_rate: 1e-3,
            min_learning_rate: 1e-3,
            lr_scheduler_type: Schedule::Constant,
            warmup_steps: 0,
            max_steps: 5000,
            eval_steps: 500,
            ..TrainConfig::default()
        },
    }
}

fn nano() -> Preset {
    Preset {
        name: "nano",
        reason: "tiny at half its width: what a browser's tab trains without a graphics card",
        model: gpt(4, 4, 64, 64),
        tokenizer: TokenizerKind::Char,
        train: TrainConfig::default(),
    }
}

fn tiny() -> Preset {
    Preset {
        name: "tiny",
        reason: "the default without a GPU: readable text after a few minutes on two cores",
        model: gpt(4, 4, 128, 64),
        tokenizer: TokenizerKind::Char,
        train: TrainConfig::default(),
    }
}

fn small() -> Preset {
    Preset {
        name: "small",
        reason: "tiny with twice the context: the best that 0.82M parameters do in a coffee break",
        model: gpt(4, 4, 128, 128),
        tokenizer: TokenizerKind::Char,
        train: TrainConfig { max_steps: 4000, eval_steps: 500, ..TrainConfig::default() },
    }
}

fn modern() -> Preset {
    Preset {
        name: "modern",
        reason: "small as it is built today (Llama: rope, rmsnorm, swiglu, shared key heads, no biases), as many parameters",
        model: ModelConfig {
            n_kv_head: 2,
            // As many parameters as small: 8/3 C, since a gate makes three matrices of two, and what fewer keys and no positions leave.
            n_inner: 400,
            position_embedding_type: PositionEmbedding::Rope,
            normalization: Normalization::RmsNorm,
            activation_function: Activation::Swiglu,
            bias: false,
            ..gpt(4, 4, 128, 128)
        },
        tokenizer: TokenizerKind::Char,
        train: small().train,
    }
}

fn minigpt_small() -> Preset {
    Preset {
        name: "minigpt-small",
        reason: "the MiniGPT paper's small model, exactly: val 1.7236 after 3000 steps",
        model: ModelConfig {
            activation_function: Activation::Gelu,
            tie_word_embeddings: false,
            lm_head_bias: true,
            dropout: 0.1,
            ..gpt(4, 4, 128, 128)
        },
        tokenizer: TokenizerKind::Char,
        train: TrainConfig {
            batch_size: 32,
            max_steps: 3000,
            learning_rate: 3e-4,
            min_learning_rate: 3e-4,
            lr_scheduler_type: Schedule::Constant,
            warmup_steps: 0,
            adam_beta2: 0.999,
            weight_decay: 0.01,
            decay: Decay::All,
            max_grad_norm: 0.0,
            eval_steps: 250,
            ..TrainConfig::default()
        },
    }
}

fn minigpt_strong() -> Preset {
    Preset {
        name: "minigpt-strong",
        reason: "the MiniGPT paper's strong model, exactly: val 1.4780 at its best",
        model: ModelConfig {
            activation_function: Activation::Gelu,
            lm_head_bias: true,
            dropout: 0.2,
            ..gpt(6, 6, 384, 256)
        },
        tokenizer: TokenizerKind::Char,
        train: TrainConfig {
            batch_size: 64,
            max_steps: 5000,
            learning_rate: 1e-3,
            min_learning_rate: 1e-4,
            adam_beta2: 0.99,
            ..TrainConfig::default()
        },
    }
}

fn medium() -> Preset {
    Preset {
        name: "medium",
        reason: "nanoGPT's Shakespeare model, annealed in half the steps: it overfits after that (needs a GPU)",
        model: ModelConfig { dropout: 0.2, ..gpt(6, 6, 384, 256) },
        tokenizer: TokenizerKind::Char,
        train: TrainConfig {
            batch_size: 64,
            max_steps: 2500,
            learning_rate: 1e-3,
            min_learning_rate: 1e-4,
            adam_beta2: 0.99,
            ..TrainConfig::default()
        },
    }
}

/// A model for stories, whose words are worth tokens of their own (Eldan & Li 2023, TinyStories: a few million parameters tell them).
fn stories(
    name: &'static str,
    reason: &'static str,
    [n_layer, n_head, n_embd, n_positions]: [usize; 4],
    learning_rate: f32,
) -> Preset {
    Preset {
        name,
        reason,
        model: ModelConfig {
            vocab_size: STORIES_VOCAB,
            n_inner: 512,
            position_embedding_type: PositionEmbedding::Sinusoidal,
            ..gpt(n_layer, n_head, n_embd, n_positions)
        },
        tokenizer: TokenizerKind::Bpe { vocab_size: STORIES_VOCAB },
        train: TrainConfig {
            max_steps: 10_000,
            learning_rate,
            min_learning_rate: learning_rate / 10.0,
            warmup_steps: 300,
            eval_steps: 500,
            eval_protocol: Protocol::Sampled,
            ..TrainConfig::default()
        },
    }
}

/// Most words of children's stories, and half the table that 6,000 would take.
const STORIES_VOCAB: usize = 3000;

fn stories_small() -> Preset {
    let reason = "short stories from a model that trains on a laptop's CPU: byte pairs, fixed positions; a third of it is the token table";
    stories("stories-small", reason, [4, 4, 128, 128], 3e-3)
}

fn stories_medium() -> Preset {
    let reason = "of the size that tells coherent children's stories in the TinyStories paper: wants a GPU and a corpus of stories (--data)";
    stories("stories-medium", reason, [5, 8, 256, 256], 1e-3)
}

fn stories_large() -> Preset {
    let reason = "stories-medium twice as wide and with twice the context: wants a desktop's GPU";
    stories("stories-large", reason, [8, 8, 512, 512], 5e-4)
}

fn gpt2() -> Preset {
    Preset {
        name: "gpt2",
        reason: "GPT-2 124M as published: to fine-tune it, train --from gpt2; from scratch it takes a large GPU and billions of tokens",
        model: ModelConfig { vocab_size: 50_257, dropout: 0.1, ..gpt(12, 12, 768, 1024) },
        tokenizer: TokenizerKind::Bpe { vocab_size: 50_257 },
        // Batches of half a million tokens, as nanoGPT's reproduction.
        train: TrainConfig {
            batch_size: 8,
            gradient_accumulation_steps: 64,
            max_steps: 19_000,
            learning_rate: 6e-4,
            min_learning_rate: 6e-5,
            warmup_steps: 700,
            eval_steps: 250,
            eval_protocol: Protocol::Sampled,
            ..TrainConfig::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        for (name, count) in
            [("tiny", 809_856), ("medium", 10_770_816), ("minigpt-small", 826_433), ("gpt2", 124_439_808)]
        {
            assert_eq!(find(name).unwrap().model.num_parameters(), count, "{name}");
        }
    }

    #[test]
    fn every_preset_is_valid_and_found_by_its_name() {
        for preset in all() {
            preset.model.validate().unwrap();
            preset.train.validate().unwrap();
            assert_eq!(find(preset.name).unwrap().model, preset.model);
        }
        assert!(find("nonsense").is_none());
    }
}
