//! What a run keeps when its GPU is lost (driver reset, laptop asleep, card unplugged), and how it goes on.
//!
//! Whatever was not saved is gone with the device. So the run gets a new device, goes on from `last/` (from the start if
//! nothing was saved yet) and cuts `metrics.jsonl` back to there, exactly as `--resume` does: it ends as if nothing had
//! happened. After [`MOST_LOSSES`] losses in a row without a save in between it gives up; what was saved stays.
//!
//! For tests only: the environment variable `INKLING_TEST_LOSE_DEVICE_AT=12,30` takes the device away after the updates 12 and
//! 30, each once, in this order. The CPU cannot be lost.

use std::cell::Cell;
use std::path::PathBuf;

use inkling_core::Error as Core;
use inkling_core::checkpoint::{AdapterConfig, Checkpoint, TrainingState};
use inkling_core::error::GpuError;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::history::History;
use inkling_core::train::{Adaptation, Dataset, RunState, TrainConfig, Trainer, TrainingPrecision};
use inkling_core::{ModelConfig, Weights};

use super::report::Summary;
use super::{Run, RunMemory, Start};
use crate::adapters::Adapted;
use crate::device::{Compute, Processor};
use crate::error::{Error, Result};
use crate::format;
use crate::interrupt::Interrupt;
use crate::memory;
use crate::model_source::{self, RunCheckpoint};
use crate::run_folder::metrics::MetricsLog;
use crate::run_folder::{RunFolder, Slot};
use crate::terminal::Terminal;

/// Losses in a row, without a save in between, after which a run is given up.
const MOST_LOSSES: u32 = 3;

/// A run in its folder, whatever it computes on.
pub struct Session<'a> {
    /// Held for writing.
    pub folder: RunFolder,
    /// Of the text.
    pub tokenizer: Tokenizer,
    /// The text.
    pub dataset: Dataset,
    /// Where the run began in this process.
    pub origin: Origin,
    /// What is trained instead of the weights.
    pub adapter: Option<AdapterConfig>,
    /// Step of the latest save of `last/` by this process.
    pub saved_step: Cell<Option<u64>>,
    /// Finds a device again.
    pub compute: &'a Compute,
    /// Where progress goes.
    pub terminal: &'a Terminal,
}

/// Where a run begins.
pub enum Origin {
    /// With initial weights.
    New(Box<NewRun>),
    /// At a checkpoint of its own.
    Resumed(Overrides),
}

/// What `--resume` may change about a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Updates in all.
    pub steps: Option<u64>,
    /// In what it computes from here on.
    pub precision: Option<TrainingPrecision>,
}

/// A run that has no checkpoint yet.
pub struct NewRun {
    /// The model.
    pub model: ModelConfig,
    /// Where its weights begin: those of a trained model, or `None` for random ones.
    pub weights: Option<Weights>,
    /// What is trained instead of these weights.
    pub adapter: Option<AdapterConfig>,
    /// How it is trained.
    pub settings: TrainConfig,
    /// The text's name.
    pub data: String,
    /// The text's SHA-256.
    pub data_sha256: String,
}

impl Origin {
    /// Whether the run begins with a trained model, whose own loss is worth knowing.
    pub fn is_fine_tuning(&self) -> bool {
        matches!(self, Self::New(run) if run.weights.is_some())
    }
}

impl NewRun {
    /// A trainer at step 0.
    pub async fn trainer(&self, dataset: Dataset, processor: &Processor) -> Result<Trainer> {
        let (model, settings, memory) = (self.model.clone(), self.settings.clone(), processor.tensor_memory());
        let device = processor.device();
        let mut trainer = match (&self.weights, &self.adapter) {
            (None, _) => Trainer::new(model, settings, dataset, device, memory).await?,
            (Some(base), Some(AdapterConfig { lora, .. })) => {
                let adaptation = Adaptation { lora, model: &model, base };
                Trainer::adapt(adaptation, settings, dataset, device, memory).await?
            }
            (Some(weights), None) => Trainer::from_weights(model, weights, settings, dataset, device, memory).await?,
        };
        trainer.set_data(self.data.clone(), self.data_sha256.clone());
        Ok(trainer)
    }
}

/// A run's `last/`, with what `--resume` changes.
pub struct LastCheckpoint {
    run: PathBuf,
    /// The model; of a run that trains adapters, the base.
    pub checkpoint: Checkpoint,
    /// What is trained instead of the base's weights.
    pub adapters: Option<(AdapterConfig, Weights)>,
    /// What core goes on from.
    pub training: TrainingState,
    /// The same, read.
    pub state: RunState,
    /// The learning rate of the next update before `--steps` changed the schedule.
    pub rate_before: f32,
    /// In what the run computed until now.
    pub precision_before: TrainingPrecision,
}

impl LastCheckpoint {
    /// Reads `last/` and changes its settings.
    pub fn load(folder: &RunFolder, overrides: Overrides, terminal: &Terminal) -> Result<Self> {
        let last = folder.path().join(Slot::Last.name());
        let (checkpoint_folder, checkpoint) = model_source::load_for_training(&last, terminal)?;
        let (checkpoint, training, adapters) = match checkpoint {
            RunCheckpoint::Model(mut checkpoint) => {
                let training = checkpoint.training.take();
                (*checkpoint, training, None)
            }
            RunCheckpoint::Adapters(adapted) => {
                let Adapted { config, base, adapters, training, .. } = *adapted;
                (base, training, Some((config, adapters)))
            }
        };
        let damaged = |problem| Error::Checkpoint {
            folder: checkpoint_folder.clone(),
            problem: Box::new(problem),
            hint: "best/ may still be whole; train again with --overwrite or --out PATH".into(),
        };
        let Some(mut training) = training else {
            return Err(Error::NoCheckpoint {
                path: last,
                problem: "it is a model without the state of its training".into(),
                hint: "start another run with --out PATH".into(),
            });
        };
        let mut state = RunState::from_json(&training.state).map_err(damaged)?;
        let rate_before = state.settings.learning_rate_at(state.step);
        let precision_before = state.settings.precision;
        if let Some(steps) = overrides.steps {
            state.settings.max_steps = steps;
            state.settings.validate()?;
            if steps > state.step {
                state.evaluations_since_best = 0;
            }
        }
        state.settings.precision = overrides.precision.unwrap_or(precision_before);
        training.state = state.to_json().map_err(damaged)?;
        Ok(Self { run: folder.path().into(), checkpoint, adapters, training, state, rate_before, precision_before })
    }

