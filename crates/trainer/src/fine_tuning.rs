//! `trainer train --from`: another run from the weights and with the tokenizer of a trained model.
//!
//! Whatever its base, it starts with these settings: AdamW and the schedule of `tiny`, updates of about 4,096 tokens, 500 of them, evaluated
//! every 50, and a peak learning rate of a tenth of `tiny`'s at its width, falling with the width (`3e-4 · 128 / n_embd`; Yang et al. 2021): 3e-4 for
//! `tiny`, 5e-5 for GPT-2, which is what `transformers.TrainingArguments` starts with.

use std::path::{Path, PathBuf};

use inkling_core::checkpoint::{AdapterConfig, Checkpoint, Origin};
use inkling_core::lora::LoraConfig;
use inkling_core::presets::Preset;
use inkling_core::tokenizer::{Tokenizer, TokenizerKind};
use inkling_core::train::{TrainConfig, fine_tuning};
use inkling_core::{ModelConfig, Weights, weights};

use crate::adapters;
use crate::error::{Error, Result};
use crate::model_source::{self, LoadedModel};
use crate::settings::{self, Assignment};
use crate::terminal::Terminal;

/// Tokens of an update.
const TOKENS_PER_STEP: usize = 4096;
/// Most sequences of an update, for short contexts.
const MOST_SEQUENCES: usize = 32;
/// Peak learning rate at the width where it was measured, and that width.
const LEARNING_RATE: (f64, usize) = (3e-4, 128);

/// A trained model to go on from.
pub struct Base {
    /// What its run is called.
    pub name: String,
    from: String,
    folder: PathBuf,
    checkpoint: Checkpoint,
    adapted: bool,
}

impl Base {
    /// Reads what `--from` names.
    pub fn load(from: &str, terminal: &Terminal) -> Result<Self> {
        let LoadedModel { folder, checkpoint, adapted, .. } = model_source::load_named(from, terminal)?;
        let (repository, _) = from.split_once('@').unwrap_or((from, ""));
        let path = Path::new(repository);
        // `runs/tiny/best` is the run tiny.
        let named = match path.file_name().and_then(|name| name.to_str()) {
            Some("best" | "last") => path.parent().and_then(Path::file_name),
            _ => path.file_name(),
        };
        let name = named.map_or("model".into(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name: format!("{name}-tuned"), from: from.into(), folder, checkpoint, adapted })
    }

    /// The model to train, with its weights, and its settings.
    ///
    /// # Errors
    /// As [`settings::apply`]; [`Error::AdaptedBase`] for adapters of adapters; core's names a field that the weights do not leave open.
    pub fn prepare(self, assignments: &[Assignment], lora: Option<LoraConfig>) -> Result<Prepared> {
        if lora.is_some() && self.adapted {
            return Err(Error::AdaptedBase { base: self.folder });
        }
        let sha256 = lora.is_some().then(|| weights::sha256(&self.checkpoint.weights));
        let Checkpoint { config, mut weights, tokenizer, .. } = self.checkpoint;
        let context = settings::find(assignments, "n_positions").and_then(|value| value.parse().ok());
        let preset = Preset {
            name: "base",
            reason: "a trained model",
            train: settings_for(&config, context.unwrap_or(config.n_positions)),
            model: config,
            tokenizer: TokenizerKind::Char,
        };
        let (model, settings) = settings::apply(&preset, assignments)?;
        fine_tuning::adapt(&preset.model, &mut weights, &model)?;
        let adapter = lora.zip(sha256).map(|(lora, base_sha256)| {
            let (base_format, target_modules) = (lora.base, lora.target_modules.clone());
            let origin = Origin { base_sha256, base_format, target_modules, model: model.clone() };
            AdapterConfig { lora, base: adapters::reference(&self.from), origin: Some(origin) }
        });
        Ok(Prepared { model, settings, weights, tokenizer, adapter })
    }
}

/// What a run from a base begins with.
pub struct Prepared {
    /// The base's architecture.
    pub model: ModelConfig,
    /// How it is trained.
    pub settings: TrainConfig,
    /// The base's.
    pub weights: Weights,
    /// The base's.
    pub tokenizer: Tokenizer,
    /// What is trained instead of the weights.
    pub adapter: Option<AdapterConfig>,
}

/// Settings to start from, see the module's documentation.
fn settings_for(model: &ModelConfig, context: usize) -> TrainConfig {
    let (rate, width) = LEARNING_RATE;
    let learning_rate = (rate * (width as f64 / model.n_embd as f64).min(1.0)) as f32;
    TrainConfig {
        batch_size: (TOKENS_PER_STEP / context.max(1)).clamp(1, MOST_SEQUENCES),
        max_steps: 500,
        warmup_steps: 50,
        eval_steps: 50,
        learning_rate,
        min_learning_rate: learning_rate / 10.0,
        ..TrainConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_with_the_width_and_the_batch_with_the_context() {
        let settings = |n_embd, n_positions| {
            let settings = settings_for(&ModelConfig { n_embd, n_positions, ..ModelConfig::default() }, n_positions);
            settings.validate().unwrap();
            (settings.learning_rate, settings.batch_size)
        };
        assert_eq!(settings(64, 32), (3e-4, 32));
        assert_eq!(settings(128, 64), (3e-4, 32));
        assert_eq!(settings(768, 1024), (5e-5, 4));
        assert_eq!(settings(2048, 131_072).1, 1);
    }
}
