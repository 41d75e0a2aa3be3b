//! A training run: steps, evaluations and saves, until it is done, out of patience or interrupted.
//!
//! ```text
//! each step          metrics.jsonl, progress bar; on a GPU several steps at a time, see [`Group`]
//! each evaluation    val loss, a sample, metrics.jsonl; then best/ (if it is the best), last/, loss.svg
//! in between         last/, once a minute
//! Ctrl-C             last/, loss.svg
//! ```
//!
//! `best/` is saved before `last/`, whose state names the best step: whenever the process is killed, the run that resumes
//! from `last/` has that best checkpoint or makes it again. The rest is core's promise that the same settings, data and
//! step give the same bits.

pub mod report;
mod saved;
pub mod session;

use std::time::{Duration, Instant};

use inkling_core::Weights;
use inkling_core::error::check_memory;
use inkling_core::nn::Generation;
use inkling_core::program::Precision;
use inkling_core::sample::SamplerConfig;
use inkling_core::train::history::{EvaluationRecord, History, SHORT_SAMPLE, StepRecord, TEMPERATURE};
use inkling_core::train::{Group, Split, StepReport, Trainer};

use crate::continuation::Continuation;
use crate::device::Processor;
use crate::error::{Error, Result};
use crate::format;
use crate::interrupt::Interrupt;
use crate::model_source;
use crate::plot::LossPlot;
use crate::run_folder::Slot;
use crate::run_folder::metrics::MetricsLog;
use crate::terminal::TrainingBar;
use report::Summary;
use saved::Saved;
use session::{LossDrill, Session};

/// Longest time of work that a kill can cost, short of a single step or evaluation.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Tokens of the sample at the end.
const LONG_SAMPLE: usize = 300;
/// Memory that a run takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunMemory {
    /// Of this machine.
    pub host: u64,
    /// Of the GPU.
    pub gpu: u64,
}

impl RunMemory {
    /// Both programs, a save's copies of weights and moments, as tensors and as file contents, and the order of the windows. (Mapped
    /// shards take none: the system may forget their pages whenever it is short.)
    pub fn of(trainer: &Trainer, processor: &Processor) -> Result<Self> {
        const COPIES: u64 = 2 * 3;
        let (generation, _) = Generation::record(trainer.model(), Precision::Half)?;
        let training = trainer.engine().program();
        let trained: u64 = training.parameters().map(|spec| spec.numel() as u64).sum();
        // To sample, adapters are merged with a copy of their base, which is kept too.
        let merging = if trainer.lora().is_some() { 2 * 4 * trainer.model().num_parameters() } else { 0 };
        let beside = COPIES * 4 * trained + merging + trainer.order_bytes();
        Ok(match processor {
            Processor::Cpu { .. } => {
                Self { host: training.memory_bytes() + generation.memory_bytes() + beside, gpu: 0 }
            }
            Processor::Gpu(_) => {
                Self { host: beside, gpu: training.gpu_memory_bytes() + generation.gpu_memory_bytes() }
            }
        })
    }

    /// Fails when that is more than `available` bytes of this machine's.
    pub fn check(self, available: u64) -> Result<()> {
        Ok(check_memory(self.host, available)?)
    }
}

/// A run on a device.
pub struct Run<'a> {
    session: &'a Session<'a>,
    trainer: Trainer,
    writer: Continuation,
    processor: Processor,
    log: MetricsLog,
    history: History,
    group: Group,
    saved_at: Instant,
    /// Up to here, time is counted in the run's state.
    counted_until: Instant,
    speed: Speed,
}

/// Where a run goes on.
pub struct Start {
    /// At that step.
    pub trainer: Trainer,
    /// What the trainer computes on.
    pub processor: Processor,
    /// Open at its end.
    pub log: MetricsLog,
    /// What the log holds.
    pub history: History,
}

impl<'a> Run<'a> {
    /// Puts a run together.
    pub async fn new(session: &'a Session<'a>, start: Start) -> Result<Self> {
        let Start { trainer, processor, log, history } = start;
        let sampling = SamplerConfig { temperature: TEMPERATURE, ..SamplerConfig::default() };
        let weights = trainer.weights().await?;
        let writer = Continuation::new(
            trainer.model(),
            &weights,
            session.tokenizer.clone(),
            sampling,
            Precision::Half,
            processor.device(),
            u64::MAX,
        )
        .await?;
        processor.keep_tuning(session.terminal);
        let now = Instant::now();
        let group = Group::new(trainer.state().step, processor.gpu().is_some());
        Ok(Self {
            session,
            trainer,
            writer,
            processor,
            log,
            history,
            group,
            saved_at: now,
            counted_until: now,
            speed: Speed::default(),
        })
    }

