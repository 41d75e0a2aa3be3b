//! Whole texts: what the GPU writes, drawing and decoding without being read in between, is what the CPU writes.

use inkling_core::config::Architecture;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Precision, Training};
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::{Activation, Device, Engine, Error, ModelConfig, Weights};

use crate::variants::variants;
use crate::{Tolerance, compare, device, wait};

/// Logits after some layers of float32 sums in other orders.
const LOGITS: Tolerance = Tolerance { relative: 1e-5, of_rms: 1e-5 };

fn gpt() -> ModelConfig {
    ModelConfig {
        vocab_size: 67,
        n_positions: 20,
        n_embd: 36,
        n_layer: 2,
        n_head: 3,
        n_kv_head: 3,
        n_inner: 50,
        ..ModelConfig::default()
    }
}

/// Weights four times as large as initial ones, whose logits would hardly differ.
fn weights(config: &ModelConfig) -> Weights {
    let recording = Recording {
        batch: 1,
        context: 1,
        training: Training::No,
        probs: Probs::Skip,
        activations: DType::F32,
        recompute: false,
    };
    let mut engine = Engine::cpu(recording.record(config).unwrap().0, Pool::new(1));
    engine.initialize(11);
    let mut weights = wait(engine.save(Field::Value)).unwrap();
    weights.values_mut().for_each(|t| t.data.iter_mut().for_each(|x| *x *= 4.0));
    weights
}

/// Variants that write on both engines.
const TWINS: [&str; 4] = ["sinusoidal", "mqa", "mistral", "qwen 3"];

/// A generator on the CPU and one on the GPU.
fn twins(config: &ModelConfig, weights: &Weights, precision: Precision) -> Option<[Generator; 2]> {
    let devices = [Device::Cpu(Pool::new(1)), Device::Gpu(device()?)];
    Some(devices.map(|device| wait(Generator::new(config, weights, precision, device, 1 << 30)).unwrap()))
}

/// Compares texts in two pieces after the prompt, and the logits after them.
fn check(config: &ModelConfig, precision: Precision) {
    let Some(mut twins) = twins(config, &weights(config), precision) else { return };
    let sampling = SamplerConfig { temperature: 0.9, seed: 1 << 33 | 5, ..SamplerConfig::default() };
    let cut = SamplerConfig { top_k: Some(20), top_p: Some(0.9), ..sampling };
    // Read token by token, at once, full, and longer than the context.
    for prompt in [1, 2, 7, 20, 33] {
        let prompt: Vec<u32> = (0..prompt).map(|i| i * 5 % 67).collect();
        let [cpu, gpu] = twins.each_mut().map(|generator| {
            generator.start(&prompt).unwrap();
            // Past the end of the context, with one more prompt of its last half each time.
            let mut text = wait(generator.generate(&sampling, 27)).unwrap();
            text.extend(wait(generator.generate(&cut, 8)).unwrap());
            generator.push(3);
            (text, wait(generator.logits()).unwrap().to_vec())
        });
        let name = format!("{:?} {precision:?} after {} tokens", config.architecture, prompt.len());
        assert_eq!(cpu.0, gpu.0, "{name}");
        compare(&name, &cpu.1, &gpu.1, LOGITS);
    }
}

#[test]
fn texts_are_the_cpus() {
    check(&gpt(), Precision::Full);
}

#[test]
fn texts_of_other_variants_are_the_cpus() {
    let config = ModelConfig {
        activation_function: Activation::Relu,
        tie_word_embeddings: false,
        lm_head_bias: true,
        dropout: 0.5,
        ..gpt()
    };
    check(&config, Precision::Full);
    check(&ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..gpt() }, Precision::Full);
    let six_heads = ModelConfig { n_head: 6, n_kv_head: 6, ..gpt() };
    // Every way to place tokens and to share keys is in these; the CPU's tests decode all of the variants.
    for (_, config) in variants(&six_heads).iter().filter(|(name, _)| TWINS.contains(name)) {
        check(config, Precision::Full);
    }
}

#[test]
fn texts_from_float16_weights_are_the_cpus() {
    check(&gpt(), Precision::Half);
}

#[test]
fn texts_from_codes_are_the_cpus() {
    let untied = ModelConfig { tie_word_embeddings: false, lm_head_bias: true, ..gpt() };
    for precision in [Precision::Q8, Precision::Q4] {
        check(&gpt(), precision);
        check(&untied, precision);
    }
}

#[test]
fn logits_come_with_the_text_in_one_read() {
    let config = gpt();
    let Some(twins) = twins(&config, &weights(&config), Precision::Full) else { return };
    let sampling = SamplerConfig { temperature: 0.9, seed: 5, ..SamplerConfig::default() };
    let [cpu, gpu] = twins.map(|mut generator| {
        generator.start(&[3, 1, 4]).unwrap();
        // Past the end of the context; then the same text without them.
        let drawn = wait(generator.generate_with_logits(&sampling, 45)).unwrap();
        generator.start(&[3, 1, 4]).unwrap();
        assert_eq!(wait(generator.generate(&sampling, 45)).unwrap(), drawn.tokens);
        drawn
    });
    assert_eq!(cpu.tokens, gpu.tokens);
    compare("logits of 45 tokens", &cpu.logits, &gpu.logits, LOGITS);
}

#[test]
fn a_long_context_is_written_in_more_than_one_submit() {
    // 200 draws and as many decoding steps are more replays than a submit can hold.
    let config = ModelConfig { n_positions: 300, n_layer: 1, ..gpt() };
    let Some(twins) = twins(&config, &weights(&config), Precision::Full) else { return };
    let sampling = SamplerConfig::default();
    let [cpu, gpu] = twins.map(|mut generator| {
        generator.start(&[1]).unwrap();
        wait(generator.generate(&sampling, 200)).unwrap()
    });
    assert_eq!(cpu, gpu);
}

#[test]
fn damaged_weights_are_an_error_and_the_next_text_is_unharmed() {
    let good = weights(&gpt());
    let mut bad = good.clone();
    bad.values_mut().for_each(|tensor| tensor.data.fill(3e38));
    let Some(twins) = twins(&gpt(), &bad, Precision::Full) else { return };
    let sampling = SamplerConfig::default();
    let [cpu, gpu] = twins.map(|mut generator| {
        generator.start(&[1]).unwrap();
        assert!(matches!(wait(generator.generate(&sampling, 30)), Err(Error::NonFiniteLogits)));
        generator.load(&good).unwrap();
        generator.start(&[1]).unwrap();
        wait(generator.generate(&sampling, 30)).unwrap()
    });
    assert_eq!(cpu, gpu);
}
