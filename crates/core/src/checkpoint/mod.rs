//! Checkpoints: Hugging Face folders as named byte blobs.
//!
//! ```text
//! config.json             what the model is: GPT-2's or Llama's keys where they can say it, and always `inkling`
//! model.safetensors       its weights; read from several files too, where model.safetensors.index.json lists them
//! tokenizer.json          its vocabulary
//! tokenizer_config.json   tells `transformers` to take tokenizer.json as it is; not read here
//! trainer_state.json      of a run only: what it needs to go on
//! optimizer.safetensors   of a run only: the optimizer's moments
//! ```
//!
//! Adapters of a model have a folder of their own, see [`AdapterCheckpoint`].
//!
//! A folder of GPT-2's or Llama's shape opens in `transformers` unchanged, and one of theirs opens here. Who owns the paths (the
//! trainer) or the URLs (the page) passes a function from file name to bytes, or `None` where there is no such file.
//!
//! Readers trust nothing: every size is checked against the bytes present before anything is allocated for it, the files
//! must agree with each other, and an error names the file, the tensor or key, and what to do.

mod adapter;
mod adapter_config;
mod config_json;
mod fit;
mod gpt2_config;
mod llama_config;
mod model_file;
mod shard_index;
mod tensor_file;
mod tensor_header;
mod tensor_writer;
mod training_state;
mod weight_format;
mod weight_names;

use std::collections::BTreeMap;

pub use adapter::{AdapterCheckpoint, read_adapters};
pub use adapter_config::{AdapterConfig, Origin};
pub use training_state::TrainingState;
pub use weight_format::WeightFormat;

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::parameters::ParameterSpec;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use shard_index::Index;
use training_state::{STEP, Trained};

/// File name of the model's configuration.
pub const CONFIG_FILE: &str = "config.json";
/// File name of the weights.
pub const MODEL_FILE: &str = "model.safetensors";
/// File name of the list of files that hold the weights where [`MODEL_FILE`] is absent.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// File name of the vocabulary.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// File name of what `transformers` wants to know about the tokenizer.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// File name of what adapters are of.
pub const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";
/// File name of adapters.
pub const ADAPTER_FILE: &str = "adapter_model.safetensors";
/// File name of a run's state.
pub const STATE_FILE: &str = "trainer_state.json";
/// File name of the optimizer's tensors.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";

/// A model with its vocabulary and, if it is to be trained on, the state of its run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Architecture and sizes.
    pub config: ModelConfig,
    /// The parameters of `config`, all finite.
    pub weights: Weights,
    /// Has `config.vocab_size` ids.
    pub tokenizer: Tokenizer,
    /// Present in a run's checkpoints, absent in a model that is handed on.
    pub training: Option<TrainingState>,
}

impl Checkpoint {
    /// Every file of the folder, as name and content. The same checkpoint gives the same bytes.
    ///
    /// # Errors
    /// Whatever a reader would refuse: an invalid configuration, weights that are not exactly those of `config` or not
    /// finite, a tokenizer of another size, a training state at odds with its step.
    pub fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        self.to_files_as(WeightFormat::F32)
    }

    /// [`Self::to_files`], with weights stored in this format. A run that is to go on needs [`WeightFormat::F32`].
    ///
    /// # Errors
    /// Also a weight that the format cannot hold.
    pub fn to_files_as(&self, format: WeightFormat) -> Result<Vec<(String, Vec<u8>)>> {
        let step = self.training.as_ref().map(|training| training.step);
        let mut files = self.files(format, step)?;
        if let Some(training) = &self.training {
            files.extend(training.to_files(trained(&self.config.parameters()))?);
        }
        Ok(files)
    }

    /// [`Self::to_files_as`], without the state of its run: a model to hand on.
    ///
    /// # Errors
    /// As [`Self::to_files_as`].
    pub fn model_to_files_as(&self, format: WeightFormat) -> Result<Vec<(String, Vec<u8>)>> {
        self.files(format, None)
    }

    /// The files of the model itself; `step` is that of its run.
    fn files(&self, format: WeightFormat, step: Option<u64>) -> Result<Vec<(String, Vec<u8>)>> {
        let config = config_json::write(&self.config, format)?;
        check_vocabulary(&self.config, &self.tokenizer)?;
        let tensors = weight_names::to_file(&self.config, config_json::naming(&self.config, format), &self.weights)?;
        let metadata = metadata(step);
        Ok(vec![
            (CONFIG_FILE.into(), config),
            (MODEL_FILE.into(), tensor_writer::write(MODEL_FILE, &tensors, &metadata, format)?),
            (TOKENIZER_FILE.into(), self.tokenizer.to_json()),
            (TOKENIZER_CONFIG_FILE.into(), tokenizer_config(&self.config)),
        ])
    }

    /// Reads a whole folder, with the training state if it has one.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] names the file that is missing, damaged or at odds with the others; errors of `read` pass
    /// through.
    pub fn from_files(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        let (model, step) = read_model(&mut read)?;
        let training = TrainingState::read(trained(&model.config.parameters()), step.as_deref(), &mut read)?;
        Ok(Self { training, ..model })
    }

    /// Reads a folder for inference: as [`Self::from_files`], but the files of a run are not asked for.
    pub fn model_from_files(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        Ok(read_model(&mut read)?.0)
    }
}

