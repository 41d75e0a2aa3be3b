//! Which engine computes, and which model.

use inkling_core::ModelConfig;
use serde::{Deserialize, Serialize};

use super::Contents;

/// Bytes that models and their programs may have in a tab: WebAssembly reaches 4 GiB, and the rest has to live too.
pub const TAB_MEMORY: u64 = 3 << 30;

/// Asks for an engine; a loaded model moves to it. The answer never comes: a part says which engine computes, and another one whenever that
/// changes (a GPU that is lost). The newest ask is the one that hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseEngine {
    /// Which.
    pub choice: EngineChoice,
    /// With how many threads the CPU is to train; as many as suit the device, where that is not said.
    pub threads: Option<usize>,
}

/// Which engine the visitor wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineChoice {
    /// WebGPU where there is a real adapter, else the CPU.
    #[default]
    Auto,
    /// The SIMD engine.
    Cpu,
    /// WebGPU, on a software adapter if need be.
    WebGpu,
}

impl EngineChoice {
    /// As the address says it.
    pub fn of(address: Option<&str>) -> Self {
        match address {
            Some("cpu") => Self::Cpu,
            Some("webgpu") => Self::WebGpu,
            _ => Self::Auto,
        }
    }
}

/// The engine that computes from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineChosen {
    /// Which it is.
    pub kind: EngineKind,
    /// The adapter's name, or of what the CPU engine makes use.
    pub name: String,
    /// Why it is this one, as a sentence.
    pub reason: String,
    /// Whether it is not the one that was wished for: there is none, or it broke down.
    pub instead: bool,
}

/// Threads that can be asked for: as many as large machines have processors, and fewer workers than a browser refuses.
pub const MOST_THREADS: usize = 32;

/// What the CPU engine is called that trains with so many threads.
pub fn cpu_name(threads: usize) -> String {
    if threads == 1 { "CPU, SIMD, one thread".into() } else { format!("CPU, SIMD, {threads} threads") }
}

/// The two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineKind {
    /// In WebAssembly.
    Cpu,
    /// Compute shaders.
    WebGpu,
}

/// Loads a model in place of the one there is, which stays if this fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Load {
    /// A checkpoint folder at an address: that of the folder, or of a file in it.
    Url {
        /// Relative to the page (then `manifest.json` lies beside it), or absolute.
        folder: String,
    },
    /// Files that the visitor gave.
    Files {
        /// All of them; what is no part of a model is not read.
        files: Vec<GivenFile>,
    },
    /// A model that is being trained here, as it was after so many updates.
    Snapshot {
        /// What to call it.
        name: String,
        /// Its folder.
        files: super::train::Files,
    },
}

/// A file that the visitor gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GivenFile {
    /// Name, with the folders above it as far as known, separated by `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What is in it. Only the worker reads it.
    pub contents: Contents,
}

/// Asks which model is loaded: after a load that was cancelled or failed, when it is not certain which one stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentModel;

/// The loaded model as the folder that `trainer` and `transformers` open, in one `.zip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveModel;

/// A file to be saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedModel {
    /// `shakespeare.zip`.
    pub name: String,
    /// What is in it.
    pub bytes: super::Bytes,
}

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadProgress {
    /// The model.
    pub name: String,
    /// Bytes of all files so far.
    pub received: u64,
    /// Bytes of all files, where known.
    pub total: Option<u64>,
    /// Why it is tried once more, while it waits for that.
    pub again: Option<String>,
}

/// A loaded model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Counts loaded models: two cards with the same number are of the same weights.
    pub number: u32,
    /// What to call it: its manifest's name, the folder's, or that of its files.
    pub name: String,
    /// Where it is from.
    pub origin: Origin,
    /// Architecture and sizes.
    pub config: ModelConfig,
    /// Every parameter, in the order of the forward pass.
    pub parameters: Vec<ParameterCard>,
    /// Each token as text, by its id. Where that is no valid text alone, its bytes stand as `\xNN`.
    pub vocabulary: Vec<String>,
    /// `char`, `byte` or `bpe`.
    pub tokenizer: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// What it scored when it was trained, where its files say so.
    pub val_loss: Option<f64>,
    /// The command that trained it, where its files say so.
    pub command: Option<String>,
    /// What the visitor should know of how it was opened.
    pub note: Option<String>,
}

/// Where a model is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Beside the page, and every byte is what the manifest says.
    Checked {
        /// Nothing was downloaded: the browser had kept it from an earlier visit.
        cached: bool,
    },
    /// An address.
    Address,
    /// The visitor's files.
    Files,
    /// A step of a run in `#train`.
    Run,
}

/// A parameter's name and shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCard {
    /// `h.0.attn.c_attn.weight`, say.
    pub name: String,
    /// PyTorch's: `[out, in]`.
    pub shape: Vec<usize>,
}
