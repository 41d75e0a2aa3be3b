//! Updates and evaluations, whole or a slice at a time.
//!
//! A slice ends after an op, so that whoever has one thread for everything (a page's worker) can look up in between. What is computed does not
//! depend on where the slices end.

use super::batches::Batch;
use super::config::Protocol;
use super::evaluation::{Evaluating, Evaluation, Evaluator};
use super::{Split, Trainer};
use crate::error::Result;
use crate::nn::history::History;
use crate::program::Pass;
use crate::step::{Mode, Step};

/// How far an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    Partly,
    /// There is nothing to do here before replicas have answered: see [`Trainer::is_waiting`].
    Waiting,
    /// Done.
    Whole,
}

/// An update that is under way.
pub(super) struct Update {
    step: Step,
    micro: u64,
    /// `None` while replicas compute.
    pass: Option<Pass>,
    op: usize,
}

impl Trainer {
    /// Does one update; a GPU is only told to, and [`Self::reports`] tells what became of it. (Asks replicas again and again: for those that answer
    /// when others have their turn there is [`Self::advance`].)
    ///
    /// # Errors
    /// As [`Self::reports`], where so many updates are under way that the first have to be waited for; a shard of the data that was
    /// changed.
    pub async fn step(&mut self) -> Result<()> {
        while self.advance(&mut || false).await? != Progress::Whole {}
        Ok(())
    }