    /// Trains to the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once everything is saved; failures of the disk; core's [`Diverged`](inkling_core::Error), and
    /// what went wrong on a GPU.
    pub async fn finish(mut self, interrupt: &Interrupt, drill: &mut LossDrill) -> Result<Summary> {
        let terminal = self.session.terminal;
        let bar = terminal.training_bar(self.trainer.settings().max_steps, self.trainer.state().step);
        bar.println(terminal, report::TABLE_HEADER);
        if self.session.origin.is_fine_tuning() && self.history.validation.is_empty() {
            bar.say("evaluating the base");
            self.evaluate(&bar).await?;
        }
        self.group.restart();
        while !self.trainer.is_finished() {
            self.trainer.step().await?;
            let step = self.trainer.state().step;
            let is_drill = drill.strikes_after(step);
            let settings = self.trainer.settings();
            let evaluates = step.is_multiple_of(settings.eval_steps) || step == settings.max_steps;
            let saves = self.saved_at.elapsed() >= SAVE_INTERVAL;
            if evaluates || saves || interrupt.is_raised() || is_drill || self.group.is_full(step) {
                self.take_reports(&bar).await?;
            }
            if let (true, Some(gpu)) = (is_drill, self.processor.gpu()) {
                gpu.destroy();
            }
            if evaluates {
                bar.say("evaluating");
                self.evaluate(&bar).await?;
            } else if saves {
                self.save_last().await?;
            }
            if interrupt.is_raised() && !self.trainer.is_finished() {
                self.take_reports(&bar).await?;
                if self.session.saved_step.get() != Some(step) {
                    self.save_last().await?;
                    self.plot()?;
                }
                let run = self.session.folder.path();
                let resume =
                    format!("train --resume --out {}{}", format::argument(run), self.session.compute.repeated());
                return Err(Error::Interrupted { saved: run.into(), resume });
            }
            if evaluates || saves {
                self.group.restart();
            }
        }
        drop(bar);
        self.summarize().await
    }

    /// Waits for the updates that were begun, and takes note of each.
    async fn take_reports(&mut self, bar: &TrainingBar) -> Result<()> {
        let (reports, outcome) = match self.trainer.reports().await {
            Ok(reports) => (reports, Ok(())),
            // The updates before are reported by another call.
            Err(diverged @ inkling_core::Error::Diverged { .. }) => (self.trainer.reports().await?, Err(diverged)),
            Err(other) => return Err(other.into()),
        };
        let (Some(last), seconds) = (reports.last(), self.group.end(self.trainer.state().step)) else {
            return Ok(outcome?);
        };
        let tokens = self.trainer.tokens_per_step() * reports.len() as u64;
        let tokens_per_s = tokens as f64 / seconds;
        self.speed.add(tokens, seconds);
        for report in &reports {
            self.take_note(report, tokens_per_s, bar)?;
        }
        bar.update(last.step, last.loss as f32, self.speed.recent);
        Ok(outcome?)
    }

    fn take_note(&mut self, step: &StepReport, tokens_per_s: f64, bar: &TrainingBar) -> Result<()> {
        let record = StepRecord::new(step, tokens_per_s);
        self.log.append(&record)?;
        self.history.train.push((record.step, record.loss));
        if step.skipped {
            let text = format!("step {}: the gradient is not finite; this update is left out", step.step);
            bar.suspend(|| self.session.terminal.warn(&text));
        }
        Ok(())
    }

