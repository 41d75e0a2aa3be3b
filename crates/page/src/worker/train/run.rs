//! A run that is open: what it does next, a slice at a time.
//!
//! ```text
//! update … update   [evaluation -> sample -> records]   [milestone: sample]   [keep]   update …
//! ```
//!
//! as `trainer train` does it, with the same numbers. Between slices others are heard; what is asked of a run takes effect where its weights are
//! whole: after the update that is under way.

use std::rc::Rc;

use inkling_core::checkpoint::{Checkpoint, TrainingState};
use inkling_core::train::history::{EvaluationRecord, StepRecord};
use inkling_core::train::{Evaluation, Group, Split, Trainer};
use inkling_core::{Error, Weights};
use web_time::{Duration, Instant};

use super::files::{self, Named, Standing};
use super::keep::{Keeping, Manifest, Progress};
use super::log::Log;
use super::snapshots::{Snapshots, is_milestone};
use super::store::{Place, Store, Trouble};
use super::text::Prepared;
use super::writer::{Writer, Written};
use crate::protocol::train::{Evaluated, RunCard, RunId, RunPart, RunState, Steering, StepPoint};
use crate::protocol::{Bytes, Failure, Id};
use crate::worker::zip;

/// What others wait for at most, but for the op that is under way.
const SLICE: Duration = Duration::from_millis(25);
/// Between two messages of updates.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);
/// Training that a crash may cost.
const BETWEEN_KEEPS: Duration = Duration::from_secs(5);
/// Keeping takes at most this share of the time.
const SHARE_OF_KEEPING: u32 = 20;
/// Weight of the newest group in the speed.
const SPEED_WEIGHT: f64 = 0.1;

/// What a run is at.
enum Doing {
    /// Updates, if it plays.
    Updates,
    /// The validation text.
    Evaluation,
    /// A sample; with what was found, where it belongs to an evaluation.
    Sample(Option<(Evaluation, bool)>),
    /// Keeping itself; what it will stand at then.
    Keeping(Box<Keeping>, Rc<Standing>, Instant),
}

/// Whether a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Paused,
    Playing,
    /// One update, and then paused.
    Once,
    Finished,
    Broken(String),
}

/// A run.
pub struct Run {
    /// For those who steer it.
    pub id: RunId,
    /// Who opened it.
    pub ask: Id,
    /// What it is.
    pub card: RunCard,
    /// What it learns from.
    pub prepared: Rc<Prepared>,
    /// Where the browser keeps it.
    pub folder: String,
    /// To be told, in order.
    pub outbox: Vec<RunPart>,
    /// Asks for its files.
    pub saving: Vec<Id>,
    trainer: Trainer,
    writer: Writer,
    on_gpu: bool,
    doing: Doing,
    mode: Mode,
    closing: bool,
    log: Log,
    snapshots: Snapshots,
    best: Option<(Rc<Weights>, Option<TrainingState>)>,
    last: Option<Rc<Standing>>,
    manifest: Manifest,
    /// Whether the kept best is not the run's any more.
    best_changed: bool,
    kept_at: Instant,
    keeping_took: Duration,
    told_not_kept: bool,
    /// Devices that were lost since it was kept last.
    losses: u32,
    group: Group,
    unsent: Vec<StepPoint>,
    sent_at: Instant,
    speed: f64,
}

/// What a run begins with.
pub struct Start {
    /// What it is.
    pub card: RunCard,
    /// What it learns from.
    pub prepared: Rc<Prepared>,
    /// At its step.
    pub trainer: Trainer,
    /// Of the same weights.
    pub writer: Writer,
    /// What was recorded.
    pub log: Log,
    /// The best until now.
    pub best: Option<(Rc<Weights>, Option<TrainingState>)>,
    /// Where it goes on from, if it does.
    pub last: Option<Rc<Standing>>,
    /// Where it is kept.
    pub folder: String,
    /// How it was kept last.
    pub manifest: Option<Manifest>,
    /// What is to be told of its past.
    pub past: Vec<RunPart>,
}

