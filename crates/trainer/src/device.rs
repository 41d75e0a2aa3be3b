//! What a command computes on: `--device`, `--adapter` and `--threads`.
//!
//! | `--device` | takes |
//! |---|---|
//! | `auto` | the best hardware adapter if there is one, else the CPU; never a software adapter |
//! | `cpu` | all cores; no driver is asked for anything |
//! | `gpu` | the best adapter, and if it is software says what that means |
//!
//! `--adapter` picks one of several, and asks for a GPU by being given.

use std::path::Path;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use inkling_core::cpu::{Pool, simd};
use inkling_core::error::GpuError;
use inkling_core::gpu::device::AdapterKind;
use inkling_core::gpu::{AdapterReport, GpuDevice};
use inkling_core::program::Precision;

use crate::error::{Error, Result};
use crate::format;
use crate::gpu_tuning::TuningFile;
use crate::memory;
use crate::terminal::Terminal;

/// More threads than any machine has cores are a typing mistake.
const MAX_THREADS: i64 = 1024;

/// The compute unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// A real GPU if there is one, else the CPU
    #[default]
    Auto,
    /// All cores
    Cpu,
    /// The best adapter that wgpu finds, a software one if need be
    Gpu,
}

/// How weights are stored for generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// Rounded to float16: half the memory to read per token
    #[default]
    F16,
    /// Float32, as they were trained
    F32,
    /// 8 bits a weight
    Q8,
    /// 4 bits a weight, the head 8
    Q4,
}

impl Weights {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// What core calls it.
    pub fn precision(self) -> Precision {
        match self {
            Self::F16 => Precision::Half,
            Self::F32 => Precision::Full,
            Self::Q8 => Precision::Q8,
            Self::Q4 => Precision::Q4,
        }
    }
}

/// The options of commands that compute.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Compute")]
pub struct Compute {
    /// What to compute on
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// Which GPU: a part of its name or backend, or its number in `trainer devices`
    #[arg(long, value_name = "NAME|N", value_parser = NonEmptyStringValueParser::new())]
    adapter: Option<String>,
    /// CPU threads (default: one per core); results do not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
}

impl Compute {
    /// What was said about the device, to be said again: ` --device gpu --adapter 1`. Results depend on nothing else of this.
    pub fn repeated(&self) -> String {
        let device = match self.device {
            Device::Auto => "",
            Device::Cpu => " --device cpu",
            Device::Gpu => " --device gpu",
        };
        let adapter = self.adapter.as_deref().map(|part| format!(" --adapter {}", format::argument(Path::new(part))));
        format!("{device}{}", adapter.unwrap_or_default())
    }

    /// Finds the device. A GPU is opened here, once: whoever computes on it shares it.
    ///
    /// # Errors
    /// [`Error::Adapter`] for an `--adapter` that is not there; core's for a machine without any, or one that gives no device.
    pub async fn find(&self, terminal: &Terminal) -> Result<Processor> {
        let cpu = Processor::Cpu { threads: self.threads };
        match (self.device, &self.adapter) {
            (Device::Cpu, Some(adapter)) => Err(Error::Adapter {
                wanted: adapter.clone(),
                problem: "--device cpu computes without one".into(),
                hint: "leave one of the two out".into(),
            }),
            (Device::Cpu, None) => Ok(cpu),
            (_, Some(part)) => open_named(part, terminal).await,
            (Device::Gpu, None) => Ok(open(GpuDevice::request_adapter(|_| Some(0)).await?, terminal)),
            (Device::Auto, None) if !hardware_is_possible(Path::new("/dev")) => Ok(cpu),
            (Device::Auto, None) => match GpuDevice::request_adapter(automatic).await {
                Ok(gpu) => Ok(open(gpu, terminal)),
                Err(GpuError::NoAdapter(_)) => Ok(cpu),
                Err(problem) => {
                    terminal.warn(&format!("{problem}; computing on the CPU"));
                    Ok(cpu)
                }
            },
        }
    }
}

/// The adapter that `--device auto` takes, if any.
pub fn automatic(adapters: &[AdapterReport]) -> Option<usize> {
    adapters.iter().position(|adapter| adapter.kind.is_hardware())
}

