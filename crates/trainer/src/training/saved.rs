//! What a run saves: a whole model, or the adapters that it trains.

use inkling_core::Weights;
use inkling_core::checkpoint::{AdapterCheckpoint, AdapterConfig, Checkpoint, TrainingState};
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::Trainer;

/// A checkpoint of a run.
pub enum Saved {
    /// All weights.
    Model(Box<Checkpoint>),
    /// Those that are trained.
    Adapters(Box<AdapterCheckpoint>),
}

impl Saved {
    /// Without the state of the training yet; `trained` are [`Trainer::trained`].
    pub fn new(trainer: &Trainer, adapter: Option<&AdapterConfig>, tokenizer: &Tokenizer, trained: Weights) -> Self {
        let (model, tokenizer) = (trainer.model().clone(), tokenizer.clone());
        match adapter {
            None => Self::Model(Box::new(Checkpoint { config: model, weights: trained, tokenizer, training: None })),
            Some(config) => Self::Adapters(Box::new(AdapterCheckpoint {
                config: config.clone(),
                model,
                adapters: trained,
                tokenizer,
                training: None,
            })),
        }
    }

    /// Adds the state of the training.
    pub fn set_training(&mut self, training: TrainingState) {
        match self {
            Self::Model(checkpoint) => checkpoint.training = Some(training),
            Self::Adapters(checkpoint) => checkpoint.training = Some(training),
        }
    }

    /// Every file of the folder.
    pub fn to_files(&self) -> inkling_core::Result<Vec<(String, Vec<u8>)>> {
        match self {
            Self::Model(checkpoint) => checkpoint.to_files(),
            Self::Adapters(checkpoint) => checkpoint.to_files(),
        }
    }
}
