//! The shipped model, run natively: what the page must show.

use std::fs;

use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Precision, Training};
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::step::Step;
use inkling_core::{Device, Engine};

use crate::harness::root;

/// A model.
pub struct Native {
    /// Its files, read.
    pub checkpoint: Checkpoint,
}

impl Native {
    /// The one that the page begins with.
    pub fn shipped() -> Self {
        let folder = root().join("web/models/shakespeare");
        let checkpoint = Checkpoint::model_from_files(|name| Ok(fs::read(folder.join(name)).ok()));
        Self { checkpoint: checkpoint.expect("the shipped model can be read") }
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.checkpoint.tokenizer.encode(text).expect("the model knows these characters")
    }

    /// What it writes after a prompt, and the logits that each token was drawn from.
    pub fn generate(&self, prompt: &str, sampling: &SamplerConfig, count: usize) -> (String, Vec<Vec<f32>>) {
        let Checkpoint { config, weights, tokenizer, .. } = &self.checkpoint;
        let device = Device::Cpu(Pool::new(1));
        let drawn = pollster::block_on(async {
            let mut generator = Generator::new(config, weights, Precision::Full, device, 1 << 30).await?;
            generator.start(&self.encode(prompt))?;
            generator.generate_with_logits(sampling, count).await
        });
        let drawn = drawn.expect("the model writes");
        let logits = drawn.logits.chunks_exact(config.vocab_size).map(<[f32]>::to_vec).collect();
        (tokenizer.decode(&drawn.tokens).expect("its tokens are text"), logits)
    }

    /// The logits after a text.
    pub fn next(&self, text: &str) -> Vec<f32> {
        self.generate(text, &SamplerConfig::default(), 1).1.swap_remove(0)
    }

    /// A head's weights, `[n, n]`, and `n`.
    pub fn attention(&self, text: &str, layer: usize, head: usize) -> (usize, Vec<f32>) {
        let tokens = self.encode(text);
        let n = tokens.len();
        let recording = Recording {
            batch: 1,
            context: n,
            training: Training::No,
            probs: Probs::Keep,
            activations: DType::F32,
            recompute: false,
        };
        let (program, graph) = recording.record(&self.checkpoint.config).expect("the model can be recorded");
        let mut engine = Engine::cpu(program, Pool::new(1));
        engine.load(Field::Value, &self.checkpoint.weights).expect("the weights fit");
        engine.replay(Pass::Load, &Step::default());
        engine.write_ids(graph.tokens, &tokens);
        engine.replay(Pass::Forward, &Step::default());
        let name = format!("h.{layer}.attn.probs");
        let probs = pollster::block_on(engine.read_named(&name)).expect("the weights are kept").data;
        (n, probs[head * n * n..][..n * n].to_vec())
    }
}