impl Run {
    /// A run that waits to be played.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn new(ask: Id, start: Start) -> inkling_core::Result<Self> {
        let Start { card, prepared, trainer, writer, log, best, last, folder, manifest, past } = start;
        let now = Instant::now();
        let (step, on_gpu) = (trainer.state().step, is_on_gpu(&trainer));
        let is_over = trainer.is_finished();
        let mut outbox = vec![RunPart::Opened(Box::new(card.clone()))];
        outbox.extend(past);
        let mut run = Self {
            id: card.run,
            ask,
            card,
            prepared,
            folder,
            outbox,
            saving: Vec::new(),
            trainer,
            writer,
            on_gpu,
            doing: Doing::Updates,
            mode: if is_over { Mode::Finished } else { Mode::Paused },
            closing: false,
            log,
            snapshots: Snapshots::default(),
            best,
            last,
            best_changed: manifest.is_none(),
            manifest: manifest.unwrap_or_default(),
            kept_at: now,
            keeping_took: Duration::ZERO,
            told_not_kept: false,
            losses: 0,
            group: Group::new(step, on_gpu),
            unsent: Vec::new(),
            sent_at: now,
            speed: 0.0,
        };
        if let (Some(best), Some((weights, _))) = (run.trainer.state().best, &run.best)
            && best.step < step
        {
            let weights = weights.clone();
            run.snapshot(best.step, weights);
        }
        let weights = Rc::new(run.trainer.weights().await?);
        run.snapshot(step, weights.clone());
        run.tell_state();
        if step == 0 {
            run.writer.begin(&weights)?;
            run.doing = Doing::Sample(None);
        }
        Ok(run)
    }

    /// Updates done.
    pub fn step(&self) -> u64 {
        self.trainer.state().step
    }

    /// What was recorded: `metrics.jsonl`.
    #[cfg(test)]
    pub fn log_lines(&self) -> &[u8] {
        self.log.lines()
    }

    /// Devices that it lost since it was kept last.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    /// Whether there is something to do.
    pub fn is_busy(&self) -> bool {
        !matches!(self.doing, Doing::Updates) || self.is_training() || self.is_pending()
    }

    /// Whether all of it is done and it was told to close.
    pub fn is_closed(&self) -> bool {
        self.closing && !self.is_busy()
    }

    fn is_training(&self) -> bool {
        match self.mode {
            Mode::Playing | Mode::Once => true,
            Mode::Paused | Mode::Finished => self.trainer.is_within_an_update(),
            Mode::Broken(_) => false,
        }
    }

    fn is_pending(&self) -> bool {
        !self.saving.is_empty()
    }

    /// Does what it is told to.
    ///
    /// # Errors
    /// What cannot be done, as a sentence.
    pub async fn steer(&mut self, to: Steering) -> Result<(), Failure> {
        match to {
            Steering::Play | Steering::Step => match self.mode {
                Mode::Paused | Mode::Playing | Mode::Once => {
                    self.group.restart();
                    self.set_mode(if to == Steering::Play { Mode::Playing } else { Mode::Once });
                }
                Mode::Finished => return Err(Failure::input("The run is finished: all of its updates are done.")),
                Mode::Broken(_) => {
                    return Err(Failure::input(
                        "The run cannot go on from here. Go back to its best evaluation, or begin another.",
                    ));
                }
            },
            Steering::Pause => {
                if matches!(self.mode, Mode::Playing | Mode::Once) {
                    self.set_mode(Mode::Paused);
                    if !self.trainer.is_within_an_update() && matches!(self.doing, Doing::Updates) {
                        self.rest().await?;
                    }
                }
            }
            Steering::RewindToBest => self.rewind_to_best().await?,
            Steering::Close => {
                self.closing = true;
                if matches!(self.mode, Mode::Playing | Mode::Once) {
                    self.set_mode(Mode::Paused);
                }
                if !self.trainer.is_within_an_update() && matches!(self.doing, Doing::Updates) {
                    self.rest().await?;
                }
            }
        }
        Ok(())
    }

    fn set_mode(&mut self, mode: Mode) {
        if self.mode != mode {
            // A single step is no state of its own.
            let same = matches!((&self.mode, &mode), (Mode::Playing, Mode::Once) | (Mode::Once, Mode::Playing));
            self.mode = mode;
            if !same {
                self.tell_state();
            }
        }
    }

    /// Some milliseconds of work.
    ///
    /// # Errors
    /// What went wrong on a GPU; any other trouble breaks the run, which tells so itself.
    pub async fn slice(&mut self, place: &Place) -> inkling_core::Result<()> {
        let begun = Instant::now();
        let outcome = self.work(place, &mut || begun.elapsed() >= SLICE).await;
        self.trainer.add_elapsed(begun.elapsed().as_secs_f64());
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

    /// It cannot go on.
    pub fn break_down(&mut self, why: String) {
        self.set_mode(Mode::Broken(why));
    }

    async fn work(&mut self, place: &Place, enough: &mut dyn FnMut() -> bool) -> inkling_core::Result<()> {
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

    async fn update(&mut self, enough: &mut dyn FnMut() -> bool) -> inkling_core::Result<()> {
        while self.is_training() {
            if !self.trainer.advance(enough).await? {
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
    async fn rest(&mut self) -> inkling_core::Result<()> {
        self.doing = Doing::Updates;
        self.group.restart();
        // What is broken is not kept in place of what was not.
        if matches!(self.mode, Mode::Broken(_)) {
            self.flush();
            return Ok(());
        }
        if self.mode == Mode::Once {
            self.set_mode(Mode::Paused);
        }
        if self.trainer.is_finished() && matches!(self.mode, Mode::Playing | Mode::Paused) {
            self.set_mode(Mode::Finished);
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
        if step > 0 && !is_kept && !self.told_not_kept_at(step) && (stands || self.keep_is_due()) {
            self.begin_keeping().await?;
        }
        Ok(())
    }

    /// Whether keeping this very step was tried in vain.
    fn told_not_kept_at(&self, step: u64) -> bool {
        self.told_not_kept && self.last.as_ref().is_some_and(|last| last.training.step == step)
    }

    fn keep_is_due(&self) -> bool {
        self.kept_at.elapsed() >= BETWEEN_KEEPS.max(self.keeping_took * SHARE_OF_KEEPING)
    }

    /// Waits for the updates that were begun, and takes note of each.
    async fn take_reports(&mut self) -> inkling_core::Result<()> {
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

    async fn evaluated(&mut self, evaluation: Evaluation) -> inkling_core::Result<()> {
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

    async fn sampled(&mut self, text: Option<String>) -> inkling_core::Result<()> {
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

    async fn rewind_to_best(&mut self) -> Result<(), Failure> {
        let Some((weights, training)) = self.best.clone() else {
            return Err(Failure::input("There is no best evaluation yet to go back to."));
        };
        let Some(training) = training else {
            return Err(Failure::input(
                "Of this run's best evaluation only the weights were kept, not the optimizer's moments: `trainer train` keeps no more. It can \
                 be looked at, but not gone on from.",
            ));
        };
        self.go_to(&Standing { weights, training }).await?;
        self.set_mode(Mode::Paused);
        self.rest().await?;
        Ok(())
    }

    /// Goes back to where it stood.
    async fn go_to(&mut self, standing: &Standing) -> inkling_core::Result<()> {
        self.flush();
        self.doing = Doing::Updates;
        self.trainer.rewind(&standing.weights, &standing.training).await?;
        self.went_back();
        Ok(())
    }

    /// Forgets what was after the present step.
    fn went_back(&mut self) {
        let step = self.step();
        self.log.rewind(step);
        self.snapshots.rewind(step);
        self.group = Group::new(step, self.on_gpu);
        self.tell(RunPart::Rewound { step });
        if self.trainer.state().best.is_none() {
            self.best = None;
        }
    }

    /// Goes on after its device was lost, on another one: from where it was kept last, if it was.
    pub fn moved(&mut self, trainer: Trainer, writer: Writer, engine: String, why: String) {
        self.flush();
        let from = self.step();
        self.doing = Doing::Updates;
        (self.on_gpu, self.trainer, self.writer) = (is_on_gpu(&trainer), trainer, writer);
        self.card.engine.clone_from(&engine);
        self.tell(RunPart::Moved { engine, why });
        let is_best_ahead = self.trainer.state().best.is_none_or(|best| Some(best.step) != self.best_step());
        if self.step() < from || is_best_ahead {
            self.went_back();
        }
        self.group = Group::new(self.step(), self.on_gpu);
    }

    fn best_step(&self) -> Option<u64> {
        self.best.as_ref().and_then(|(_, training)| training.as_ref()).map(|training| training.step)
    }

    /// What it can go on from without its device: the later of what was kept last and the best.
    pub fn standing(&self) -> Option<Rc<Standing>> {
        let best = self.best.as_ref().and_then(|(weights, training)| {
            Some(Rc::new(Standing { weights: weights.clone(), training: training.clone()? }))
        });
        [self.last.clone(), best].into_iter().flatten().max_by_key(|standing| standing.training.step)
    }

    async fn stand(&mut self) -> inkling_core::Result<Rc<Standing>> {
        let weights = Rc::new(self.trainer.trained().await?);
        Ok(Rc::new(Standing { weights, training: self.trainer.training_state().await? }))
    }

    async fn begin_keeping(&mut self) -> inkling_core::Result<()> {
        let begun = Instant::now();
        let standing = self.stand().await?;
        let (mut new, mut same) = (Vec::new(), Vec::new());
        new.push(("last", zip::pack(&self.last_files(&standing)?)));
        match self.best_changed {
            true => new.extend(
                Some(self.best_files()?).filter(|files| !files.is_empty()).map(|files| ("best", zip::pack(&files))),
            ),
            false => same.extend(self.manifest.archive("best")),
        }
        match self.manifest.archive("text") {
            Some(text) => same.push(text),
            None => new.extend(files::text(&self.prepared.text).map(|text| ("text", zip::pack(&[text])))),
        }
        let state = self.trainer.state();
        let manifest = Manifest {
            generation: self.manifest.generation + 1,
            name: self.card.settings.name.clone(),
            steps: (state.step, self.trainer.settings().max_steps),
            best: state.best.map(|best| best.loss),
            when: web_time::SystemTime::now()
                .duration_since(web_time::UNIX_EPOCH)
                .map_or(0.0, |time| time.as_millis() as f64),
            archives: Vec::new(),
        };
        self.doing = Doing::Keeping(Box::new(Keeping::new(manifest, same, new)), standing, begun);
        Ok(())
    }

    fn keeping(&mut self, outcome: Result<Progress, Trouble>, standing: Rc<Standing>) {
        let begun = match &self.doing {
            Doing::Keeping(_, _, begun) => *begun,
            _ => Instant::now(),
        };
        match outcome {
            Ok(Progress::Partly) => return,
            Ok(Progress::Done(manifest)) => {
                self.manifest = manifest;
                (self.best_changed, self.told_not_kept) = (false, false);
                self.tell(RunPart::Kept { step: standing.training.step });
            }
            Err(trouble) => {
                if !self.told_not_kept {
                    self.tell(RunPart::NotKept { why: trouble.to_string() });
                }
                self.told_not_kept = true;
            }
        }
        (self.last, self.losses) = (Some(standing), 0);
        self.doing = Doing::Updates;
        (self.kept_at, self.keeping_took) = (Instant::now(), begun.elapsed());
        self.group.restart();
    }

    fn last_files(&self, standing: &Standing) -> inkling_core::Result<Vec<Named>> {
        let name = &self.card.settings.name;
        files::last(self.trainer.model(), &self.prepared.tokenizer, standing, self.log.lines(), name)
    }

    fn best_files(&self) -> inkling_core::Result<Vec<Named>> {
        let (model, tokenizer) = (self.trainer.model(), &self.prepared.tokenizer);
        match &self.best {
            None => Ok(Vec::new()),
            Some((weights, None)) => files::best_model(model, tokenizer, weights),
            Some((weights, Some(training))) => {
                let standing = Standing { weights: weights.clone(), training: training.clone() };
                files::best(model, tokenizer, &standing)
            }
        }
    }

    /// Whether its files can be taken now.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.mode, Mode::Broken(_))
            || !self.trainer.is_within_an_update() && !matches!(self.doing, Doing::Evaluation | Doing::Sample(Some(_)))
    }

    /// All files, as `trainer train` has them.
    ///
    /// # Errors
    /// Weights that are not finite.
    pub async fn files(&mut self) -> Result<Vec<Named>, Failure> {
        self.take_reports().await?;
        let standing = self.stand().await?;
        let mut all = self.last_files(&standing)?;
        all.extend(self.best_files()?);
        all.extend(files::text(&self.prepared.text));
        Ok(all)
    }

    /// The model of a step, as a folder's files.
    ///
    /// # Errors
    /// A step that has none.
    pub fn snapshot_files(&self, step: u64) -> Result<Vec<(String, Bytes)>, Failure> {
        let weights = self.snapshots.get(step);
        let weights =
            weights.ok_or_else(|| Failure::input(format!("The model of step {step} is not kept any more.")))?;
        let checkpoint = Checkpoint {
            config: self.trainer.model().clone(),
            weights: Weights::clone(&weights),
            tokenizer: self.prepared.tokenizer.clone(),
            training: None,
        };
        Ok(checkpoint.to_files()?.into_iter().map(|(name, bytes)| (name, Bytes(bytes))).collect())
    }

    fn snapshot(&mut self, step: u64, weights: Rc<Weights>) {
        let best = self.trainer.state().best.map(|best| best.step);
        let gone = self.snapshots.add(step, weights, best);
        self.tell(RunPart::Snapshot { step });
        gone.into_iter().for_each(|step| self.tell(RunPart::SnapshotGone { step }));
    }

    fn tell_state(&mut self) {
        let state = match &self.mode {
            Mode::Paused => RunState::Paused,
            Mode::Playing | Mode::Once => RunState::Playing,
            Mode::Finished => RunState::Finished,
            Mode::Broken(why) => RunState::Broken { why: why.clone() },
        };
        self.tell(RunPart::State(state));
    }

    /// What was done before is told first.
    fn tell(&mut self, part: RunPart) {
        self.flush();
        self.outbox.push(part);
    }

    fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let steps = std::mem::take(&mut self.unsent);
            let elapsed = self.trainer.state().elapsed_s;
            self.outbox.push(RunPart::Steps { steps, tokens_per_second: self.speed, elapsed });
            self.sent_at = Instant::now();
        }
    }

    /// Gives up its folder.
    pub fn leave(&self, place: &Place) {
        place.release(&self.folder);
    }
}

fn is_on_gpu(trainer: &Trainer) -> bool {
    matches!(trainer.engine(), inkling_core::Engine::Gpu(_))
}

/// An error of core's as a sentence.
fn sentence(problem: &str) -> String {
    let mut letters = problem.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