/// Whether a hardware adapter can be there at all. Asking the drivers takes some 50 ms, and some of them complain on stderr about
/// things that are no problem; without a device file of any graphics driver nothing but software could answer.
fn hardware_is_possible(devices: &Path) -> bool {
    const DRIVERS: [&str; 7] = ["dri", "nvidia", "nvhost", "nvgpu", "dxg", "mali", "kgsl"];
    let is_driver = |name: &str| DRIVERS.iter().any(|driver| name.starts_with(driver));
    match devices.read_dir() {
        Ok(entries) if cfg!(target_os = "linux") => {
            entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_driver))
        }
        _ => true,
    }
}

fn open(gpu: GpuDevice, terminal: &Terminal) -> Processor {
    let report = gpu.report();
    if !report.kind.is_hardware() {
        let name = &report.name;
        terminal.warn(&format!("{name} is a software adapter: hundreds of times slower than --device cpu"));
    }
    // Without a cache folder everything is measured again.
    if let Some(tuning) = TuningFile::locate().ok().and_then(|file| file.load(&label(report), terminal)) {
        // Not of this driver or these kernels any more: core leaves it alone.
        gpu.set_tuning(tuning);
    }
    Processor::Gpu(gpu)
}

async fn open_named(part: &str, terminal: &Terminal) -> Result<Processor> {
    let mut refusal = None;
    let found = GpuDevice::request_adapter(|adapters| {
        let chosen = named(adapters, part);
        if chosen.is_none() && !adapters.is_empty() {
            let there: Vec<String> = adapters.iter().enumerate().map(|(i, a)| format!("{i} {}", label(a))).collect();
            refusal = Some(Error::Adapter {
                wanted: part.into(),
                problem: "no adapter has this number, or this in its name".into(),
                hint: format!("there are: {}", there.join("; ")),
            });
        }
        chosen
    });
    match (found.await, refusal) {
        (_, Some(refusal)) => Err(refusal),
        (found, None) => Ok(open(found?, terminal)),
    }
}

/// The adapter of that number, or the first with `part` in its name or backend, in either case. 1 is a number, 4090 a name.
fn named(adapters: &[AdapterReport], part: &str) -> Option<usize> {
    const MOST_ADAPTERS: usize = 100;
    if let Some(number) = part.parse().ok().filter(|&number| number < MOST_ADAPTERS) {
        return (number < adapters.len()).then_some(number);
    }
    let part = part.to_lowercase();
    adapters.iter().position(|adapter| format!("{} {}", adapter.name, adapter.backend).to_lowercase().contains(&part))
}

/// `NVIDIA RTX 4090 (Vulkan, discrete)`.
pub fn label(adapter: &AdapterReport) -> String {
    format!("{} ({}, {})", adapter.name, adapter.backend, adapter.kind.name())
}

/// A device that was found, for any number of engines.
#[derive(Clone, Debug)]
pub enum Processor {
    /// Threads; every engine has its own.
    Cpu {
        /// One per core if nobody says.
        threads: Option<u16>,
    },
    /// One device for all engines.
    Gpu(GpuDevice),
}

impl Processor {
    /// What to load a program on.
    pub fn device(&self) -> inkling_core::Device {
        match self {
            Self::Cpu { threads } => inkling_core::Device::Cpu(pool(*threads)),
            Self::Gpu(gpu) => inkling_core::Device::Gpu(gpu.clone()),
        }
    }

    /// The GPU, if it is one.
    pub fn gpu(&self) -> Option<&GpuDevice> {
        match self {
            Self::Cpu { .. } => None,
            Self::Gpu(gpu) => Some(gpu),
        }
    }

    /// Keeps what the programs that were loaded so far made core measure, for the next time.
    pub fn keep_tuning(&self, terminal: &Terminal) {
        let Some(gpu) = self.gpu().filter(|gpu| !gpu.tuning().is_empty()) else { return };
        let saved = TuningFile::locate().and_then(|file| file.save(&label(gpu.report()), &gpu.tuning()));
        if let Err(problem) = saved {
            terminal.note(&format!("{problem}; kernels are measured again next time"));
        }
    }

