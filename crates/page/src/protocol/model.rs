//! Which engine computes, and which model.

use inkling_core::ModelConfig;
use serde::{Deserialize, Serialize};

use super::Bytes;

/// Asks for an engine; a loaded model moves to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseEngine(pub EngineChoice);

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

/// The engine that computes from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineChosen {
    /// Which it is.
    pub kind: EngineKind,
    /// The adapter's name, or of what the CPU engine makes use.
    pub name: String,
    /// Why it is this one, as a sentence.
    pub reason: String,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// A checkpoint folder at an address: that of the folder, without a file's name.
    Url {
        /// Relative to the page, or absolute.
        folder: String,
    },
    /// Files that the visitor gave.
    Files {
        /// Names without folders, and contents.
        files: Vec<(String, Bytes)>,
    },
}

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadProgress {
    /// The file.
    pub file: String,
    /// Bytes of all files so far.
    pub received: u64,
    /// Bytes of all files, where known.
    pub total: Option<u64>,
}

/// A loaded model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// What to call it: the folder's name, or that of its files.
    pub name: String,
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
}

/// A parameter's name and shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCard {
    /// `h.0.attn.c_attn.weight`, say.
    pub name: String,
    /// PyTorch's: `[out, in]`.
    pub shape: Vec<usize>,
}