    /// A trainer that goes on from here.
    ///
    /// # Errors
    /// [`Error::ResumePrecision`] where the device does not know the run's precision; those of core.
    pub async fn trainer(&self, dataset: Dataset, processor: &Processor) -> Result<Trainer> {
        let Checkpoint { config, weights, .. } = &self.checkpoint;
        let memory = processor.tensor_memory();
        let device = processor.device();
        let training = &self.training;
        let resumed = match &self.adapters {
            None => Trainer::resume(config.clone(), weights, training, dataset, device, memory).await,
            Some((AdapterConfig { lora, .. }, adapters)) => {
                let adaptation = Adaptation { lora, model: config, base: weights };
                Trainer::resume_adapted(adaptation, adapters, training, dataset, device, memory).await
            }
        };
        resumed.map_err(|problem| match problem {
            // The settings themselves were checked when they were read.
            Core::Training(_) | Core::Gpu(GpuError::Feature { .. }) => {
                Error::ResumePrecision { run: self.run.clone(), problem: Box::new(problem) }
            }
            other => other.into(),
        })
    }
}

impl Session<'_> {
    /// Trains to the end, on as many devices as it takes.
    ///
    /// # Errors
    /// [`Error::GpuLost`] when there is no getting on with the GPU, and those of [`Run::finish`].
    pub async fn train(&self, start: Start, interrupt: &Interrupt) -> Result<Summary> {
        let mut drill = LossDrill::from_environment();
        let mut losses = 0;
        let mut saved_before = None;
        let precision = start.trainer.settings().precision;
        let mut device = start.processor.describe();
        let mut outcome = self.run(start, interrupt, &mut drill).await;
        loop {
            let Err(Error::Core(Core::Gpu(problem @ GpuError::Lost(_)))) = outcome else { return outcome };
            losses = if self.saved_step.get() == saved_before { losses + 1 } else { 1 };
            saved_before = self.saved_step.get();
            let saved = self.folder.checkpoint(Slot::Last);
            let give_up = |problem| {
                let saved = saved.as_ref().map(|_| self.folder.path().into());
                Err(Error::GpuLost { problem, times: losses, saved, precision })
            };
            if losses == MOST_LOSSES {
                return give_up(problem);
            }
            let from = match (&saved, self.saved_step.get()) {
                (None, _) => "the start".into(),
                (Some(_), Some(step)) => format!("step {}", format::count(step)),
                (Some(_), None) => "the latest save".into(),
            };
            self.terminal.warn(&format!("{problem}; going on from {from} on a new device"));
            outcome = match self.restart().await {
                Ok(start) => {
                    let found = start.processor.describe();
                    if found != device {
                        self.terminal.warn(&format!("the new device is another one: {found}"));
                        device = found;
                    }
                    self.run(start, interrupt, &mut drill).await
                }
                Err(Error::Core(Core::Gpu(problem @ (GpuError::NoAdapter(_) | GpuError::NoDevice { .. })))) => {
                    return give_up(problem);
                }
                Err(problem) => Err(problem),
            };
        }
    }

    async fn run(&self, start: Start, interrupt: &Interrupt, drill: &mut LossDrill) -> Result<Summary> {
        Run::new(self, start).await?.finish(interrupt, drill).await
    }

    /// The run as it was saved, on a new device.
    async fn restart(&self) -> Result<Start> {
        let processor = self.compute.find(self.terminal).await?;
        let overrides = match &self.origin {
            Origin::New(run) if self.folder.checkpoint(Slot::Last).is_none() => {
                let trainer = run.trainer(self.dataset.clone(), &processor).await?;
                let log = MetricsLog::create(&self.folder.metrics())?;
                return Ok(Start { trainer, processor, log, history: History::default() });
            }
            // What this process saved has them already.
            Origin::Resumed(overrides) if self.saved_step.get().is_none() => *overrides,
            _ => Overrides::default(),
        };
        let last = LastCheckpoint::load(&self.folder, overrides, self.terminal)?;
        let trainer = last.trainer(self.dataset.clone(), &processor).await?;
        RunMemory::of(&trainer, &processor)?.check(memory::available().unwrap_or(u64::MAX))?;
        let (log, records) = MetricsLog::resume(&self.folder.metrics(), last.state.step)?;
        Ok(Start { trainer, processor, log, history: History::from_records(&records) })
    }
}

/// Takes the device away at given steps. See the module's documentation.
#[derive(Debug, Default)]
pub struct LossDrill {
    /// Last one first.
    steps: Vec<u64>,
}

impl LossDrill {
    fn from_environment() -> Self {
        let steps = std::env::var("INKLING_TEST_LOSE_DEVICE_AT").unwrap_or_default();
        Self { steps: steps.rsplit(',').filter_map(|step| step.parse().ok()).collect() }
    }

    /// Whether to take the device away after this update, once it is reported: what is logged then has to be cut again.
    pub fn strikes_after(&mut self, step: u64) -> bool {
        self.steps.pop_if(|&mut next| next == step).is_some()
    }
}
