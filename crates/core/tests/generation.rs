//! Cached decoding against the plain forward pass, and drawing on the device against drawing from logits that were read.

#[path = "common/variants.rs"]
mod variants;

use inkling_core::config::Architecture;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Precision, Training};
use inkling_core::quantize::{q4, q8};
use inkling_core::sample::{Drawn, Generator, Sampler, SamplerConfig};
use inkling_core::step::Step;
use inkling_core::{Activation, Device, Engine, Error, ModelConfig, Weights};
use variants::variants;

const PLENTY: u64 = 1 << 30;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// GPT-2's kind, others of it, a bigram, every variant.
fn configs() -> Vec<ModelConfig> {
    let base = ModelConfig {
        vocab_size: 13,
        n_positions: 10,
        n_embd: 15,
        n_layer: 2,
        n_head: 3,
        n_kv_head: 3,
        n_inner: 31,
        ..ModelConfig::default()
    };
    let mut configs = vec![
        base.clone(),
        ModelConfig {
            activation_function: Activation::Relu,
            tie_word_embeddings: false,
            lm_head_bias: true,
            dropout: 0.5,
            ..base.clone()
        },
        ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..base.clone() },
    ];
    let six_heads = ModelConfig { n_embd: 24, n_head: 6, n_kv_head: 6, ..base };
    configs.extend(variants(&six_heads).into_iter().map(|(_, config)| config));
    configs
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
            recompute: false,
        };
        let (program, graph) = recording.record(config).unwrap();
        let mut engine = Engine::cpu(program, Pool::new(1));
        engine.initialize(11);
        let mut weights = wait(engine.save(Field::Value)).unwrap();
        // Initial weights are small: their logits would hardly differ. Not so the gains of queries and keys, which would make scores, and
        // their rounding errors, 16 times as large.
        let small = weights.iter_mut().filter(|(name, _)| !name.contains("q_norm") && !name.contains("k_norm"));
        small.for_each(|(_, tensor)| tensor.data.iter_mut().for_each(|x| *x *= 4.0));
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