    /// [`Self::step`], until `enough` says so. Between two slices of an update the weights are those before it or
    /// in the middle of it: nothing is to be read or evaluated then.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn advance(&mut self, enough: &mut dyn FnMut() -> bool) -> Result<Progress> {
        let accumulation = self.settings.gradient_accumulation_steps as u64;
        let done = self.state.step;
        let mut update = match self.update.take() {
            Some(update) => update,
            None => {
                if self.reports.is_full() {
                    self.drain().await?;
                }
                let mut update = Update { step: self.update_step(), micro: 0, pass: None, op: 0 };
                if self.replicas.is_some() {
                    self.distribute().await?;
                } else {
                    self.fill(&mut update)?;
                    update.pass = Some(Pass::Forward);
                }
                update
            }
        };
        if update.pass.is_none() && !self.collect(&mut update)? {
            self.update = Some(update);
            return Ok(Progress::Waiting);
        }
        while let Some(pass) = update.pass {
            if let Some(op) = self.engine.replay_some(pass, &update.step, update.op, enough) {
                update.op = op;
                self.update = Some(update);
                return Ok(Progress::Partly);
            }
            update.op = 0;
            update.pass = match pass {
                Pass::Forward => Some(Pass::Backward),
                Pass::Backward if update.micro + 1 < accumulation => {
                    update.micro += 1;
                    self.fill(&mut update)?;
                    Some(Pass::Forward)
                }
                Pass::Backward => Some(Pass::Update),
                _ => break,
            };
            if enough() {
                self.update = Some(update);
                return Ok(Progress::Partly);
            }
        }
        self.engine.submit();
        self.reports.expect(done, update.step.learning_rate);
        self.state.step = done + 1;
        Ok(Progress::Whole)
    }

    /// Whether an update was begun and is not done yet.
    pub fn is_within_an_update(&self) -> bool {
        self.update.is_some()
    }

    /// Whether an update or an evaluation waits for replicas that have not answered.
    pub fn is_waiting(&self) -> bool {
        self.has_asked() && self.replicas.as_ref().is_some_and(|replicas| !replicas.is_done())
    }

    /// Whether replicas have been asked for something that is not there yet.
    fn has_asked(&self) -> bool {
        self.update.as_ref().is_some_and(|update| update.pass.is_none())
            || self.evaluating.as_ref().is_some_and(Evaluating::is_asked)
    }

    /// Sends replicas the next update's batches.
    async fn distribute(&mut self) -> Result<()> {
        let accumulation = self.settings.gradient_accumulation_steps as u64;
        let counter = (self.state.step * accumulation) as u32;
        let mut batches = vec![Batch::default(); accumulation as usize];
        for (counter, batch) in (counter..).zip(&mut batches) {
            self.batches.fill(self.data.split(Split::Train), counter, batch)?;
        }
        match &mut self.replicas {
            Some(replicas) => replicas.send_update(&self.engine, counter, &batches).await,
            None => Ok(()),
        }
    }

    /// Takes the gradient that replicas have computed: whether it, or the first batch in its place, is there. Without a replica the update begins
    /// again here.
    fn collect(&mut self, update: &mut Update) -> Result<bool> {
        let Some(replicas) = self.replicas.as_mut().filter(|replicas| replicas.is_done()) else { return Ok(false) };
        match replicas.collect_update(&mut self.engine, self.reports.running()) {
            Ok(()) => update.pass = Some(Pass::Update),
            Err(problem) => {
                (self.replicas, self.lost) = (None, Some(problem));
                self.fill(update)?;
                update.pass = Some(Pass::Forward);
            }
        }
        Ok(true)
    }

    fn update_step(&self) -> Step {
        let settings = &self.settings;
        let done = self.state.step;
        let t = done + 1;
        let correction = |beta: f32| (1.0 - f64::from(beta).powi(t.min(1 << 30) as i32)) as f32;
        Step {
            mode: Mode::Train,
            seed: settings.seed,
            loss_scale: 1.0 / settings.gradient_accumulation_steps as f32,
            learning_rate: settings.learning_rate_at(done),
            bias_correction1: correction(settings.adam_beta1),
            bias_correction2: correction(settings.adam_beta2),
            slot: History::slot(done),
            ..Step::default()
        }
    }

    /// Brings the next batch to the device.
    fn fill(&mut self, update: &mut Update) -> Result<()> {
        let accumulation = self.settings.gradient_accumulation_steps as u64;
        update.step.counter = (self.state.step * accumulation + update.micro) as u32;
        self.batches.fill(self.data.split(Split::Train), update.step.counter, &mut self.batch)?;
        self.engine.write_ids(self.graph.tokens, &self.batch.tokens);
        self.engine.write_ids(self.graph.targets, &self.batch.targets);
        Ok(())
    }

    /// Evaluates the weights that a checkpoint would hold (their moving average, if there is one).
    ///
    /// # Errors
    /// As [`Self::reports`], which keeps what is ready for its next call.
    pub async fn evaluate(&mut self, split: Split) -> Result<Evaluation> {
        loop {
            if let Some(evaluation) = self.evaluate_some(split, &mut || false).await? {
                return Ok(evaluation);
            }
        }
    }

    /// [`Self::evaluate`], until `enough` says so or there is nothing to do before replicas have answered ([`Self::is_waiting`]): the result when it is
    /// there. No update is to be done between two slices of an evaluation.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    ///
    /// # Panics
    /// Within an update.
    pub async fn evaluate_some(
        &mut self,
        split: Split,
        enough: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Evaluation>> {
        assert!(self.update.is_none(), "{self:?} is within an update");
        let evaluator = Evaluator {
            graph: self.graph,
            protocol: self.settings.eval_protocol,
            batches: self.settings.eval_batches,
            seed: self.settings.seed,
        };
        let mut evaluating = match self.evaluating.take() {
            Some(evaluating) => evaluating,
            None => {
                self.drain().await?;
                self.swap_average();
                evaluator.begin(&self.data, split)
            }
        };
        let result = match &mut self.replicas {
            Some(replicas) => evaluator.advance_in(replicas, &self.engine, &self.data, &mut evaluating).await,
            None => evaluator.advance(&mut self.engine, &self.data, &mut evaluating, enough).await,
        };
        // The rest of it is done here.
        if let Some(problem) = evaluating.lost.take() {
            (self.replicas, self.lost) = (None, Some(problem));
        }
        match result {
            Ok(None) => self.evaluating = Some(evaluating),
            _ => self.swap_average(),
        }
        result
    }

    /// Batches of an evaluation of the split: each takes a forward pass.
    pub fn evaluation_batches(&self, split: Split) -> u64 {
        let per_batch = (self.graph.batch * self.graph.context) as u64;
        match self.settings.eval_protocol {
            Protocol::Full => (self.data.split(split).len().saturating_sub(1)).div_ceil(per_batch),
            Protocol::Sampled => self.settings.eval_batches as u64,
        }
    }

    /// Forgets what was begun.
    pub(super) fn give_up(&mut self) {
        let has_asked = self.has_asked();
        if let Some(replicas) = self.replicas.as_mut().filter(|_| has_asked) {
            replicas.abandon();
        }
        self.update = None;
        if self.evaluating.take().is_some() {
            self.swap_average();
        }
    }
}
