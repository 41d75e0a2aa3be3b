//! The model that is loaded.

use std::collections::VecDeque;

use inkling_core::ModelConfig;
use inkling_core::checkpoint::{
    CONFIG_FILE, Checkpoint, INDEX_FILE, MODEL_FILE, TOKENIZER_FILE, WeightFormat, parse_config,
};
use inkling_core::nn::generator::Generation;
use inkling_core::program::Precision;
use inkling_core::tokenizer::{ByteTokenizer, Tokenizer};

use super::fetch::Folder;
use super::{Job, Workshop, zip};
pub use crate::protocol::model::TAB_MEMORY as MEMORY;
use crate::protocol::model::{Load, ModelCard, Origin, ParameterCard, SavedModel};
use crate::protocol::{Answer, Bytes, Failure, Id};

/// So many parameters are not held three times.
const MANY: u64 = 50_000_000;

/// Tokens of a vocabulary of bytes.
const BYTES: usize = 256;

/// A model and its vocabulary.
pub struct LoadedModel {
    /// As its files say.
    pub checkpoint: Checkpoint,
    /// What the page knows of it.
    pub card: ModelCard,
}

impl LoadedModel {
    /// Architecture and sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.checkpoint.config
    }
}

/// A number of bytes in words: `1.2 GB`.
pub fn size(bytes: u64) -> String {
    match bytes / 1_000_000 {
        0 => format!("{bytes} bytes"),
        megabytes @ ..1000 => format!("{megabytes} MB"),
        megabytes => format!("{:.1} GB", megabytes as f64 / 1e3),
    }
}

/// A model for which there is no room.
pub fn too_large(need: u64) -> Failure {
    Failure::memory(format!(
        "This model needs about {} of memory, and a tab has {} for models at most: take a smaller one.",
        size(need),
        size(MEMORY)
    ))
}

/// Bytes of a model's weights in memory.
pub fn weight_bytes(config: &ModelConfig) -> u64 {
    config.num_parameters().saturating_mul(4)
}

/// Bytes of memory that a model's weights and its smallest program take.
pub fn needed(config: &ModelConfig) -> u64 {
    let weights = weight_bytes(config);
    // Not recorded at all where the weights alone are too many.
    let program = match Generation::record(config, Precision::Full) {
        Ok((program, _)) if weights < MEMORY => program.memory_bytes(),
        _ => weights,
    };
    weights.saturating_add(program)
}

/// Name and shape of every parameter.
pub fn parameter_cards(config: &ModelConfig) -> Vec<ParameterCard> {
    config.parameters().into_iter().map(|spec| ParameterCard { name: spec.name, shape: spec.shape }).collect()
}

impl Workshop {
    pub(super) fn load(&mut self, id: Id, load: Load) {
        match load {
            Load::Url { folder } => self.downloads.begin(id, folder),
            Load::Files { files } => self.downloads.read(id, files),
            Load::Snapshot { name, files } => {
                let mut folder = Folder::new(name, Origin::Run);
                folder.files.extend(files.0.into_iter().map(|file| (file.name, file.bytes.0)));
                let opened = self.open(folder);
                self.done(id, opened.map(Answer::Load));
            }
        }
    }

    /// Puts a model in place of the one there is, which stays if this fails.
    pub(super) fn open(&mut self, folder: Folder) -> Result<ModelCard, Failure> {
        let number = self.model.as_ref().map_or(0, |model| model.card.number) + 1;
        let model = read(folder, number)?;
        let card = model.card.clone();
        self.model = Some(model);
        self.forget_derived();
        self.spaces = Default::default();
        // What is under way is of the older model, but for a measurement of the device.
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let (kept, older): (VecDeque<_>, VecDeque<_>) = jobs.partition(|(_, job)| matches!(job, Job::Probe(_)));
        self.jobs = kept;
        for (id, _) in older {
            self.done(id, Err(Failure::replaced()));
        }
        Ok(card)
    }

    pub(super) fn current_model(&self) -> Result<ModelCard, Failure> {
        Ok(self.loaded()?.card.clone())
    }

