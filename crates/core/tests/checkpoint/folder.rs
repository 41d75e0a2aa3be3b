//! Folders in memory and small models to put into them.

use std::collections::BTreeMap;

use inkling_core::checkpoint::{Checkpoint, TrainingState};
use inkling_core::tokenizer::CharTokenizer;
use inkling_core::{
    Activation, Architecture, HostTensor, ModelConfig, Normalization, PositionEmbedding, Result, Weights,
};
use serde_json::{Value, json};

/// Characters of every test vocabulary, of which a model takes the first `vocab_size`.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";

/// File names and contents.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder(pub BTreeMap<String, Vec<u8>>);

impl Folder {
    pub fn of(checkpoint: &Checkpoint) -> Self {
        Self(checkpoint.to_files().unwrap().into_iter().collect())
    }

    pub fn load(&self) -> Result<Checkpoint> {
        Checkpoint::from_files(|file| Ok(self.0.get(file).cloned()))
    }

    /// Replaces a file.
    pub fn with(mut self, file: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(file.into(), bytes.into());
        self
    }

    /// Changes one value of a JSON file, or adds it.
    pub fn with_json(self, file: &str, object: &str, key: &str, value: Value) -> Self {
        let mut json: Value = serde_json::from_slice(&self.0[file]).unwrap();
        json.pointer_mut(object).unwrap()[key] = value;
        let bytes = serde_json::to_vec(&json).unwrap();
        self.with(file, bytes)
    }

    /// Removes a file.
    pub fn without(mut self, file: &str) -> Self {
        self.0.remove(file).unwrap();
        self
    }

    /// Fails to load, naming `file`, in a message with all `words`.
    pub fn check_refused(&self, file: &str, words: &[&str]) {
        let message = self.load().expect_err(&format!("{words:?} expected")).to_string();
        assert!(message.starts_with(&format!("{file}: ")), "{message:?} is not about {file}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }
}

/// A GPT-2-shaped model of 2 layers.
pub fn gpt2_config() -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Gpt,
        vocab_size: 7,
        n_positions: 5,
        n_embd: 4,
        n_layer: 2,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 6,
        activation_function: Activation::GeluNew,
        layer_norm_epsilon: 1e-5,
        tie_word_embeddings: true,
        lm_head_bias: false,
        dropout: 0.1,
        ..ModelConfig::default()
    }
}

/// A Llama-shaped model of 2 layers with shared heads of keys.
pub fn llama_config() -> ModelConfig {
    ModelConfig {
        vocab_size: 7,
        n_positions: 5,
        n_embd: 16,
        n_layer: 2,
        n_head: 4,
        n_kv_head: 2,
        n_inner: 6,
        position_embedding_type: PositionEmbedding::Rope,
        rope_theta: 500_000.0,
        normalization: Normalization::RmsNorm,
        activation_function: Activation::Swiglu,
        bias: false,
        layer_norm_epsilon: 1e-6,
        tie_word_embeddings: false,
        dropout: 0.0,
        ..ModelConfig::default()
    }
}

/// Every tensor of `config`, all values distinct.
pub fn weights(config: &ModelConfig) -> Weights {
    let mut next = 0.0;
    let mut value = || {
        next += 0.125;
        next
    };
    let tensor = |shape: Vec<usize>, value: &mut dyn FnMut() -> f32| {
        let data = (0..shape.iter().product()).map(|_| value()).collect();
        HostTensor { shape, data }
    };
    config.parameters().into_iter().map(|spec| (spec.name, tensor(spec.shape, &mut value))).collect()
}

/// A model without training state.
pub fn model(config: ModelConfig) -> Checkpoint {
    let text: String = ALPHABET.chars().take(config.vocab_size).collect();
    let tokenizer = CharTokenizer::from_text(&text).unwrap().into();
    Checkpoint { weights: weights(&config), config, tokenizer, training: None }
}

/// A model in training, at step 30.
pub fn run(config: ModelConfig) -> Checkpoint {
    let model = model(config);
    let mut optimizer = Weights::new();
    for slot in ["m", "v", "ema"] {
        optimizer.extend(model.weights.iter().map(|(name, tensor)| (format!("{slot}.{name}"), tensor.clone())));
    }
    let state = json!({"step": 30, "seed": u64::MAX, "best_loss": 1.4697123456789012});
    Checkpoint { training: Some(TrainingState { step: 30, state, optimizer }), ..model }
}

/// A safetensors file with this header, whatever it says.
pub fn raw_safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}
