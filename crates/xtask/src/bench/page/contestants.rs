//! Who trains what: the engines of both sides, and the models.

use clap::ValueEnum;
use serde_json::{Value, json};

/// What trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Ours in WebAssembly, in one thread
    Cpu,
    /// Ours in WebAssembly, in as many threads as it takes by itself
    CpuThreads,
    /// Ours on WebGPU
    Webgpu,
    /// The peer's in JavaScript
    NpmCpu,
    /// The peer's on WebGL
    NpmWebgl,
    /// The peer's on WebGPU
    NpmWebgpu,
}

impl Engine {
    /// In the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::CpuThreads, Self::Webgpu, Self::NpmCpu, Self::NpmWebgl, Self::NpmWebgpu];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "Inkling, CPU (1 thread)",
            Self::CpuThreads => "Inkling, CPU (threads)",
            Self::Webgpu => "Inkling, WebGPU",
            Self::NpmCpu => "nanogpt, CPU",
            Self::NpmWebgl => "nanogpt, WebGL",
            Self::NpmWebgpu => "nanogpt, WebGPU",
        }
    }

    /// Whose it is.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Cpu | Self::CpuThreads | Self::Webgpu)
    }

    /// Of ours on the CPU; none where it takes as many as it finds right.
    pub fn threads(self) -> Option<u32> {
        (self == Self::Cpu).then_some(1)
    }

    /// As its side calls it.
    pub fn backend(self) -> &'static str {
        match self {
            Self::Cpu | Self::CpuThreads => "Cpu",
            Self::Webgpu => "WebGpu",
            Self::NpmCpu => "cpu",
            Self::NpmWebgl => "webgl",
            Self::NpmWebgpu => "webgpu",
        }
    }
}

/// A model that tabs train.
#[derive(Clone, Copy)]
pub struct Model {
    /// Of the preset.
    pub name: &'static str,
    channels: u32,
    /// Tokens of a sequence.
    pub context: u32,
}

/// Presets of core's, both with four layers of four heads.
pub const MODELS: [Model; 2] =
    [Model { name: "nano", channels: 64, context: 64 }, Model { name: "small", channels: 128, context: 128 }];

impl Model {
    /// As core's `ModelConfig`.
    pub fn config(self) -> Value {
        let Self { channels, context, .. } = self;
        json!({ "n_layer": 4, "n_head": 4, "n_kv_head": 4, "n_embd": channels, "n_inner": 4 * channels, "n_positions": context })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_cores_presets() {
        let presets = include_str!("../../../../core/src/presets.rs");
        for Model { name, channels, context } in MODELS {
            let (_, preset) = presets.split_once(&format!("name: \"{name}\"")).unwrap();
            assert!(preset.split("name: ").next().unwrap().contains(&format!("gpt(4, 4, {channels}, {context})")));
        }
    }
}
