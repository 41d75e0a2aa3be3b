//! The shipped model, run natively: what the page must show.

use std::fs;

use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Precision, Training};
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::step::Step;
use inkling_core::tokenizer::{CharTokenizer, Tokenizer};
use inkling_core::train::{Dataset, TrainConfig, Trainer};
use inkling_core::{Device, Engine, ModelConfig, presets};

use crate::harness::{dist, root};

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

    /// What the preset ‘Overfit fast’ makes of its text in so many updates, and their losses.
    pub fn overfit(steps: usize) -> (Self, Vec<f64>) {
        Self::trained(steps, |_, _| ())
    }

    /// The same with other settings.
    pub fn trained(steps: usize, change: impl FnOnce(&mut ModelConfig, &mut TrainConfig)) -> (Self, Vec<f64>) {
        let data = fs::read_dir(dist().join("data")).expect("the page has its corpus");
        let file = data.map(|file| file.expect("a folder can be read").path()).next().expect("the corpus is a file");
        let corpus = fs::read_to_string(file).expect("the corpus is a text");
        let beginning = &corpus[..5_000];
        let text = &beginning[..beginning.rfind("\n\n").expect("speeches end") + 1];
        let tokenizer = Tokenizer::from(CharTokenizer::from_text(text).expect("a text has characters"));
        let nano = presets::find("nano").expect("there is such a preset");
        let mut config = ModelConfig { vocab_size: tokenizer.vocab_size(), dropout: 0.0, ..nano.model };
        let mut settings = TrainConfig {
            batch_size: 16,
            max_steps: 600,
            warmup_steps: 20,
            eval_steps: 20,
            learning_rate: 6e-3,
            min_learning_rate: 6e-3,
            ..nano.train
        };
        change(&mut config, &mut settings);
        let ids = tokenizer.encode(text).expect("it is the text's own");
        let data = Dataset::new(ids, &tokenizer.characters()).expect("the text is long enough");
        let (weights, losses) = pollster::block_on(async {
            let device = Device::Cpu(Pool::new(1));
            let mut trainer = Trainer::new(config.clone(), settings, data, device, 1 << 30).await?;
            let mut losses = Vec::new();
            for _ in 0..steps {
                trainer.step().await?;
                losses.extend(trainer.reports().await?.iter().map(|report| report.loss));
            }
            Ok::<_, inkling_core::Error>((trainer.weights().await?, losses))
        })
        .expect("it trains");
        (Self { checkpoint: Checkpoint { config, weights, tokenizer, training: None } }, losses)
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
