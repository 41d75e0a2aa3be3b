//! Training: batches in, weights out, one [`Trainer`] per run.
//!
//! A run is a function of its settings, its data and its step: nothing random is stored, so an interrupted run that is resumed from its
//! checkpoint ends bit-identical to one that was not.

pub mod baseline;
pub mod batches;
pub mod config;
pub mod dataset;
pub mod evaluation;
pub mod fine_tuning;
pub mod group;
pub mod history;
mod lora;
mod memory;
pub mod replica;
mod reports;
pub mod shards;
mod slices;
pub mod state;

pub use config::{TrainConfig, TrainingPrecision};
pub use dataset::{Dataset, Split};
pub use evaluation::{Evaluating, Evaluation, Evaluator};
pub use group::Group;
pub use lora::Adaptation;
pub use replica::{Crew, Replica};
pub use slices::Progress;
pub use state::{Best, LossScale, RunState};

use crate::checkpoint::TrainingState;
use crate::config::ModelConfig;
use crate::engine::{Device, Engine};
use crate::error::{Error, GpuError, Result, check_memory};
use crate::lora::LoraConfig;
use crate::nn::attention::Probs;
use crate::nn::history::History as Ring;
use crate::nn::{Graph, Recording};
use crate::program::{Field, Pass, Program, Training};
use crate::step::Step;
use crate::weights::Weights;
use batches::{Batch, Batches};
use memory::least_memory;
use replica::Replicas;
use reports::Reports;

/// What one update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Updates done, this one included.
    pub step: u64,
    /// Mean loss of its batches before the update, nats per token.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f32,
    /// Its learning rate.
    pub learning_rate: f32,
    /// Whether the update was left out because the gradient was not finite.
    pub skipped: bool,
}

/// A run in progress.
pub struct Trainer {
    engine: Engine,
    graph: Graph,
    reports: Reports,
    model: ModelConfig,
    lora: Option<LoraConfig>,
    settings: TrainConfig,
    data: Dataset,
    batches: Batches,
    batch: Batch,
    state: RunState,
    /// What was begun and is not done yet.
    update: Option<slices::Update>,
    evaluating: Option<Evaluating>,
    replicas: Option<Replicas>,
    /// What became of them.
    lost: Option<String>,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trainer(step {} of {})", self.state.step, self.settings.max_steps)
    }
}

/// Records the training program of a model, and the ring of what its updates did.
///
/// # Errors
/// When the configuration is invalid.
pub fn record(model: &ModelConfig, settings: &TrainConfig) -> Result<(Program, Graph, Ring)> {
    Ok(with_update(recording(model, settings).record(model)?, settings))
}

/// [`record`] of adapters of a frozen model.
///
/// # Errors
/// When the configuration is invalid, or the model cannot be adapted so.
pub fn record_adapted(
    model: &ModelConfig,
    lora: &LoraConfig,
    settings: &TrainConfig,
) -> Result<(Program, Graph, Ring)> {
    Ok(with_update(recording(model, settings).record_adapted(model, lora)?, settings))
}

/// Fails when training takes more than `memory` bytes for its sizes alone: to be asked before [`record`], where a visitor chose them.
///
/// # Errors
/// [`Error::Memory`].
pub fn check_sizes(model: &ModelConfig, settings: &TrainConfig, memory: u64) -> Result<()> {
    check_memory(least_memory(model, None, settings), memory)
}

fn recording(model: &ModelConfig, settings: &TrainConfig) -> Recording {
    Recording {
        batch: settings.batch_size,
        context: model.n_positions,
        training: if settings.ema_decay > 0.0 { Training::WithEma } else { Training::Yes },
        probs: Probs::Skip,
        activations: settings.precision.activations(),
        recompute: settings.recompute,
    }
}

fn with_update((mut program, graph): (Program, Graph), settings: &TrainConfig) -> (Program, Graph, Ring) {
    let stats = settings.optimizer().record(&mut program);
    let history = Ring::record(&mut program, graph.loss, stats);
    (program, graph, history)
}

/// Fails when a device cannot compute in the precision that was asked for.
fn check_precision(precision: TrainingPrecision, device: &Device) -> Result<()> {
    match (precision, device) {
        (TrainingPrecision::F16, Device::Cpu(_)) => Err(Error::Training(
            "precision f16 is for GPUs, the CPU computes in float32: use precision f32 or --device gpu".into(),
        )),
        (TrainingPrecision::F16, Device::Gpu(gpu)) if !gpu.capabilities().shader_f16 => Err(GpuError::Feature {
            adapter: gpu.report().name.clone(),
            feature: "shader-f16",
            remedy: "use precision f32",
        }
        .into()),
        _ => Ok(()),
    }
}