fn generator(config: &ModelConfig, weights: &Weights, precision: Precision) -> Generator {
    wait(Generator::new(config, weights, precision, Device::Cpu(Pool::new(2)), PLENTY)).unwrap()
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
        let mut generator = generator(&config, &reference.weights(), Precision::Full);
        for prompt in [1, 4, 10] {
            let mut tokens: Vec<u32> = (0..prompt).map(|i| i * 5 % 13).collect();
            generator.start(&tokens).unwrap();
            close(wait(generator.logits()).unwrap(), &reference.logits(&tokens));
            while tokens.len() < config.n_positions {
                let token = tokens.len() as u32 * 7 % 13;
                tokens.push(token);
                generator.push(token);
                close(wait(generator.logits()).unwrap(), &reference.logits(&tokens));
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
            generator.start(&tokens).unwrap();
            while tokens.len() < config.n_positions {
                let token = tokens.len() as u32 * 7 % 13;
                tokens.push(token);
                generator.push(token);
                let want = reference.logits(&tokens);
                let largest = want.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
                for (a, b) in wait(generator.logits()).unwrap().iter().zip(want) {
                    assert!((a - b).abs() <= tolerance * largest, "{a} {b}");
                }
            }
        };
        let mut half = generator(&config, &weights, Precision::Half);
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

/// The weights as a format stores them: matrices that are multiplied with, a tied token table among them; the head always in 8 bits.
fn rounded(config: &ModelConfig, weights: &Weights, precision: Precision) -> Weights {
    let mut weights = weights.clone();
    let tables = if config.tie_word_embeddings { &["wpe.weight"][..] } else { &["wpe.weight", "wte.weight"] };
    let head = if config.tie_word_embeddings { "wte.weight" } else { "lm_head.weight" };
    for (name, tensor) in weights.iter_mut().filter(|(name, _)| !tables.contains(&name.as_str())) {
        let [_, k] = tensor.shape[..] else { continue };
        for w in tensor.data.chunks_mut(k) {
            if precision == Precision::Q8 || name == head {
                let mut codes = vec![0; k];
                let scale = q8::quantize_row(w, &mut codes);
                q8::dequantize_row(&codes, scale, w);
            } else {
                let (mut codes, mut scales) = (vec![0; q4::row_bytes(k)], vec![half::bf16::ZERO; q4::blocks(k)]);
                q4::quantize_row(w, &mut codes, &mut scales);
                q4::dequantize_row(&codes, &scales, w);
            }
        }
    }
    weights
}

#[test]
fn codes_compute_what_the_weights_they_stand_for_compute_prompts_included() {
    let wide = ModelConfig { n_embd: 48, n_inner: 70, ..configs()[0].clone() };
    for config in configs().into_iter().chain([wide]).filter(|config| config.architecture == Architecture::Gpt) {
        let weights = Reference::new(&config).weights();
        for precision in [Precision::Q8, Precision::Q4] {
            let mut codes = generator(&config, &weights, precision);
            let mut full = generator(&config, &rounded(&config, &weights, precision), Precision::Full);
            // Read token by token, and at once.
            for prompt in [1, 9] {
                let prompt: Vec<u32> = (0..prompt).map(|i| i * 5 % 13).collect();
                codes.start(&prompt).unwrap();
                full.start(&prompt).unwrap();
                for token in 0..8 {
                    close(wait(codes.logits()).unwrap(), wait(full.logits()).unwrap());
                    codes.push(token);
                    full.push(token);
                }
            }
            assert_ne!(rounded(&config, &weights, precision), weights);
        }
    }
}

#[test]
fn texts_longer_than_the_context_go_on_from_its_last_half() {
    for config in configs() {
        let mut reference = Reference::new(&config);
        let mut generator = generator(&config, &reference.weights(), Precision::Full);
        let tokens: Vec<u32> = (0..100).map(|i| i * i % 13).collect();
        // Of a longer prompt, the last T tokens are read.
        generator.start(&tokens[..25]).unwrap();
        close(wait(generator.logits()).unwrap(), &reference.logits(&tokens[15..25]));
        let mut start = 15;
        for end in 26..=100 {
            generator.push(tokens[end - 1]);
            if end - start > 10 {
                // The cache was full: the last five tokens and the new one are in view.
                start = end - 6;
            }
            close(wait(generator.logits()).unwrap(), &reference.logits(&tokens[start..end]));
        }
        assert_eq!(generator.length(), 100);
    }
}

#[test]
fn a_context_of_one_token_works() {
    for config in configs() {
        let sliding_window = config.sliding_window.map(|_| 1);
        let config = ModelConfig { n_positions: 1, sliding_window, ..config };
        let mut reference = Reference::new(&config);
        let mut generator = generator(&config, &reference.weights(), Precision::Full);
        generator.start(&[3]).unwrap();
        for token in [1, 2, 12] {
            generator.push(token);
            close(wait(generator.logits()).unwrap(), &reference.logits(&[token]));
        }
    }
}

#[test]
fn prompts_that_cannot_be_read_are_refused() {
    let config = &configs()[0];
    let weights = Reference::new(config).weights();
    let mut generator = generator(config, &weights, Precision::Full);
    assert!(generator.start(&[]).unwrap_err().to_string().contains("empty"));
    assert!(generator.start(&[13]).unwrap_err().to_string().contains("13"));
    assert!(wait(Generator::new(config, &weights, Precision::Full, Device::Cpu(Pool::new(1)), 1000)).is_err());
    assert!(wait(Generator::new(config, &Weights::new(), Precision::Full, Device::Cpu(Pool::new(1)), PLENTY)).is_err());
}

/// Ways to draw, each with all that it needs.
fn samplings() -> [SamplerConfig; 5] {
    let base = SamplerConfig { temperature: 0.9, top_k: None, top_p: None, seed: 5 };
    [
        base,
        SamplerConfig { temperature: 0.0, ..base },
        SamplerConfig { top_k: Some(3), ..base },
        SamplerConfig { top_p: Some(0.7), ..base },
        SamplerConfig { top_k: Some(8), top_p: Some(0.9), seed: u64::MAX, ..base },
    ]
}

/// A text drawn from logits that are read, and read again after every token.
fn step_by_step(generator: &mut Generator, prompt: &[u32], sampling: SamplerConfig, count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling).unwrap();
    generator.start(prompt).unwrap();
    let mut text = Vec::new();
    for _ in 0..count {
        let position = generator.length();
        let token = sampler.sample(wait(generator.logits()).unwrap(), position).unwrap();
        generator.push(token);
        text.push(token);
    }
    text
}

#[test]
fn generated_texts_are_those_drawn_step_by_step_whatever_the_chunks() {
    const COUNT: usize = 40;
    for config in configs() {
        let weights = Reference::new(&config).weights();
        for precision in Precision::ALL {
            let mut generator = generator(&config, &weights, precision);
            let mut texts = Vec::new();
            // One token, one that is read token by token, nearly and just a full context, a longer one.
            for (prompt, sampling) in [1, 2, 9, 10, 25].into_iter().zip(samplings()) {
                let prompt: Vec<u32> = (0..prompt).map(|i| i * 5 % 13).collect();
                let text = step_by_step(&mut generator, &prompt, sampling, COUNT);
                let logits = wait(generator.logits()).unwrap().to_vec();
                for chunk in [1, 2, 3, 7, 11, COUNT] {
                    generator.start(&prompt).unwrap();
                    let mut generated = Vec::new();
                    while generated.len() < COUNT {
                        let count = chunk.min(COUNT - generated.len());
                        generated.extend(wait(generator.generate(&sampling, count)).unwrap());
                    }
                    assert_eq!(generated, text, "{sampling:?} in chunks of {chunk}");
                    assert_eq!(generator.length() as usize, prompt.len() + COUNT);
                    assert_eq!(wait(generator.logits()).unwrap(), logits, "logits after chunks of {chunk}");
                }
                texts.push(text);
            }
            assert!(texts.iter().any(|text| text.iter().any(|token| *token != text[0])), "{texts:?}");
        }
    }
}

#[test]
fn logits_come_with_the_same_text_and_are_what_it_was_drawn_from() {
    const COUNT: usize = 40;
    for config in configs() {
        let weights = Reference::new(&config).weights();
        let mut generator = generator(&config, &weights, Precision::Full);
        for (prompt, sampling) in [1, 2, 9, 10, 25].into_iter().zip(samplings()) {
            let prompt: Vec<u32> = (0..prompt).map(|i| i * 5 % 13).collect();
            generator.start(&prompt).unwrap();
            let text = wait(generator.generate(&sampling, COUNT)).unwrap();
            // Read one by one.
            let mut logits = Vec::new();
            generator.start(&prompt).unwrap();
            for &token in &text {
                logits.extend_from_slice(wait(generator.logits()).unwrap());
                generator.push(token);
            }
            for chunk in [1, 3, 11, COUNT] {
                generator.start(&prompt).unwrap();
                let mut drawn = Drawn::default();
                while drawn.tokens.len() < COUNT {
                    let count = chunk.min(COUNT - drawn.tokens.len());
                    let more = wait(generator.generate_with_logits(&sampling, count)).unwrap();
                    drawn.tokens.extend(more.tokens);
                    drawn.logits.extend(more.logits);
                }
                assert_eq!(drawn, Drawn { tokens: text.clone(), logits: logits.clone() }, "chunks of {chunk}");
            }
        }
        assert_eq!(wait(generator.generate_with_logits(&samplings()[0], 0)).unwrap(), Drawn::default());
    }
}

#[test]
fn pushing_and_generating_take_turns() {
    let config = &configs()[0];
    let mut generator = generator(config, &Reference::new(config).weights(), Precision::Full);
    let sampling = samplings()[0];
    generator.start(&[3, 1, 4]).unwrap();
    let mut text = wait(generator.generate(&sampling, 5)).unwrap();
    generator.push(2);
    text.push(2);
    assert!(wait(generator.generate(&sampling, 0)).unwrap().is_empty());
    text.extend(wait(generator.generate(&sampling, 9)).unwrap());
    let next = wait(generator.logits()).unwrap().to_vec();
    // The same text, given.
    generator.start(&[3, 1, 4]).unwrap();
    text.iter().for_each(|&token| generator.push(token));
    assert_eq!(wait(generator.logits()).unwrap(), next);
}

#[test]
fn a_context_of_one_token_generates() {
    let config = ModelConfig { n_positions: 1, ..configs()[0].clone() };
    let mut generator = generator(&config, &Reference::new(&config).weights(), Precision::Full);
    let text = step_by_step(&mut generator, &[3], samplings()[0], 12);
    generator.start(&[3]).unwrap();
    assert_eq!(wait(generator.generate(&samplings()[0], 12)).unwrap(), text);
}

#[test]
fn logits_that_are_not_finite_are_an_error_and_the_next_text_is_unharmed() {
    let config = &configs()[0];
    let good = Reference::new(config).weights();
    let mut bad = good.clone();
    bad.values_mut().for_each(|tensor| tensor.data.fill(3e38));
    let mut generator = generator(config, &bad, Precision::Full);
    for sampling in samplings() {
        generator.start(&[1]).unwrap();
        assert!(matches!(wait(generator.generate(&sampling, 20)), Err(Error::NonFiniteLogits)));
    }
    generator.load(&good).unwrap();
    let text = step_by_step(&mut generator, &[1], samplings()[0], 20);
    generator.start(&[1]).unwrap();
    assert_eq!(wait(generator.generate(&samplings()[0], 20)).unwrap(), text);
    let hot = SamplerConfig { temperature: f32::NAN, ..samplings()[0] };
    assert!(wait(generator.generate(&hot, 1)).unwrap_err().to_string().contains("temperature"));
}
