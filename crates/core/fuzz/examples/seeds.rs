//! Writes valid folders of several kinds into `corpus/checkpoint`, for the fuzzer to start from.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use inkling_core::checkpoint::{Checkpoint, TrainingState};
use inkling_core::tokenizer::CharTokenizer;
use inkling_core::{Architecture, HostTensor, ModelConfig};
use inkling_fuzz::{FILES, join};

fn main() -> Result<(), Box<dyn Error>> {
    let gpt2 = ModelConfig {
        vocab_size: 3,
        n_positions: 2,
        n_embd: 2,
        n_layer: 1,
        n_head: 1,
        n_kv_head: 1,
        n_inner: 3,
        ..ModelConfig::default()
    };
    let untied = ModelConfig { tie_word_embeddings: false, ..gpt2.clone() };
    let inkling = ModelConfig { lm_head_bias: true, ..gpt2.clone() };
    let bigram = ModelConfig { architecture: Architecture::Bigram, ..untied.clone() };

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/checkpoint");
    std::fs::create_dir_all(&folder)?;
    for (name, config) in [("gpt2", gpt2), ("untied", untied), ("inkling", inkling), ("bigram", bigram)] {
        let model = model(config)?;
        std::fs::write(folder.join(name), bytes(&model)?)?;
        let optimizer = model.weights.iter().map(|(name, tensor)| (format!("m.{name}"), tensor.clone())).collect();
        let training = TrainingState { step: 1, state: "{}".parse()?, optimizer };
        let run = Checkpoint { training: Some(training), ..model };
        std::fs::write(folder.join(format!("{name}-run")), bytes(&run)?)?;
    }
    Ok(())
}

fn model(config: ModelConfig) -> Result<Checkpoint, Box<dyn Error>> {
    let ones = |shape: &[usize]| HostTensor { shape: shape.to_vec(), data: vec![1.0; shape.iter().product()] };
    let weights = config.parameters().into_iter().map(|spec| (spec.name, ones(&spec.shape))).collect();
    Ok(Checkpoint { config, weights, tokenizer: CharTokenizer::from_text("abc")?.into(), training: None })
}

fn bytes(checkpoint: &Checkpoint) -> Result<Vec<u8>, Box<dyn Error>> {
    let files: BTreeMap<String, Vec<u8>> = checkpoint.to_files()?.into_iter().collect();
    let files = FILES.map(|name| files.get(name).map_or(&[][..], Vec::as_slice));
    Ok(join(files).ok_or("a file is too long for a seed")?)
}