    /// Whether this is a software adapter, on which everything takes ages.
    pub fn is_software(&self) -> bool {
        self.gpu().is_some_and(|gpu| !gpu.report().kind.is_hardware())
    }

    /// `CPU, 2 threads, AVX2` or `GPU: NVIDIA RTX 4090 (Vulkan, discrete)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu { threads } => {
                let threads = pool(*threads).threads() as u64;
                let plural = if threads == 1 { "" } else { "s" };
                format!("CPU, {} thread{plural}, {}", format::count(threads), simd::level())
            }
            Self::Gpu(gpu) => format!("GPU: {}", label(gpu.report())),
        }
    }

    /// Bytes of this machine's memory that tensors may take. A GPU has its own, and says itself when it is full.
    pub fn tensor_memory(&self) -> u64 {
        match self {
            Self::Cpu { .. } => memory::available().unwrap_or(u64::MAX),
            Self::Gpu(_) => u64::MAX,
        }
    }

    /// The name of the preset that trains in a couple of minutes. A graphics card has time for twice the context; other GPUs
    /// differ too much to promise that.
    pub fn default_preset(&self) -> &'static str {
        match self.gpu().map(|gpu| gpu.report().kind) {
            Some(AdapterKind::Discrete) => "small",
            _ => "tiny",
        }
    }
}

fn pool(threads: Option<u16>) -> Pool {
    threads.map_or_else(Pool::with_all_cores, |threads| Pool::new(threads.into()))
}

#[cfg(test)]
mod tests {
    use inkling_core::gpu::Capabilities;

    use super::*;

    fn adapter(name: &str, backend: &str, kind: AdapterKind) -> AdapterReport {
        let (name, backend) = (name.into(), backend.into());
        AdapterReport { name, backend, kind, driver: "1.0".into(), capabilities: Capabilities::least() }
    }

    #[test]
    fn auto_takes_hardware_and_never_software() {
        let software = adapter("llvmpipe", "Vulkan", AdapterKind::Software);
        assert_eq!(automatic(&[]), None);
        assert_eq!(automatic(std::slice::from_ref(&software)), None);
        for kind in [AdapterKind::Discrete, AdapterKind::Integrated, AdapterKind::Virtual, AdapterKind::Unknown] {
            assert_eq!(automatic(&[software.clone(), adapter("card", "Vulkan", kind)]), Some(1), "{kind:?}");
        }
    }

    #[test]
    fn adapters_are_named_by_number_or_by_a_part_of_name_or_backend() {
        let adapters = [
            adapter("NVIDIA GeForce RTX 4090", "Vulkan", AdapterKind::Discrete),
            adapter("AMD Radeon 780M", "DX12", AdapterKind::Integrated),
        ];
        for (part, index) in
            [("1", Some(1)), ("radeon", Some(1)), ("rtx 4", Some(0)), ("dx12", Some(1)), ("4090", Some(0))]
        {
            assert_eq!(named(&adapters, part), index, "{part}");
        }
        assert_eq!(named(&adapters, "2"), None);
        assert_eq!(named(&adapters, "arc"), None);
    }

    #[test]
    fn what_was_said_about_the_device_can_be_said_again() {
        let said = |device, adapter: Option<&str>| {
            Compute { device, adapter: adapter.map(str::to_owned), threads: Some(2) }.repeated()
        };
        assert_eq!(said(Device::Auto, None), "");
        assert_eq!(said(Device::Cpu, None), " --device cpu");
        assert_eq!(said(Device::Gpu, Some("rtx 4090")), " --device gpu --adapter 'rtx 4090'");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_a_graphics_driver_nobody_is_asked() {
        let devices = tempfile::tempdir().unwrap();
        std::fs::write(devices.path().join("null"), "").unwrap();
        assert!(!hardware_is_possible(devices.path()));
        std::fs::write(devices.path().join("nvidiactl"), "").unwrap();
        assert!(hardware_is_possible(devices.path()));
        assert!(hardware_is_possible(&devices.path().join("missing")));
    }
}
