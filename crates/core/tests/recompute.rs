//! Gradient checkpointing changes memory and time, and no bit of a result.

#[path = "common/variants.rs"]
mod variants;

use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Training};
use inkling_core::rng::{Site, Stream};
use inkling_core::step::{Mode, Step};
use inkling_core::{Engine, ModelConfig, Weights};
use variants::variants;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn recording(config: &ModelConfig, recompute: bool) -> Recording {
    let (training, probs, activations) = (Training::Yes, Probs::Skip, DType::F32);
    Recording { batch: 2, context: config.n_positions, training, probs, activations, recompute }
}

/// Losses and gradients of two micro-batches.
fn train(config: &ModelConfig, recompute: bool) -> (Vec<f32>, Weights) {
    let (program, graph) = recording(config, recompute).record(config).unwrap();
    let mut engine = Engine::cpu(program, Pool::new(2));
    engine.initialize(7);
    let mut losses = Vec::new();
    for counter in 0..2 {
        let stream = Stream::new(1, counter, Site::BATCH);
        let rows = (2 * config.n_positions) as u32;
        let ids =
            |from: u32| (from..from + rows).map(|i| stream.below(i, config.vocab_size as u32)).collect::<Vec<_>>();
        engine.write_ids(graph.tokens, &ids(0));
        engine.write_ids(graph.targets, &ids(rows));
        let step = Step { mode: Mode::Train, seed: 5, counter, loss_scale: 0.5, ..Step::default() };
        engine.replay(Pass::Forward, &step);
        engine.replay(Pass::Backward, &step);
        losses.extend(wait(engine.read(graph.losses)).unwrap());
    }
    (losses, wait(engine.save(Field::Grad)).unwrap())
}

fn base() -> ModelConfig {
    ModelConfig {
        vocab_size: 13,
        n_positions: 10,
        n_embd: 24,
        n_layer: 4,
        n_head: 6,
        n_kv_head: 6,
        n_inner: 30,
        dropout: 0.2,
        ..ModelConfig::default()
    }
}

#[test]
fn gradients_are_the_same_bits() {
    for (name, config) in variants(&base()) {
        assert!(train(&config, false) == train(&config, true), "{name}");
    }
}

#[test]
fn every_block_adds_the_residual_stream_alone() {
    // What a second sequence adds has no parameters in it.
    let bytes = |n_layer, batch, recompute| {
        let config = ModelConfig { n_layer, ..base() };
        let (program, _) = Recording { batch, ..recording(&config, recompute) }.record(&config).unwrap();
        program.memory_bytes()
    };
    let of_sequence = |n_layer, recompute| bytes(n_layer, 2, recompute) - bytes(n_layer, 1, recompute);
    let of_block = |recompute| of_sequence(5, recompute) - of_sequence(4, recompute);
    let stream = 4 * 10 * 24;
    assert_eq!(of_block(true), stream);
    assert!(of_block(false) > 10 * stream, "{}", of_block(false));
}