    async fn evaluate(&mut self, bar: &TrainingBar) -> Result<()> {
        let evaluation = self.trainer.evaluate(Split::Val).await?;
        let is_best = self.trainer.record_validation(evaluation.loss);
        let weights = self.trainer.weights().await?;
        self.writer.load(&weights)?;
        let sample = self.sample(SHORT_SAMPLE, Some(bar)).await?.unwrap_or_default();
        self.count_time();
        let record =
            EvaluationRecord::new(self.trainer.state(), &evaluation, self.history.recent_train(), is_best, sample);
        self.log.append(&record)?;
        self.history.validation.push((record.step, evaluation.loss as f32));
        let row = report::table_row(&record, self.speed.overall(), self.trainer.state().elapsed_s);
        bar.println(self.session.terminal, &row);
        bar.println(self.session.terminal, &self.session.terminal.faint(&report::indented(&record.sample)));

        let trained = match self.session.adapter {
            None => weights,
            Some(_) => self.trainer.trained().await?,
        };
        let mut checkpoint = self.checkpoint(trained);
        if is_best {
            self.save(Slot::Best, &checkpoint)?;
        }
        checkpoint.set_training(self.trainer.training_state().await?);
        self.save(Slot::Last, &checkpoint)?;
        self.plot()
    }

    /// A text of the loaded model's. A model that cannot write is no reason to stop training it.
    async fn sample(&mut self, tokens: usize, bar: Option<&TrainingBar>) -> Result<Option<String>> {
        match self.writer.text(&self.session.tokenizer.default_prompt(), tokens).await {
            Err(problem @ Error::NotFinite { .. }) => {
                let warn = || self.session.terminal.warn(&format!("there is no sample: {problem}"));
                bar.map_or_else(warn, |bar| bar.suspend(warn));
                Ok(None)
            }
            text => text.map(Some),
        }
    }

    async fn save_last(&mut self) -> Result<()> {
        self.count_time();
        let mut checkpoint = self.checkpoint(self.trainer.trained().await?);
        checkpoint.set_training(self.trainer.training_state().await?);
        self.save(Slot::Last, &checkpoint)
    }

    fn checkpoint(&self, trained: Weights) -> Saved {
        Saved::new(&self.trainer, self.session.adapter.as_ref(), &self.session.tokenizer, trained)
    }

    fn save(&mut self, slot: Slot, checkpoint: &Saved) -> Result<()> {
        let files = checkpoint.to_files().map_err(|problem| Error::Save {
            folder: self.session.folder.path().join(slot.name()),
            failure: Box::new(problem.into()),
            kept: match self.session.folder.checkpoint(slot) {
                Some(_) => "the previous checkpoint is intact",
                None => "there is no earlier one",
            },
        })?;
        self.session.folder.save(slot, &files)?;
        if slot == Slot::Last {
            self.session.saved_step.set(Some(self.trainer.state().step));
            self.saved_at = Instant::now();
        }
        Ok(())
    }

    fn plot(&self) -> Result<()> {
        let title = self.session.folder.name();
        let plot = LossPlot { title: &title, train: &self.history.train, validation: &self.history.validation };
        plot.write(&self.session.folder.loss_plot())
    }

    /// Adds the time since the last call to the run's state.
    fn count_time(&mut self) {
        let now = Instant::now();
        self.trainer.add_elapsed((now - self.counted_until).as_secs_f64());
        self.counted_until = now;
    }

    /// The result, with a sample of the best checkpoint as it was saved.
    async fn summarize(mut self) -> Result<Summary> {
        let mut summary = Summary::new(
            &self.session.folder,
            self.trainer.state(),
            self.trainer.settings(),
            Some(self.session.dataset.characters_per_token(Split::Val)),
            self.session.compute,
        );
        summary.tokens_per_s = Some(self.speed.overall());
        summary.train_loss = self.history.recent_train();
        let best = model_source::load(self.session.folder.path(), self.session.terminal)?;
        self.writer.load(&best.checkpoint.weights)?;
        summary.sample = self.sample(LONG_SAMPLE, None).await?;
        Ok(summary)
    }
}

/// Tokens per second, of late and overall.
#[derive(Debug, Default)]
struct Speed {
    tokens: u64,
    seconds: f64,
    recent: f64,
}

impl Speed {
    /// Weight of the newest step in the recent speed.
    const WEIGHT: f64 = 0.1;

    fn add(&mut self, tokens: u64, seconds: f64) {
        let now = tokens as f64 / seconds;
        self.recent = if self.tokens == 0 { now } else { self.recent + Self::WEIGHT * (now - self.recent) };
        self.tokens += tokens;
        self.seconds += seconds;
    }

    fn overall(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}
