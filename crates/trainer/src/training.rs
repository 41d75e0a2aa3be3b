//! A training run: steps, evaluations and saves, until it is done, out of patience or interrupted.
//!
//! ```text
//! each step          metrics.jsonl, progress bar
//! each evaluation    val loss, a sample, metrics.jsonl; then best/ (if it is the best), last/, loss.svg
//! in between         last/, once a minute
//! Ctrl-C             last/, loss.svg
//! ```
//!
//! `best/` is saved before `last/`, whose state names the best step: whenever the process is killed, the run that resumes
//! from `last/` has that best checkpoint or makes it again. The rest is core's promise that the same settings, data and
//! step give the same bits.

pub mod history;
pub mod report;

use std::time::{Duration, Instant};

use inkling_core::checkpoint::Checkpoint;
use inkling_core::error::check_memory;
use inkling_core::nn::Generation;
use inkling_core::program::Precision;
use inkling_core::sample::SamplerConfig;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::{Split, StepReport, Trainer};
use inkling_core::{Device, ModelConfig, Weights};

use crate::continuation::{Continuation, default_prompt};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::model_source;
use crate::plot::LossPlot;
use crate::run_folder::metrics::MetricsLog;
use crate::run_folder::{RunFolder, Slot};
use crate::terminal::{Terminal, TrainingBar};
use history::{EvaluationRecord, History, StepRecord};
use report::Summary;

/// Longest time of work that a kill can cost, short of a single step or evaluation.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Tokens of the sample at each evaluation: two or three lines.
const SHORT_SAMPLE: usize = 120;
/// Tokens of the sample at the end.
const LONG_SAMPLE: usize = 300;
/// Slightly below 1: the model's own distribution without its least likely letters.
const TEMPERATURE: f32 = 0.8;

/// Fails when training, sampling and saving together need more than `available` bytes.
pub fn check_run_memory(trainer: &Trainer, available: u64) -> Result<()> {
    Ok(check_memory(run_memory(trainer)?, available)?)
}

/// Bytes that a run allocates: both programs, and a save's copies of weights and moments, as tensors and as file contents.
pub fn run_memory(trainer: &Trainer) -> Result<u64> {
    const COPIES: u64 = 2 * 3;
    let (generation, _) = Generation::record(trainer.model(), Precision::Half)?;
    let saving = COPIES * 4 * trainer.model().num_parameters();
    Ok(trainer.engine().program().memory_bytes() + generation.memory_bytes() + saving)
}

/// A run in its folder.
pub struct Run<'a> {
    trainer: Trainer,
    tokenizer: Tokenizer,
    characters_per_token: f64,
    writer: Continuation,
    folder: RunFolder,
    log: MetricsLog,
    history: History,
    terminal: &'a Terminal,
    /// Step of the latest save of `last/` by this process.
    saved_step: Option<u64>,
    saved_at: Instant,
    /// Up to here, time is counted in the run's state.
    counted_until: Instant,
    speed: Speed,
}

/// What a run starts from.
pub struct Parts<'a> {
    /// At the step where the run goes on.
    pub trainer: Trainer,
    /// Of the text.
    pub tokenizer: Tokenizer,
    /// 1 for a character tokenizer.
    pub characters_per_token: f64,
    /// Generates the samples.
    pub device: Device,
    /// Held for writing.
    pub folder: RunFolder,
    /// Open at its end.
    pub log: MetricsLog,
    /// What the log holds.
    pub history: History,
    /// Where progress goes.
    pub terminal: &'a Terminal,
}

impl<'a> Run<'a> {
    /// Puts a run together.
    pub async fn new(parts: Parts<'a>) -> Result<Self> {
        let Parts { trainer, tokenizer, characters_per_token, device, folder, log, history, terminal } = parts;
        let sampling = SamplerConfig { temperature: TEMPERATURE, ..SamplerConfig::default() };
        let weights = trainer.weights().await?;
        let writer = Continuation::new(
            trainer.model(),
            &weights,
            tokenizer.clone(),
            sampling,
            Precision::Half,
            device,
            u64::MAX,
        )
        .await?;
        let now = Instant::now();
        Ok(Self {
            trainer,
            tokenizer,
            characters_per_token,
            writer,
            folder,
            log,
            history,
            terminal,
            saved_step: None,
            saved_at: now,
            counted_until: now,
            speed: Speed::default(),
        })
    }

