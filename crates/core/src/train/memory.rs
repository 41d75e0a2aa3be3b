//! What a run takes at least, from its sizes alone.

use super::config::TrainConfig;
use crate::config::{Architecture, ModelConfig};
use crate::lora::LoraConfig;

/// Bytes of a float.
const FLOAT: u64 = 4;

/// A lower bound of the bytes that training takes: absurd configurations are refused before they are recorded.
pub(super) fn least_memory(model: &ModelConfig, lora: Option<&LoraConfig>, settings: &TrainConfig) -> u64 {
    let [batch, context, vocab, channels, layers] =
        [settings.batch_size, model.n_positions, model.vocab_size, model.n_embd, model.n_layer].map(|n| n as u64);
    let floats_of_row = match model.architecture {
        // Logits and their gradient.
        Architecture::Bigram => vocab.saturating_mul(2),
        // Of each block its output and, unless all blocks share them, both norms and the stream between the branches; the stream's gradient.
        Architecture::Gpt if settings.recompute => channels.saturating_mul(layers + 4),
        Architecture::Gpt => channels.saturating_mul(4 * layers + 1),
    };
    let activations = batch.saturating_mul(context).saturating_mul(floats_of_row).saturating_mul(FLOAT);
    let parameters = model.num_parameters();
    // Trained: value, gradient and moments; frozen: half a byte at least.
    let parameters = if lora.is_some() { parameters / 2 } else { parameters.saturating_mul(4 * FLOAT) };
    parameters.saturating_add(activations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Activation;
    use crate::presets;
    use crate::train::record;

    #[test]
    fn no_run_takes_less() {
        let deep = ModelConfig { n_layer: 60, ..ModelConfig::default() };
        // As little as a block can hold.
        let narrow = ModelConfig { n_kv_head: 1, n_inner: 1, activation_function: Activation::Relu, ..deep.clone() };
        let models = presets::all().into_iter().map(|preset| preset.model).chain([deep, narrow]);
        for model in models {
            for recompute in [false, true] {
                for batch_size in [1, 1024] {
                    let settings = TrainConfig { recompute, batch_size, ..TrainConfig::default() };
                    let (program, ..) = record(&model, &settings).unwrap();
                    let (least, takes) = (least_memory(&model, None, &settings), program.memory_bytes());
                    assert!(least <= takes, "{least} of {takes}: {model:?}, recompute {recompute}");
                    // Worth asking: not off by orders of magnitude.
                    assert!(least >= takes / 20, "{least} of {takes}: {model:?}, recompute {recompute}");
                }
            }
        }
    }

    #[test]
    fn absurd_sizes_are_more_than_there_is() {
        let most = 1 << 24;
        let model = ModelConfig { n_positions: most, n_embd: most, vocab_size: most, ..ModelConfig::default() };
        let settings = TrainConfig { batch_size: 1 << 16, ..TrainConfig::default() };
        assert_eq!(least_memory(&model, None, &settings), u64::MAX);
    }
}