/// Gives a file by name, `None` where there is none.
type Read<'a> = &'a mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>;

/// A model and the step that its run's file carries.
fn read_model(read: Read) -> Result<(Checkpoint, Option<String>)> {
    let (config, naming) = config_json::read(&required(read, CONFIG_FILE)?)?;
    let tokenizer = padded(read_tokenizer(&mut *read)?, config.vocab_size);
    check_vocabulary(&config, &tokenizer)?;
    let (weights, step) = model_file::read(&config, naming, read)?;
    Ok((Checkpoint { config, weights, tokenizer, training: None }, step))
}

/// What `config.json` says.
pub fn parse_config(json: &[u8]) -> Result<ModelConfig> {
    Ok(config_json::read(json)?.0)
}

/// Reads `config.json` alone; where there is none, what `adapter_config.json` says of the model that adapters were trained on.
pub fn read_config(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<ModelConfig> {
    if let (None, Some(adapter)) = (read(CONFIG_FILE)?, read(ADAPTER_CONFIG_FILE)?)
        && let Some(origin) = AdapterConfig::parse(&adapter)?.origin
    {
        return Ok(origin.model);
    }
    parse_config(&required(&mut read, CONFIG_FILE)?)
}

/// Reads `config.json` and `model.safetensors`, whatever else the folder has or lacks.
pub fn read_weights(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<(ModelConfig, Weights)> {
    let (config, naming) = config_json::read(&required(&mut read, CONFIG_FILE)?)?;
    let (weights, _) = model_file::read(&config, naming, &mut read)?;
    Ok((config, weights))
}

/// Reads `model.safetensors.index.json` alone: the names of the files that hold the weights.
pub fn read_shard_names(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Vec<String>> {
    parse_shard_names(&required(&mut read, INDEX_FILE)?)
}

/// The names of the files that hold the weights, by what `model.safetensors.index.json` says.
pub fn parse_shard_names(json: &[u8]) -> Result<Vec<String>> {
    let index = Index::parse(json).map_err(|problem| damaged(INDEX_FILE, problem))?;
    Ok(index.shards().map(|(shard, _)| shard.to_owned()).collect())
}

/// Reads `trainer_state.json` and `optimizer.safetensors` of a model that lies elsewhere, without what would say that it is of the same step.
pub fn read_training(
    config: &ModelConfig,
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<Option<TrainingState>> {
    let state = read(STATE_FILE)?;
    let json = state.as_deref().and_then(|json| serde_json::from_slice::<serde_json::Value>(json).ok());
    let step = json.and_then(|json| json[STEP].as_u64()).map(|step| step.to_string());
    let mut state = Some(state);
    let mut read = |name: &str| if name == STATE_FILE { Ok(state.take().flatten()) } else { read(name) };
    TrainingState::read(trained(&config.parameters()), step.as_deref(), &mut read)
}

/// Reads `tokenizer.json` alone.
pub fn read_tokenizer(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Tokenizer> {
    Tokenizer::from_json(&required(&mut read, TOKENIZER_FILE)?).map_err(|e| match e {
        Error::Tokenizer(problem) => damaged(TOKENIZER_FILE, problem),
        other => other,
    })
}

/// The metadata of a file of safetensors: `step` is that of its run.
fn metadata(step: Option<u64>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    metadata.insert("format".into(), "pt".into());
    metadata.extend(step.map(|step| (STEP.into(), step.to_string())));
    metadata
}

/// Without it `transformers` would take the tokenizer of any `model_type: gpt2` for GPT-2's own.
fn tokenizer_config(config: &ModelConfig) -> Vec<u8> {
    // Not by way of a map: whether that keeps an order is up to what else is in the program.
    let file = format!(
        "{{\n  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": {},\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}}\n",
        config.n_positions
    );
    file.into_bytes()
}

/// A run that trains a whole model.
fn trained(parameters: &[ParameterSpec]) -> Trained<'_> {
    Trained { parameters, file: MODEL_FILE, configuration: CONFIG_FILE }
}

/// A model may have more rows than its byte pairs have tokens.
fn padded(tokenizer: Tokenizer, vocab_size: usize) -> Tokenizer {
    match tokenizer {
        Tokenizer::Bpe(tokenizer) if tokenizer.vocab_size() < vocab_size => tokenizer.padded(vocab_size).into(),
        tokenizer => tokenizer,
    }
}

fn check_vocabulary(config: &ModelConfig, tokenizer: &Tokenizer) -> Result<()> {
    let (model, ids) = (config.vocab_size, tokenizer.vocab_size());
    if model == ids {
        return Ok(());
    }
    let problem =
        format!("the vocabulary has {ids} tokens but {CONFIG_FILE} has vocab_size {model}: they belong to two models");
    Err(damaged(TOKENIZER_FILE, problem))
}

fn required(read: Read, file: &str) -> Result<Vec<u8>> {
    read(file)?.ok_or_else(|| missing(file, "a model folder has config.json, model.safetensors and tokenizer.json"))
}

fn missing(file: &str, why: &str) -> Error {
    damaged(file, format!("the file is missing; {why}"))
}

fn damaged(file: &str, problem: impl Into<String>) -> Error {
    Error::Checkpoint { file: file.into(), problem: problem.into() }
}