    /// Trains to the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once everything is saved; failures of the disk; core's [`Diverged`](inkling_core::Error).
    pub async fn finish(mut self, interrupt: &Interrupt) -> Result<Summary> {
        let bar = self.terminal.training_bar(self.trainer.settings().max_steps, self.trainer.state().step);
        bar.println(self.terminal, report::TABLE_HEADER);
        while !self.trainer.is_finished() {
            let started = Instant::now();
            self.trainer.step().await?;
            let step = self.trainer.reports().await?.pop().expect("a report of each step");
            self.take_note(&step, started.elapsed(), &bar)?;
            if step.step % self.trainer.settings().eval_steps == 0 || step.step == self.trainer.settings().max_steps {
                bar.say("evaluating");
                self.evaluate(&bar).await?;
            } else if self.saved_at.elapsed() >= SAVE_INTERVAL {
                self.save_last().await?;
            }
            if interrupt.is_raised() && !self.trainer.is_finished() {
                if self.saved_step != Some(step.step) {
                    self.save_last().await?;
                    self.plot()?;
                }
                return Err(Error::Interrupted { saved: Some(self.folder.path().into()) });
            }
        }
        drop(bar);
        self.summarize().await
    }

    fn take_note(&mut self, step: &StepReport, time: Duration, bar: &TrainingBar) -> Result<()> {
        let tokens = self.trainer.tokens_per_step();
        self.speed.add(tokens, time.as_secs_f64());
        let record = StepRecord::new(step, tokens as f64 / time.as_secs_f64());
        self.log.append(&record)?;
        self.history.train.push((record.step, record.loss));
        if step.skipped {
            let text = format!("step {}: the gradient is not finite; this update is left out", step.step);
            bar.suspend(|| self.terminal.warn(&text));
        }
        bar.update(step.step, record.loss, self.speed.recent);
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
        bar.println(self.terminal, &row);
        bar.println(self.terminal, &self.terminal.faint(&report::indented(&record.sample)));

        let mut checkpoint = self.model(weights);
        if is_best {
            self.save(Slot::Best, &checkpoint)?;
        }
        checkpoint.training = Some(self.trainer.training_state().await?);
        self.save(Slot::Last, &checkpoint)?;
        self.plot()
    }

    /// A text of the loaded model's. A model that cannot write is no reason to stop training it.
    async fn sample(&mut self, tokens: usize, bar: Option<&TrainingBar>) -> Result<Option<String>> {
        match self.writer.text(&default_prompt(&self.tokenizer), tokens).await {
            Err(problem @ Error::NotFinite { .. }) => {
                let warn = || self.terminal.warn(&format!("there is no sample: {problem}"));
                bar.map_or_else(warn, |bar| bar.suspend(warn));
                Ok(None)
            }
            text => text.map(Some),
        }
    }

    async fn save_last(&mut self) -> Result<()> {
        self.count_time();
        let mut checkpoint = self.model(self.trainer.weights().await?);
        checkpoint.training = Some(self.trainer.training_state().await?);
        self.save(Slot::Last, &checkpoint)
    }

    fn model(&self, weights: Weights) -> Checkpoint {
        let config: ModelConfig = self.trainer.model().clone();
        Checkpoint { config, weights, tokenizer: self.tokenizer.clone(), training: None }
    }

    fn save(&mut self, slot: Slot, checkpoint: &Checkpoint) -> Result<()> {
        let files = checkpoint.to_files().map_err(|problem| Error::Save {
            folder: self.folder.path().join(slot.name()),
            failure: Box::new(problem.into()),
            kept: match self.folder.checkpoint(slot) {
                Some(_) => "the previous checkpoint is intact",
                None => "there is no earlier one",
            },
        })?;
        self.folder.save(slot, &files)?;
        if slot == Slot::Last {
            self.saved_step = Some(self.trainer.state().step);
            self.saved_at = Instant::now();
        }
        Ok(())
    }

    fn plot(&self) -> Result<()> {
        let title = self.folder.name();
        let plot = LossPlot { title: &title, train: &self.history.train, validation: &self.history.validation };
        plot.write(&self.folder.loss_plot())
    }

    /// Adds the time since the last call to the run's state.
    fn count_time(&mut self) {
        let now = Instant::now();
        self.trainer.add_elapsed((now - self.counted_until).as_secs_f64());
        self.counted_until = now;
    }

    /// The result, with a sample of the best checkpoint as it was saved.
    async fn summarize(mut self) -> Result<Summary> {
        let mut summary =
            Summary::new(&self.folder, self.trainer.state(), self.trainer.settings(), Some(self.characters_per_token));
        summary.tokens_per_s = Some(self.speed.overall());
        summary.train_loss = self.history.recent_train();
        let best = model_source::load(self.folder.path())?;
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
