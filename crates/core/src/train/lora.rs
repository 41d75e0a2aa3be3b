//! Runs that train adapters of a frozen model.

use super::{Trainer, config::TrainConfig, dataset::Dataset, state};
use crate::checkpoint::TrainingState;
use crate::config::ModelConfig;
use crate::engine::Device;
use crate::error::Result;
use crate::lora::LoraConfig;
use crate::program::Field;
use crate::weights::Weights;

/// A model to adapt.
#[derive(Clone, Copy, Debug)]
pub struct Adaptation<'a> {
    /// What is adapted, and how.
    pub lora: &'a LoraConfig,
    /// The base's architecture.
    pub model: &'a ModelConfig,
    /// The base's weights, which must be exactly those of `model`.
    pub base: &'a Weights,
}

impl Trainer {
    /// A new run that trains adapters of a base: at first they change nothing.
    ///
    /// # Errors
    /// As [`Self::from_weights`]; also adapters that the model cannot have, and mixed precision.
    pub async fn adapt(
        adaptation: Adaptation<'_>,
        settings: TrainConfig,
        data: Dataset,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        let Adaptation { lora, model, base } = adaptation;
        let mut trainer = Self::load(model.clone(), Some(lora.clone()), settings, data, device, memory).await?;
        trainer.engine.load_frozen(base)?;
        trainer.engine.initialize(trainer.settings.seed);
        trainer.begin();
        Ok(trainer)
    }

    /// Goes on with such a run from its adapters.
    ///
    /// # Errors
    /// As [`Self::adapt`] and [`Self::resume`].
    pub async fn resume_adapted(
        adaptation: Adaptation<'_>,
        adapters: &Weights,
        training: &TrainingState,
        data: Dataset,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        let Adaptation { lora, model, base } = adaptation;
        let settings = state::RunState::from_json(&training.state)?.settings;
        let mut trainer = Self::load(model.clone(), Some(lora.clone()), settings, data, device, memory).await?;
        trainer.engine.load_frozen(base)?;
        trainer.restore(adapters, training)?;
        Ok(trainer)
    }

    /// What is adapted, where this run trains adapters.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// What is trained, as a checkpoint holds it: adapters, or else all weights; the moving average, if there is one.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn trained(&self) -> Result<Weights> {
        self.engine.save(if self.settings.ema_decay > 0.0 { Field::Ema } else { Field::Value }).await
    }

    /// The weights to sample with: all of the model's, adapters merged.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn weights(&self) -> Result<Weights> {
        let trained = self.trained().await?;
        let Some(lora) = &self.lora else { return Ok(trained) };
        let mut weights = self.engine.save_frozen().await?;
        lora.merge(&mut weights, &trained);
        Ok(weights)
    }
}
