//! The mean loss over a split, by one of two protocols.

use serde::{Deserialize, Serialize};

use super::batches::{Batch, Batches};
use super::config::Protocol;
use super::dataset::{Dataset, Part, Split};
use super::replica::Replicas;
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

/// An evaluation that is under way.
#[derive(Debug)]
pub struct Evaluating {
    split: Split,
    protocol: Protocol,
    /// Batches done.
    batch: u64,
    /// Ops done of the next one, and how many of its predictions count.
    op: usize,
    count: usize,
    /// Whether replicas were asked for the losses of the next batch; what became of them, if they are no more.
    asked: bool,
    pub(super) lost: Option<String>,
    sum: Sum,
}

impl Evaluating {
    /// The means, after the last batch.
    fn result(&self, data: &Dataset) -> Evaluation {
        let loss = self.sum.nats / self.sum.tokens as f64;
        Evaluation {
            loss,
            perplexity: loss.exp(),
            bits_per_char: loss / std::f64::consts::LN_2 / data.characters_per_token(self.split),
            tokens: self.sum.tokens,
            protocol: self.protocol,
        }
    }

    /// Whether it waits for replicas.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }
}

impl Evaluator {
    /// Evaluates the engine's present weights on a split of more than one token.
    ///
    /// # Errors
    /// What went wrong on a GPU; a shard of the data that was changed.
    pub async fn run(&self, engine: &mut Engine, data: &Dataset, split: Split) -> Result<Evaluation> {
        let mut evaluating = self.begin(data, split);
        loop {
            if let Some(evaluation) = self.advance(engine, data, &mut evaluating, &mut || false).await? {
                return Ok(evaluation);
            }
        }
    }

    /// An evaluation to be done by [`Self::advance`].
    pub fn begin(&self, data: &Dataset, split: Split) -> Evaluating {
        // A split that cannot fill a random window is evaluated whole, and the result says so.
        let is_short = data.split(split).len() <= self.graph.context as u64;
        let protocol = if is_short { Protocol::Full } else { self.protocol };
        Evaluating { split, protocol, batch: 0, op: 0, count: 0, asked: false, lost: None, sum: Sum::default() }
    }

    /// Goes on until `enough` says so: the result when it is there.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn advance(
        &self,
        engine: &mut Engine,
        data: &Dataset,
        evaluating: &mut Evaluating,
        enough: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Evaluation>> {
        let Evaluating { split, protocol, .. } = *evaluating;
        let tokens = data.split(split);
        loop {
            if evaluating.op == 0 {
                let Some((batch, count)) = self.batch(tokens, protocol, evaluating.batch)? else { break };
                evaluating.count = count;
                engine.write_ids(self.graph.tokens, &batch.tokens);
                engine.write_ids(self.graph.targets, &batch.targets);
            }
            if let Some(op) = engine.replay_some(Pass::Forward, &Step::DEFAULT, evaluating.op, enough) {
                evaluating.op = op;
                return Ok(None);
            }
            evaluating.op = 0;
            evaluating.batch += 1;
            let sum = &mut evaluating.sum;
            sum.pending.push((engine.start_read(self.graph.losses), evaluating.count));
            if sum.pending.len() == READS_IN_FLIGHT {
                sum.finish(engine).await?;
            }
            if enough() {
                return Ok(None);
            }
        }
        evaluating.sum.finish(engine).await?;
        Ok(Some(evaluating.result(data)))
    }

    /// [`Self::advance`] in replicas: `None` while they compute, and when one is lost.
    pub(super) async fn advance_in(
        &self,
        replicas: &mut Replicas,
        engine: &Engine,
        data: &Dataset,
        evaluating: &mut Evaluating,
    ) -> Result<Option<Evaluation>> {
        loop {
            if evaluating.asked {
                if !replicas.is_done() {
                    return Ok(None);
                }
                evaluating.asked = false;
                match replicas.collect_losses() {
                    Ok(losses) => evaluating.sum.add(&losses[..evaluating.count]),
                    Err(problem) => {
                        evaluating.lost = Some(problem);
                        return Ok(None);
                    }
                }
                evaluating.batch += 1;
            }
            let tokens = data.split(evaluating.split);
            let Some((batch, count)) = self.batch(tokens, evaluating.protocol, evaluating.batch)? else { break };
            (evaluating.count, evaluating.asked) = (count, true);
            replicas.send_evaluation(engine, &batch).await?;
        }
        Ok(Some(evaluating.result(data)))
    }

    /// Batch `i` of an evaluation, and how many of its predictions count; `None` after the last.
    fn batch(&self, tokens: Part<'_>, protocol: Protocol, i: u64) -> Result<Option<(Batch, usize)>> {
        let Graph { batch, context, .. } = self.graph;
        match protocol {
            // Windows side by side: `T` inputs each, the last one as short as it has to be, every token but the first predicted once.
            Protocol::Full => {
                let predicted = tokens.len().saturating_sub(1);
                let start = i * (batch * context) as u64;
                if start >= predicted {
                    return Ok(None);
                }
                let count = (predicted - start).min((batch * context) as u64) as usize;
                // Padding comes after all that counts: causal attention does not see it, and its losses are left out.
                let padded = |from: u64| {
                    let mut ids = vec![0; batch * context];
                    tokens.read(from, &mut ids[..count])?;
                    Ok::<_, Error>(ids)
                };
                Ok(Some((Batch { tokens: padded(start)?, targets: padded(start + 1)? }, count)))
            }
            Protocol::Sampled => {
                if i >= self.batches as u64 {
                    return Ok(None);
                }
                // Its own stream: never the batches of training.
                let seed = self.seed ^ u64::from(crate::rng::Site::EVALUATION.0) << 32;
                let mut window = Batch::default();
                Batches::new(seed, Order::Random, batch, context).fill(tokens, i as u32, &mut window)?;
                Ok(Some((window, batch * context)))
            }
        }
    }
}

/// Batches that a GPU may be behind: waiting for one costs as much as computing it where the model is small.
const READS_IN_FLIGHT: usize = 64;

#[derive(Debug, Default)]
struct Sum {
    nats: f64,
    tokens: u64,
    /// Losses of batches that were not added yet, and how many of each count.
    pending: Vec<(Pending, usize)>,
}

impl Sum {
    async fn finish(&mut self, engine: &Engine) -> Result<()> {
        for (pending, count) in std::mem::take(&mut self.pending) {
            let losses = engine.finish_read(pending).await?;
            self.add(&losses[..count]);
        }
        Ok(())
    }

    fn add(&mut self, losses: &[f32]) {
        self.nats += losses.iter().map(|&l| f64::from(l)).sum::<f64>();
        self.tokens += losses.len() as u64;
    }
}
