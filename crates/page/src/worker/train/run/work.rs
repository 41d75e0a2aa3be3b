//! The work of a run, in slices.

use std::rc::Rc;

use inkling_core::Error;
use inkling_core::train::history::{EvaluationRecord, StepRecord};
use inkling_core::train::{Evaluation, Progress, Split};
use web_time::{Duration, Instant};

use super::{Doing, Mode, Run};
use crate::protocol::model::cpu_name;
use crate::protocol::train::{Evaluated, RunPart, StepPoint};
use crate::worker::train::snapshots::is_milestone;
use crate::worker::train::store::Place;
use crate::worker::train::writer::Written;

/// What others wait for at most, but for the op that is under way.
const SLICE: Duration = Duration::from_millis(25);
/// Between two messages of updates.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);
/// Weight of the newest group in the speed.
const SPEED_WEIGHT: f64 = 0.1;

impl Run {
    /// Some milliseconds of work.
    ///
    /// # Errors
    /// What went wrong on a GPU; any other trouble breaks the run, which tells so itself.
    pub async fn slice(&mut self, place: &Place) -> inkling_core::Result<()> {
        let begun = Instant::now();
        let outcome = self.work(place, &mut || begun.elapsed() >= SLICE).await;
        if let Some(why) = self.trainer.lost_replica() {
            self.go_on_alone(&why);
        }
        // Replicas work for it in between.
        self.trainer.add_elapsed(self.waiting_since.take().unwrap_or(begun).elapsed().as_secs_f64());
        self.waiting_since = self.trainer.is_waiting().then(Instant::now);
        match outcome {
            Err(Error::Gpu(problem)) if self.on_gpu => {
                self.losses += 1;
                Err(problem.into())
            }
            Err(problem) => {
                self.doing = Doing::Updates;
                self.break_down(sentence(&problem.to_string()));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Without replicas.
    fn go_on_alone(&mut self, why: &str) {
        self.alone = true;
        let engine = cpu_name(1);
        self.card.engine.clone_from(&engine);
        let why = format!("A thread was lost ({why}). The run goes on with one.");
        self.tell(RunPart::Moved { engine, why });
    }

    /// It cannot go on.
    pub fn break_down(&mut self, why: String) {
        self.set_mode(Mode::Broken(why));
    }

    pub(super) async fn work(&mut self, place: &Place, enough: &mut dyn FnMut() -> bool) -> inkling_core::Result<()> {
        match &mut self.doing {
            Doing::Updates => self.update(enough).await,
            Doing::Evaluation => match self.trainer.evaluate_some(Split::Val, enough).await? {
                Some(evaluation) => self.evaluated(evaluation).await,
                None => Ok(()),
            },
            Doing::Sample(_) => match self.writer.advance(&self.prepared.tokenizer, enough).await? {
                Written::Partly => Ok(()),
                Written::Whole(text) => self.sampled(Some(text)).await,
                Written::Nothing => self.sampled(None).await,
            },
            Doing::Keeping(keeping, standing, _) => {
                let outcome = keeping.advance(place, &self.folder).await;
                let standing = standing.clone();
                self.keeping(outcome, standing);
                Ok(())
            }
        }
    }

    pub(super) async fn update(&mut self, enough: &mut dyn FnMut() -> bool) -> inkling_core::Result<()> {
        while self.is_training() {
            if self.trainer.advance(enough).await? != Progress::Whole {
                return Ok(());
            }
            let step = self.step();
            let settings = self.trainer.settings();
            let evaluates = step.is_multiple_of(settings.eval_steps) || step == settings.max_steps;
            let pauses = evaluates
                || is_milestone(step)
                || self.mode != Mode::Playing
                || self.is_pending()
                || self.keep_is_due();
            if pauses || self.group.is_full(step) {
                self.take_reports().await?;
            }
            if self.mode == Mode::Once {
                self.set_mode(Mode::Paused);
            }
            if evaluates {
                self.doing = Doing::Evaluation;
                return Ok(());
            }
            if is_milestone(step) {
                let weights = Rc::new(self.trainer.weights().await?);
                self.snapshot(step, weights.clone());
                self.writer.begin(&weights)?;
                self.doing = Doing::Sample(None);
                return Ok(());
            }
            if pauses {
                return self.rest().await;
            }
            if enough() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Between two updates: what has to be done before the next one.
    pub(super) async fn rest(&mut self) -> inkling_core::Result<()> {
        self.doing = Doing::Updates;
        self.group.restart();
        // What is broken is not kept in place of what was not.
        if matches!(self.mode, Mode::Broken(_)) {
            self.flush();
            return Ok(());
        }
        if self.trainer.is_finished() && matches!(self.mode, Mode::Playing | Mode::Paused) {
            self.set_mode(Mode::Finished);
            // Idle workers hold memory.
            self.trainer.dismiss();
        }
        let step = self.step();
        let stands = self.mode != Mode::Playing;
        if stands {
            self.flush();
        }
        if stands && !self.snapshots.contains(step) {
            let weights = Rc::new(self.trainer.weights().await?);
            self.snapshot(step, weights);
        }
        let is_kept = self.manifest.generation > 0 && self.manifest.steps.0 == step && !self.best_changed;
        // Nothing is lost with a run that has not begun, but one that was kept may have been reset.
        let is_worth_it = step > 0 || self.manifest.generation > 0;
        if is_worth_it && !is_kept && !self.told_not_kept_at(step) && (stands || self.keep_is_due()) {
            self.begin_keeping().await?;
        }
        Ok(())
    }

    /// Waits for the updates that were begun, and takes note of each.
    pub(super) async fn take_reports(&mut self) -> inkling_core::Result<()> {
        let (reports, outcome) = match self.trainer.reports().await {
            Ok(reports) => (reports, Ok(())),
            // The updates before are reported by another call.
            Err(diverged @ Error::Diverged { .. }) => (self.trainer.reports().await?, Err(diverged)),
            Err(other) => return Err(other),
        };
        if !reports.is_empty() {
            // Some browsers' clocks are coarse.
            let seconds = self.group.end(self.step()).max(1e-4);
            let speed = (self.trainer.tokens_per_step() * reports.len() as u64) as f64 / seconds;
            self.speed = if self.speed == 0.0 { speed } else { self.speed + SPEED_WEIGHT * (speed - self.speed) };
            for report in &reports {
                self.log.step(&StepRecord::new(report, speed));
                self.unsent.push(StepPoint {
                    step: report.step,
                    loss: report.loss as f32,
                    learning_rate: report.learning_rate,
                    grad_norm: report.grad_norm,
                });
            }
        }
        if self.sent_at.elapsed() >= BETWEEN_STEPS {
            self.flush();
        }
        outcome
    }

    pub(super) async fn evaluated(&mut self, evaluation: Evaluation) -> inkling_core::Result<()> {
        let best = self.trainer.record_validation(evaluation.loss);
        let step = self.step();
        self.tell(RunPart::Evaluated(Evaluated {
            step,
            val_loss: evaluation.loss,
            train_loss: self.log.recent_train(),
            bits_per_char: evaluation.bits_per_char,
            best,
        }));
        let weights = Rc::new(self.trainer.weights().await?);
        if best {
            self.best = Some((weights.clone(), Some(self.trainer.training_state().await?)));
            self.best_changed = true;
        }
        self.snapshot(step, weights.clone());
        self.writer.begin(&weights)?;
        self.doing = Doing::Sample(Some((evaluation, best)));
        Ok(())
    }

    pub(super) async fn sampled(&mut self, text: Option<String>) -> inkling_core::Result<()> {
        if let Some(text) = &text {
            let text = format!("{}{text}", self.writer.prompt());
            self.tell(RunPart::Sample { step: self.step(), text });
        }
        let evaluation = match &self.doing {
            Doing::Sample(evaluation) => *evaluation,
            _ => None,
        };
        self.doing = Doing::Updates;
        let Some((evaluation, best)) = evaluation else { return self.rest().await };
        let train_loss = self.log.recent_train();
        let sample = text.unwrap_or_default();
        self.log.evaluation(&EvaluationRecord::new(self.trainer.state(), &evaluation, train_loss, best, sample));
        // An evaluation is worth keeping.
        self.rest().await?;
        if matches!(self.doing, Doing::Updates) && !self.told_not_kept_at(self.step()) {
            self.begin_keeping().await?;
        }
        Ok(())
    }
}

/// An error of core's as a sentence.
fn sentence(problem: &str) -> String {
    let mut letters = problem.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
