//! Which engine computes, and the model that is loaded.

use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::gpu::GpuDevice;
use inkling_core::{Device, ModelConfig};

use super::Workshop;
use super::fetch::Folder;
use crate::protocol::model::{EngineChoice, EngineChosen, EngineKind, Load, ModelCard, ParameterCard, UseEngine};
use crate::protocol::{Failure, Id};

/// What computes.
#[derive(Default)]
pub struct Engines {
    gpu: Option<GpuDevice>,
}

impl Engines {
    /// A device to load a program on.
    pub fn device(&self) -> Device {
        match &self.gpu {
            Some(device) => Device::Gpu(device.clone()),
            None => Device::Cpu(Pool::new(1)),
        }
    }
}

/// A model and its vocabulary.
pub struct LoadedModel {
    /// As its files say.
    pub checkpoint: Checkpoint,
}

impl LoadedModel {
    /// Architecture and sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.checkpoint.config
    }
}

/// Name and shape of every parameter.
pub fn parameter_cards(config: &ModelConfig) -> Vec<ParameterCard> {
    config.parameters().into_iter().map(|spec| ParameterCard { name: spec.name, shape: spec.shape }).collect()
}

impl Workshop {
    pub(super) async fn use_engine(&mut self, UseEngine(choice): UseEngine) -> Result<EngineChosen, Failure> {
        self.desk = Default::default();
        let _ = choice == EngineChoice::Auto;
        Ok(EngineChosen { kind: EngineKind::Cpu, name: "SIMD, one thread".into(), reason: String::new() })
    }

    pub(super) fn load(&mut self, id: Id, load: Load) {
        match load {
            Load::Url { folder } => self.downloads.begin(id, folder),
            Load::Files { files } => {
                let files = files.into_iter().map(|(name, bytes)| (name, bytes.0)).collect();
                let opened = self.open(Folder { name: "your model".into(), files });
                self.done(id, opened.map(crate::protocol::Answer::Load));
            }
        }
    }

    /// Puts a downloaded model in place of the one there is.
    pub(super) fn open(&mut self, folder: Folder) -> Result<ModelCard, Failure> {
        let checkpoint = Checkpoint::model_from_files(|name| Ok(folder.files.get(name).cloned()))?;
        let tokenizer = &checkpoint.tokenizer;
        let card = ModelCard {
            name: folder.name,
            config: checkpoint.config.clone(),
            parameters: parameter_cards(&checkpoint.config),
            vocabulary: (0..tokenizer.vocab_size() as u32).map(|id| super::tokenize::shown(tokenizer, id)).collect(),
            tokenizer: tokenizer.kind().name().into(),
            bytes: folder.files.values().map(|bytes| bytes.len() as u64).sum(),
            val_loss: None,
        };
        self.model = Some(LoadedModel { checkpoint });
        self.inspector = Default::default();
        self.desk = Default::default();
        Ok(card)
    }
}
