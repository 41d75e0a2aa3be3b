//! The mean loss over a split, by one of two protocols.

use serde::{Deserialize, Serialize};

use super::batches::{Batch, Batches};
use super::config::Protocol;
use super::dataset::{Dataset, Part, Split};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::Pending;
use crate::nn::Graph;
use crate::program::Pass;
use crate::step::Step;
use crate::train::config::Order;

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy in nats per token.
    pub loss: f64,
    /// `e^loss`.
    pub perplexity: f64,
    /// `loss / ln 2` per character instead of per token: comparable between tokenizers.
    pub bits_per_char: f64,
    /// Predicted tokens.
    pub tokens: u64,
    /// Over what the mean was taken.
    pub protocol: Protocol,
}

/// How to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator {
    /// The recorded model.
    pub graph: Graph,
    /// Over what to average.
    pub protocol: Protocol,
    /// Batches of the `sampled` protocol.
    pub batches: usize,
    /// Seed of the `sampled` protocol.
    pub seed: u64,
}

impl Evaluator {
    /// Evaluates the engine's present weights on a split of more than one token.
    ///
    /// # Errors
    /// What went wrong on a GPU; a shard of the data that was changed.
    pub async fn run(&self, engine: &mut Engine, data: &Dataset, split: Split) -> Result<Evaluation> {
        let tokens = data.split(split);
        let mut sum = Sum::default();
        // A split that cannot fill a random window is evaluated whole, and the result says so.
        let protocol = if tokens.len() <= self.graph.context as u64 { Protocol::Full } else { self.protocol };
        match protocol {
            Protocol::Full => self.full(engine, tokens, &mut sum).await?,
            Protocol::Sampled => self.sampled(engine, tokens, &mut sum).await?,
        }
        let loss = sum.nats / sum.tokens as f64;
        Ok(Evaluation {
            loss,
            perplexity: loss.exp(),
            bits_per_char: loss / std::f64::consts::LN_2 / data.characters_per_token(split),
            tokens: sum.tokens,
            protocol,
        })
    }

    /// Windows side by side: `T` inputs each, the last one as short as it has to be, every token but the first predicted once.
    async fn full(&self, engine: &mut Engine, tokens: Part<'_>, sum: &mut Sum) -> Result<()> {
        let Graph { batch, context, .. } = self.graph;
        let predicted = tokens.len().saturating_sub(1);
        for start in (0..predicted).step_by(batch * context) {
            let count = (predicted - start).min((batch * context) as u64) as usize;
            // Padding comes after all that counts: causal attention does not see it, and its losses are left out.
            let padded = |from: u64| {
                let mut ids = vec![0; batch * context];
                tokens.read(from, &mut ids[..count])?;
                Ok::<_, Error>(ids)
            };
            let batch = Batch { tokens: padded(start)?, targets: padded(start + 1)? };
            self.forward(engine, &batch, count, sum).await?;
        }
        sum.finish(engine).await
    }

    async fn sampled(&self, engine: &mut Engine, tokens: Part<'_>, sum: &mut Sum) -> Result<()> {
        let Graph { batch, context, .. } = self.graph;
        // Its own stream: never the batches of training.
        let seed = self.seed ^ u64::from(crate::rng::Site::EVALUATION.0) << 32;
        let mut draw = Batches::new(seed, Order::Random, batch, context);
        let mut window = Batch::default();
        for i in 0..self.batches {
            draw.fill(tokens, i as u32, &mut window)?;
            self.forward(engine, &window, batch * context, sum).await?;
        }
        sum.finish(engine).await
    }

    async fn forward(&self, engine: &mut Engine, batch: &Batch, count: usize, sum: &mut Sum) -> Result<()> {
        engine.write_ids(self.graph.tokens, &batch.tokens);
        engine.write_ids(self.graph.targets, &batch.targets);
        engine.replay(Pass::Forward, &Step::default());
        sum.pending.push((engine.start_read(self.graph.losses), count));
        if sum.pending.len() == READS_IN_FLIGHT {
            sum.finish(engine).await?;
        }
        Ok(())
    }
}

/// Batches that a GPU may be behind: waiting for one costs as much as computing it where the model is small.
const READS_IN_FLIGHT: usize = 64;

#[derive(Default)]
struct Sum {
    nats: f64,
    tokens: u64,
    /// Losses of batches that were not added yet, and how many of each count.
    pending: Vec<(Pending, usize)>,
}

impl Sum {
    async fn finish(&mut self, engine: &Engine) -> Result<()> {
        for (pending, count) in self.pending.drain(..) {
            let losses = engine.finish_read(pending).await?;
            self.nats += losses[..count].iter().map(|&l| f64::from(l)).sum::<f64>();
            self.tokens += count as u64;
        }
        Ok(())
    }
}
