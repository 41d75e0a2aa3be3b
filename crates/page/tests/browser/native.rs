//! The shipped model, run natively: what the page must show.

use std::fs;

use inkling_core::Engine;
use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Training};
use inkling_core::step::Step;

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
        let read = engine.read_named(&format!("h.{layer}.attn.probs"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        let probs = runtime.block_on(read).expect("the weights are kept").data;
        (n, probs[head * n * n..][..n * n].to_vec())
    }
}
