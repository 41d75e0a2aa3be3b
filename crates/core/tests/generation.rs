//! Cached decoding against the plain forward pass.

use inkling_core::config::Architecture;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::block::Probs;
use inkling_core::program::{DType, Field, Pass, Precision, Training};
use inkling_core::sample::Generator;
use inkling_core::step::Step;
use inkling_core::{Activation, Device, Engine, ModelConfig, Weights};

const PLENTY: u64 = 1 << 30;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn configs() -> [ModelConfig; 3] {
    let base = ModelConfig {
        vocab_size: 13,
        n_positions: 10,
        n_embd: 15,
        n_layer: 2,
        n_head: 3,
        n_inner: 31,
        ..ModelConfig::default()
    };
    [
        base.clone(),
        ModelConfig {
            activation_function: Activation::Relu,
            tie_word_embeddings: false,
            lm_head_bias: true,
            dropout: 0.5,
            ..base.clone()
        },
        ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..base },
    ]
}

/// A model and the logits that its forward pass gives for the last of some tokens.
struct Reference {
    engine: Engine,
    graph: inkling_core::nn::Graph,
    vocab: usize,
}

impl Reference {
    fn new(config: &ModelConfig) -> Self {
        let recording = Recording {
            batch: 1,
            context: config.n_positions,
            training: Training::No,
            probs: Probs::Skip,
            activations: DType::F32,
        };
        let (program, graph) = recording.record(config).unwrap();
        let mut engine = Engine::cpu(program, Pool::new(1));
        engine.initialize(11);
        let mut weights = wait(engine.save(Field::Value)).unwrap();
        // Initial weights are small: their logits would hardly differ.
        weights.values_mut().for_each(|t| t.data.iter_mut().for_each(|x| *x *= 4.0));
        engine.load(Field::Value, &weights).unwrap();
        Self { engine, graph, vocab: config.vocab_size }
    }

    fn weights(&self) -> Weights {
        wait(self.engine.save(Field::Value)).unwrap()
    }

    fn logits(&mut self, tokens: &[u32]) -> Vec<f32> {
        let mut padded = tokens.to_vec();
        padded.resize(self.graph.context, 0);
        self.engine.write_ids(self.graph.tokens, &padded);
        self.engine.replay(Pass::Forward, &Step::default());
        let logits = wait(self.engine.read(self.graph.logits.unwrap())).unwrap();
        logits[(tokens.len() - 1) * self.vocab..tokens.len() * self.vocab].to_vec()
    }
}

fn close(a: &[f32], b: &[f32]) {
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn every_cached_step_gives_the_logits_of_a_full_pass() {
    for config in configs() {
        let mut reference = Reference::new(&config);
        let mut generator =
            wait(Generator::new(&config, &reference.weights(), Precision::Full, Device::Cpu(Pool::new(2)), PLENTY))
                .unwrap();
        for prompt in [1, 4, 10] {
            let mut tokens: Vec<u32> = (0..prompt).map(|i| i * 5 % 13).collect();
            wait(generator.start(&tokens)).unwrap();
            close(generator.logits(), &reference.logits(&tokens));
            while tokens.len() < config.n_positions {
                let token = tokens.len() as u32 * 7 % 13;
                tokens.push(token);
                wait(generator.push(token)).unwrap();
                close(generator.logits(), &reference.logits(&tokens));
            }
        }
    }
}

#[test]
fn half_weights_round_and_change_nothing_else() {
    for config in configs() {
        let mut reference = Reference::new(&config);
        let mut weights = reference.weights();
        let follow = |reference: &mut Reference, generator: &mut Generator, tolerance: f32| {
            let mut tokens = vec![3, 1, 4];
            wait(generator.start(&tokens)).unwrap();
            while tokens.len() < config.n_positions {
                let token = tokens.len() as u32 * 7 % 13;
                tokens.push(token);
                wait(generator.push(token)).unwrap();
                let want = reference.logits(&tokens);
                let largest = want.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
                for (a, b) in generator.logits().iter().zip(want) {
                    assert!((a - b).abs() <= tolerance * largest, "{a} {b}");
                }
            }
        };
        let mut half =
            wait(Generator::new(&config, &weights, Precision::Half, Device::Cpu(Pool::new(1)), PLENTY)).unwrap();
        follow(&mut reference, &mut half, 5e-3);
        // Weights that float16 can hold lose nothing: clear the 13 bits that it lacks.
        for tensor in weights.values_mut() {
            tensor.data.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() & !0x1fff));
        }
        half.load(&weights).unwrap();
        reference.engine.load(Field::Value, &weights).unwrap();
        follow(&mut reference, &mut half, 2e-5);
    }
}

#[test]
fn texts_longer_than_the_context_go_on_from_its_last_half() {
    for config in configs() {
        let mut reference = Reference::new(&config);
        let mut generator =
            wait(Generator::new(&config, &reference.weights(), Precision::Full, Device::Cpu(Pool::new(1)), PLENTY))
                .unwrap();
        let tokens: Vec<u32> = (0..100).map(|i| i * i % 13).collect();
        // Of a longer prompt, the last T tokens are read.
        wait(generator.start(&tokens[..25])).unwrap();
        close(generator.logits(), &reference.logits(&tokens[15..25]));
        let mut start = 15;
        for end in 26..=100 {
            wait(generator.push(tokens[end - 1])).unwrap();
            if end - start > 10 {
                // The cache was full: the last five tokens and the new one are in view.
                start = end - 6;
            }
            close(generator.logits(), &reference.logits(&tokens[start..end]));
        }
        assert_eq!(generator.length(), 100);
    }
}

#[test]
fn a_context_of_one_token_works() {
    let config = ModelConfig { n_positions: 1, ..configs()[0].clone() };
    let mut reference = Reference::new(&config);
    let mut generator =
        wait(Generator::new(&config, &reference.weights(), Precision::Full, Device::Cpu(Pool::new(1)), PLENTY))
            .unwrap();
    wait(generator.start(&[3])).unwrap();
    for token in [1, 2, 12] {
        wait(generator.push(token)).unwrap();
        close(generator.logits(), &reference.logits(&[token]));
    }
}

#[test]
fn prompts_that_cannot_be_read_are_refused() {
    let config = &configs()[0];
    let weights = Reference::new(config).weights();
    let mut generator =
        wait(Generator::new(config, &weights, Precision::Full, Device::Cpu(Pool::new(1)), PLENTY)).unwrap();
    assert!(wait(generator.start(&[])).unwrap_err().to_string().contains("empty"));
    assert!(wait(generator.start(&[13])).unwrap_err().to_string().contains("13"));
    assert!(wait(Generator::new(config, &weights, Precision::Full, Device::Cpu(Pool::new(1)), 1000)).is_err());
    assert!(wait(Generator::new(config, &Weights::new(), Precision::Full, Device::Cpu(Pool::new(1)), PLENTY)).is_err());
}