impl Trainer {
    /// A new run from initial weights. `memory` is how many bytes may be allocated.
    ///
    /// # Errors
    /// Settings out of range, data too short for the context, a vocabulary that is not the model's, too little memory, a device without the
    /// precision that the settings call for.
    pub async fn new(
        model: ModelConfig,
        settings: TrainConfig,
        data: Dataset,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        let mut trainer = Self::load(model, None, settings, data, device, memory).await?;
        trainer.engine.initialize(trainer.settings.seed);
        trainer.begin();
        Ok(trainer)
    }

    /// A new run from trained weights (fine-tuning), which must be exactly those of `model`; see [`fine_tuning::adapt`].
    ///
    /// # Errors
    /// As [`Self::new`]; also weights of another model.
    pub async fn from_weights(
        model: ModelConfig,
        weights: &Weights,
        settings: TrainConfig,
        data: Dataset,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        let mut trainer = Self::load(model, None, settings, data, device, memory).await?;
        trainer.engine.load(Field::Value, weights)?;
        trainer.begin();
        Ok(trainer)
    }

    /// Step 0, after the weights are there.
    fn begin(&mut self) {
        if self.settings.ema_decay > 0.0 {
            self.engine.copy(Field::Value, Field::Ema);
        }
        self.prepare();
    }

    async fn load(
        model: ModelConfig,
        lora: Option<LoraConfig>,
        settings: TrainConfig,
        data: Dataset,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        model.validate()?;
        settings.validate()?;
        check_precision(settings.precision, &device)?;
        data.check_context(model.n_positions)?;
        if data.vocab_size() != model.vocab_size {
            return Err(Error::Data(format!(
                "the tokenizer has {} entries and the model {}",
                data.vocab_size(),
                model.vocab_size
            )));
        }
        let batches = Batches::new(settings.seed, settings.order, settings.batch_size, model.n_positions);
        let train_tokens = data.split(Split::Train).len();
        batches.check(train_tokens)?;
        check_memory(least_memory(&model, lora.as_ref(), &settings), memory)?;
        let (program, graph, history) = match &lora {
            None => record(&model, &settings)?,
            Some(lora) => record_adapted(&model, lora, &settings)?,
        };
        program.check_memory(memory)?;
        Ok(Self {
            engine: device.load(program).await?,
            graph,
            reports: Reports::new(history),
            model,
            lora,
            settings,
            data,
            batches,
            batch: Batch::default(),
            state: RunState { train_tokens, ..RunState::default() },
            update: None,
            evaluating: None,
            replicas: None,
            lost: None,
        })
    }

    /// Goes on with a run from its checkpoint.
    ///
    /// # Errors
    /// As [`Self::new`]; also a training state without the moments that the settings call for, or of a run on another number of tokens.
    pub async fn resume(
        model: ModelConfig,
        weights: &Weights,
        training: &TrainingState,
        data: Dataset,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        let settings = RunState::from_json(&training.state)?.settings;
        let mut trainer = Self::load(model, None, settings, data, device, memory).await?;
        trainer.restore(weights, training)?;
        Ok(trainer)
    }

    /// Lets others compute the gradients of all updates to come: as many [`Replica`]s as the crew says, of this model and these settings, each
    /// with its rank. If one is lost, this engine goes on alone: see [`Self::lost_replica`].
    ///
    /// # Panics
    /// On a GPU, with adapters, within an update or an evaluation, with more replicas than a batch has sequences.
    pub fn employ(&mut self, crew: Box<dyn Crew>) {
        assert!(matches!(self.engine, Engine::Cpu(_)) && self.lora.is_none());
        assert!(self.update.is_none() && self.evaluating.is_none());
        assert!((1..=self.settings.batch_size).contains(&crew.replicas()), "{} replicas", crew.replicas());
        self.replicas = Some(Replicas::new(crew, self.engine.program(), &self.graph, &self.settings));
    }

    /// Lets this engine compute alone from the next update on.
    ///
    /// # Panics
    /// Within an update or an evaluation.
    pub fn dismiss(&mut self) {
        assert!(self.update.is_none() && self.evaluating.is_none());
        self.replicas = None;
    }

    /// How many others compute gradients; 0 if this engine does.
    pub fn replicas(&self) -> usize {
        self.replicas.as_ref().map_or(0, Replicas::len)
    }

    /// What became of a replica since the last call, so that this engine computes alone now.
    pub fn lost_replica(&mut self) -> Option<String> {
        self.lost.take()
    }

    /// Goes to where a checkpoint of this run stands: what is trained, its moments, and the step, which decides all that is random. An update
    /// or evaluation that was begun is given up.
    ///
    /// # Errors
    /// As [`Self::resume`]; the run is of no use then.
    pub async fn rewind(&mut self, trained: &Weights, training: &TrainingState) -> Result<()> {
        // Reports of what is given up belong to nobody; a run that diverged may go back.
        match self.drain().await {
            Ok(()) | Err(Error::Diverged { .. }) => {}
            Err(other) => return Err(other),
        }
        self.reports.take();
        self.give_up();
        self.restore(trained, training)
    }

