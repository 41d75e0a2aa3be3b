//! What a command computes on: `--device` and `--threads`.

use clap::{Args, ValueEnum};
use inkling_core::cpu::{Pool, simd};
use inkling_core::program::Precision;

use crate::error::{Error, Result};
use crate::format;

/// More threads than any machine has cores are a typing mistake.
const MAX_THREADS: i64 = 1024;

/// The compute unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The fastest that this program has an engine for
    #[default]
    Auto,
    /// All cores
    Cpu,
    /// A graphics card
    Gpu,
}

/// How weights are stored for generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// Rounded to float16: twice as fast, as each token reads every weight
    #[default]
    F16,
    /// Float32, as they were trained
    F32,
}

impl Weights {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    /// What core calls it.
    pub fn precision(self) -> Precision {
        match self {
            Self::F16 => Precision::Half,
            Self::F32 => Precision::Full,
        }
    }
}

/// The options of commands that compute.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Compute")]
pub struct Compute {
    /// What to compute on
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// CPU threads (default: one per core); results do not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
}

impl Compute {
    /// Fails when the device cannot be had. Cheap: for before any other work.
    pub fn check(&self) -> Result<()> {
        match self.device {
            Device::Auto | Device::Cpu => Ok(()),
            Device::Gpu => Err(Error::Device { device: "GPU", problem: "this build of the trainer has no GPU engine" }),
        }
    }

    /// The threads to compute with.
    pub fn pool(&self) -> Result<Pool> {
        self.check()?;
        Ok(self.threads.map_or_else(Pool::with_all_cores, |threads| Pool::new(threads.into())))
    }

    /// What to load programs on.
    pub fn device(&self) -> Result<inkling_core::Device> {
        Ok(inkling_core::Device::Cpu(self.pool()?))
    }

    /// The name of the preset that trains in minutes on the device.
    pub fn default_preset(&self) -> &'static str {
        "tiny"
    }
}

/// `CPU, 2 threads, AVX2`.
pub fn describe(device: &inkling_core::Device) -> String {
    let pool = match device {
        inkling_core::Device::Cpu(pool) => pool,
        inkling_core::Device::Gpu(gpu) => return gpu.report().name.clone(),
    };
    let threads = pool.threads() as u64;
    let plural = if threads == 1 { "" } else { "s" };
    format!("CPU, {} thread{plural}, {}", format::count(threads), simd::level())
}