    /// Makes room for something beside the weights of the loaded model. What else was made of it is dropped if need be: it is made anew when it
    /// is asked for.
    pub(super) fn make_room(&mut self, what: &str, need: u64) -> Result<(), Failure> {
        let weights = weight_bytes(self.loaded()?.config());
        let left = |held: u64| MEMORY.saturating_sub(weights).saturating_sub(held);
        if need > left(self.writing_bytes() + self.inspector.bytes() + self.desk.bytes()) {
            self.forget_derived();
        }
        let left = left(self.writing_bytes());
        if need > left {
            return Err(Failure::memory(format!(
                "{what} needs about {} of memory, and {} are left of the {} that a tab has for models.",
                size(need),
                size(left),
                size(MEMORY)
            )));
        }
        Ok(())
    }

    pub(super) fn save_model(&mut self) -> Result<SavedModel, Failure> {
        // The files, and the archive of them.
        let need = weight_bytes(self.loaded()?.config()).saturating_mul(2);
        self.make_room("Saving", need)?;
        // Told by a sentence and not by the end of the program: there is so much in one piece.
        let full =
            || Failure::memory(format!("Saving needs {} of memory, which this tab has not got any more.", size(need)));
        Vec::<u8>::new().try_reserve_exact(need as usize).map_err(|_| full())?;
        let model = self.loaded()?;
        let files = smallest_exact(&model.checkpoint)?;
        // A name that every system takes.
        let name: String = model.card.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let bytes = Bytes(zip::pack(files).ok_or_else(full)?);
        Ok(SavedModel { name: format!("{name}.zip"), bytes })
    }
}

/// The model's files: with weights of 16 bits if that loses nothing (it came so), else of 32.
fn smallest_exact(checkpoint: &Checkpoint) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    if checkpoint.config.num_parameters() < MANY {
        // A weight beyond float16's range is refused.
        if let Ok(files) = checkpoint.model_to_files_as(WeightFormat::F16) {
            let find = |name: &str| Ok(files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone()));
            if Checkpoint::model_from_files(find)?.weights == checkpoint.weights {
                return Ok(files);
            }
        }
    }
    Ok(checkpoint.model_to_files_as(WeightFormat::F32)?)
}

/// Reads and checks everything.
fn read(mut folder: Folder, number: u32) -> Result<LoadedModel, Failure> {
    let config = folder.files.get(CONFIG_FILE);
    let config =
        config.ok_or_else(|| Failure::input(format!("{CONFIG_FILE} is missing: it says what the weights are.")))?;
    let config = parse_config(config)?;
    let need = needed(&config).saturating_add(folder.bytes());
    if need > MEMORY {
        return Err(too_large(need));
    }
    let bytes = folder.bytes();
    let note = if folder.files.contains_key(TOKENIZER_FILE) { None } else { Some(bytes_for(&mut folder, &config)?) };
    let missing = |name: &str| !folder.files.contains_key(name);
    if missing(MODEL_FILE) && missing(INDEX_FILE) {
        return Err(Failure::input(format!("{MODEL_FILE} is missing: open it together with {CONFIG_FILE}.")));
    }
    let mut files = folder.files;
    // Each file is read once, and its bytes are not needed after that.
    let checkpoint = Checkpoint::model_from_files(|name| Ok(files.remove(name)))?;
    let tokenizer = &checkpoint.tokenizer;
    let card = ModelCard {
        number,
        name: folder.name,
        origin: folder.origin,
        config: checkpoint.config.clone(),
        parameters: parameter_cards(&checkpoint.config),
        vocabulary: (0..tokenizer.vocab_size() as u32).map(|id| super::tokenize::shown(tokenizer, id)).collect(),
        tokenizer: tokenizer.kind().name().into(),
        bytes,
        val_loss: folder.val_loss,
        command: folder.command,
        note,
    };
    Ok(LoadedModel { checkpoint, card })
}

/// A vocabulary for a model that came without: bytes, where it has as many tokens as there are.
fn bytes_for(folder: &mut Folder, config: &ModelConfig) -> Result<String, Failure> {
    if config.vocab_size != BYTES {
        return Err(Failure::input(format!(
            "{TOKENIZER_FILE} is missing: without it nobody knows which text the model's {} tokens stand for. transformers writes it with \
             tokenizer.save_pretrained(folder), for the fast tokenizers.",
            config.vocab_size
        )));
    }
    folder.files.insert(TOKENIZER_FILE.into(), Tokenizer::from(ByteTokenizer).to_json());
    Ok(format!("There was no {TOKENIZER_FILE}; the model has 256 tokens, so each is taken for a byte."))
}