    /// Takes over a checkpoint's state: what is trained, its moments, and where the run stands.
    fn restore(&mut self, trained: &Weights, training: &TrainingState) -> Result<()> {
        let state = RunState::from_json(&training.state)?;
        state.check_train_tokens(self.state.train_tokens)?;
        let slot = |name: &str| state::slot(&training.optimizer, name);
        self.engine.load(Field::M, &slot("m"))?;
        self.engine.load(Field::V, &slot("v"))?;
        if self.settings.ema_decay > 0.0 {
            // The model is the average; what trains on is kept beside the moments.
            self.engine.load(Field::Ema, trained)?;
            self.engine.load(Field::Value, &slot("value"))?;
        } else {
            self.engine.load(Field::Value, trained)?;
        }
        self.state = RunState { train_tokens: self.state.train_tokens, ..state };
        self.prepare();
        Ok(())
    }

    /// Brings to the device what follows from weights and state.
    fn prepare(&mut self) {
        if let Some(scaler) = self.engine.program().loss_scaler() {
            self.engine.write(scaler, &self.state.loss_scale.unwrap_or_default().to_device());
        }
        self.engine.replay(Pass::Load, &Step::DEFAULT);
    }

    /// Waits for all updates that were begun, and reports those since the last call, in order.
    ///
    /// # Errors
    /// [`Error::Diverged`] after ten updates in a row without a finite gradient (another call has the reports up to there); what went wrong
    /// on a GPU.
    pub async fn reports(&mut self) -> Result<Vec<StepReport>> {
        self.drain().await?;
        Ok(self.reports.take())
    }

    async fn drain(&mut self) -> Result<()> {
        self.reports.drain(&mut self.engine, &mut self.state.skips).await
    }

    /// Puts the moving average of the weights in their place, if there is one, or them back.
    fn swap_average(&mut self) {
        if self.settings.ema_decay == 0.0 {
            return;
        }
        self.engine.swap(Field::Value, Field::Ema);
        self.engine.replay(Pass::Load, &Step::DEFAULT);
    }

    /// Takes note of a validation loss; whether it is the best so far.
    pub fn record_validation(&mut self, loss: f64) -> bool {
        self.state.record_validation(loss)
    }

    /// Whether the run is over: all updates done, or no new best for `patience` evaluations.
    pub fn is_finished(&self) -> bool {
        self.state.step >= self.settings.max_steps || self.is_out_of_patience()
    }

    /// Whether early stopping ended the run.
    pub fn is_out_of_patience(&self) -> bool {
        self.settings.patience > 0 && self.state.evaluations_since_best >= self.settings.patience
    }

    /// What a checkpoint needs beyond [`Self::trained`] for the run to go on.
    ///
    /// # Errors
    /// As [`Self::reports`], which keeps what is ready for its next call; when the state cannot be written as JSON.
    pub async fn training_state(&mut self) -> Result<TrainingState> {
        self.drain().await?;
        let mut optimizer = std::collections::BTreeMap::new();
        let mut fields = vec![("m", Field::M), ("v", Field::V)];
        if self.settings.ema_decay > 0.0 {
            fields.push(("value", Field::Value));
        }
        for (name, field) in fields {
            let tensors = self.engine.save(field).await?;
            optimizer.extend(tensors.into_iter().map(|(parameter, t)| (format!("{name}.{parameter}"), t)));
        }
        let mut state = self.state.clone();
        state.settings = self.settings.clone();
        state.loss_scale = match self.engine.program().loss_scaler() {
            Some(scaler) => Some(LossScale::from_device(&self.engine.read(scaler).await?)),
            None => None,
        };
        Ok(TrainingState { step: state.step, state: state.to_json()?, optimizer })
    }

    /// Where the run stands; `skips` and `loss_scale` as of the last [`Self::reports`] and [`Self::training_state`].
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Adds to the time that the run has taken, seconds.
    pub fn add_elapsed(&mut self, seconds: f64) {
        self.state.elapsed_s += seconds;
    }

    /// What identifies the data, kept in the state so that a resumed run can tell.
    pub fn set_data(&mut self, name: String, sha256: String) {
        (self.state.data, self.state.data_sha256) = (name, sha256);
    }

    /// The run's settings.
    pub fn settings(&self) -> &TrainConfig {
        &self.settings
    }

    /// The model.
    pub fn model(&self) -> &ModelConfig {
        &self.model
    }

    /// The engine, to read activations from.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to time passes on.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Bytes that the order of the windows takes beside the program.
    pub fn order_bytes(&self) -> u64 {
        self.batches.memory_bytes(self.state.train_tokens)
    }

    /// Tokens per update.
    pub fn tokens_per_step(&self) -> u64 {
        (self.settings.batch_size * self.settings.gradient_accumulation_steps * self.model.n_positions) as u64
    }
}
