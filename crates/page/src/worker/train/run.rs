//! A run that is open: what it does next, a slice at a time.
//!
//! ```text
//! update … update   [evaluation -> sample -> records]   [milestone: sample]   [keep]   update …
//! ```
//!
//! as `trainer train` does it, with the same numbers. Between slices others are heard; what is asked of a run takes effect where its weights are
//! whole: after the update that is under way.

mod back;
mod keeping;
mod work;

use std::rc::Rc;

use futures_channel::mpsc::UnboundedSender;
use inkling_core::Weights;
use inkling_core::checkpoint::TrainingState;
use inkling_core::train::{Evaluation, Group, Trainer};
use web_time::{Duration, Instant};

use super::crew::start as start_crew;
use super::files::Standing;
use super::keep::{Keeping, Manifest};
use super::log::Log;
use super::snapshots::Snapshots;
use super::text::Prepared;
use super::writer::Writer;
use crate::protocol::train::{RunCard, RunId, RunPart, RunSettings, RunState, Steering, StepPoint};
use crate::protocol::{Failure, Id};
use crate::worker::Incoming;

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
    /// Since when replicas compute for it.
    waiting_since: Option<Instant>,
    /// Whether replicas were lost: others would be, too.
    alone: bool,
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
    /// Its models before, in order.
    pub snapshots: Vec<(u64, Rc<Weights>)>,
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
        let Start { card, prepared, trainer, writer, log, best, mut snapshots, last, folder, manifest, past } = start;
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
            waiting_since: None,
            alone: false,
        };
        if let (Some(best), Some((weights, _))) = (run.trainer.state().best, &run.best)
            && best.step < step
            && !snapshots.iter().any(|(step, _)| *step == best.step)
        {
            snapshots.push((best.step, weights.clone()));
            snapshots.sort_by_key(|(step, _)| *step);
        }
        for (step, weights) in snapshots {
            run.snapshot(step, weights);
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

    /// Whether there is something to do now.
    pub fn is_busy(&self) -> bool {
        self.has_work() && !self.trainer.is_waiting()
    }

    /// Whether replicas compute for it.
    #[cfg(test)]
    pub fn is_waiting(&self) -> bool {
        self.trainer.is_waiting()
    }

    fn has_work(&self) -> bool {
        !matches!(self.doing, Doing::Updates) || self.is_training() || self.is_pending()
    }

    /// Whether all of it is done and it was told to close.
    pub fn is_closed(&self) -> bool {
        self.closing && !self.has_work()
    }

    fn is_training(&self) -> bool {
        match self.mode {
            Mode::Playing | Mode::Once => true,
            Mode::Paused | Mode::Finished | Mode::Broken(_) => false,
        }
    }

    fn is_pending(&self) -> bool {
        !self.saving.is_empty()
    }

    /// Lets replicas compute its gradients, where they are worth it. They say through `wake` that they have.
    pub fn employ(&mut self, wake: &UnboundedSender<Incoming>) {
        let replicas = self.card.plan.replicas;
        let is_between = !self.trainer.is_within_an_update() && !matches!(self.doing, Doing::Evaluation);
        let is_possible = !self.on_gpu && !self.alone && is_between;
        if replicas > 1 && is_possible && self.trainer.replicas() == 0 {
            let RunSettings { model, train, .. } = &self.card.settings;
            if let Some(crew) = start_crew(model, train, replicas, wake) {
                self.trainer.employ(crew);
            }
        }
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
                    self.stop().await?;
                }
            }
            Steering::Reset => unreachable!("the workshop has the device for it"),
            Steering::RewindToBest => self.rewind_to_best().await?,
            Steering::Close => {
                self.closing = true;
                match self.mode {
                    Mode::Playing | Mode::Once => self.stop().await?,
                    _ if matches!(self.doing, Doing::Updates) => self.rest().await?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Pauses: at once, or after the update that is under way.
    async fn stop(&mut self) -> Result<(), Failure> {
        if self.trainer.is_within_an_update() {
            self.set_mode(Mode::Once);
            return Ok(());
        }
        self.set_mode(Mode::Paused);
        if matches!(self.doing, Doing::Updates) {
            self.rest().await?;
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

    /// Whether its files can be taken now.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.mode, Mode::Broken(_))
            || !self.trainer.is_within_an_update() && !matches!(self.doing, Doing::Evaluation | Doing::Sample(Some(_)))
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
            let replicas = if self.trainer.replicas() > 0 { self.card.plan.replica_bytes } else { 0 };
            let memory = match memory() {
                0 => 0,
                own => own + replicas,
            };
            self.outbox.push(RunPart::Steps { steps, tokens_per_second: self.speed, elapsed, memory });
            self.sent_at = Instant::now();
        }
    }
}

/// Bytes of this program's memory.
fn memory() -> u64 {
    #[cfg(target_family = "wasm")]
    return (core::arch::wasm32::memory_size(0) as u64) << 16;
    #[cfg(not(target_family = "wasm"))]
    0
}

fn is_on_gpu(trainer: &Trainer) -> bool {
    matches!(trainer.engine(), inkling_core::Engine::Gpu(_))
}
