//! `trainer devices`: what this machine can compute on.

use clap::Args;
use inkling_core::gpu::{AdapterReport, GpuDevice};
use serde_json::{Value, json};

use crate::device::{self, label};
use crate::error::Result;
use crate::format::{self, Align};
use crate::memory;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer devices
  trainer devices --json
  trainer train --device gpu --adapter 1         the adapter of that number
  trainer train --adapter radeon                 or by a part of its name

Buffer and binding are the largest that the adapter allows: a model's largest tensor has to fit. `f16` means that it can train with \
--precision f16, `timestamps` that `bench --ops` reads its own clock.";

/// `trainer devices`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

/// Runs `trainer devices`.
pub async fn run(_: &Arguments, terminal: &Terminal) -> Result<()> {
    let processor = Cpu::find();
    let adapters = GpuDevice::adapters().await;
    let (automatic, reason) = automatic(&adapters);
    let mut devices = vec![processor.to_json()];
    devices.extend(adapters.iter().enumerate().map(|(number, adapter)| adapter_json(number, adapter)));
    let device = if automatic.is_some() { "gpu" } else { "cpu" };
    let object = json!({
        "devices": devices,
        "auto": { "device": device, "adapter": automatic, "reason": reason },
    });
    let chosen = automatic.map_or("the CPU".into(), |number| format!("gpu {number}, {}", label(&adapters[number])));
    let mut text = processor.table();
    if !adapters.is_empty() {
        text += &format!("\n{}", adapter_table(&adapters));
    }
    text += &format!("\n--device auto takes {chosen}: {reason}\n");
    terminal.result(&object, &text)
}

/// What `--device auto` takes, and why.
fn automatic(adapters: &[AdapterReport]) -> (Option<usize>, &'static str) {
    match device::automatic(adapters) {
        Some(number) => (Some(number), "the best hardware adapter"),
        None if adapters.is_empty() => (None, "there is no adapter that wgpu can use"),
        None => (None, "a software adapter is hundreds of times slower; --device gpu takes it all the same"),
    }
}

/// The processor.
struct Cpu {
    name: String,
    threads: usize,
    simd: Vec<&'static str>,
    memory: Option<u64>,
}

impl Cpu {
    fn find() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { name: processor(), threads, simd: simd(), memory: memory::available() }
    }

    fn table(&self) -> String {
        let columns = [
            ("device", Align::Left),
            ("name", Align::Left),
            ("threads", Align::Right),
            ("SIMD", Align::Left),
            ("memory available", Align::Right),
        ];
        let row = vec![
            "cpu".into(),
            self.name.clone(),
            self.threads.to_string(),
            listed(&self.simd),
            self.memory.map_or("unknown".into(), format::bytes),
        ];
        format::table(&columns, &[row])
    }

    fn to_json(&self) -> Value {
        json!({
            "device": "cpu",
            "name": self.name,
            "threads": self.threads,
            "simd": self.simd,
            "memory_available_bytes": self.memory,
        })
    }
}

fn adapter_table(adapters: &[AdapterReport]) -> String {
    let columns = [
        ("device", Align::Left),
        ("name", Align::Left),
        ("type", Align::Left),
        ("backend", Align::Left),
        ("driver", Align::Left),
        ("buffer", Align::Right),
        ("binding", Align::Right),
        ("workgroup", Align::Right),
        ("features", Align::Left),
    ];
    let row = |(number, adapter): (usize, &AdapterReport)| {
        let capabilities = &adapter.capabilities;
        vec![
            format!("gpu {number}"),
            adapter.name.clone(),
            adapter.kind.name().into(),
            adapter.backend.clone(),
            if adapter.driver.is_empty() { "unknown".into() } else { adapter.driver.clone() },
            format::bytes(capabilities.max_buffer_size),
            format::bytes(capabilities.max_binding_size),
            format::bytes(capabilities.max_workgroup_memory.into()),
            listed(&features(adapter)),
        ]
    };
    format::table(&columns, &adapters.iter().enumerate().map(row).collect::<Vec<_>>())
}

fn adapter_json(number: usize, adapter: &AdapterReport) -> Value {
    let capabilities = &adapter.capabilities;
    json!({
        "device": "gpu",
        "adapter": number,
        "name": adapter.name,
        "type": adapter.kind.name(),
        "backend": adapter.backend,
        "driver": adapter.driver,
        "max_buffer_bytes": capabilities.max_buffer_size,
        "max_binding_bytes": capabilities.max_binding_size,
        "workgroup_memory_bytes": capabilities.max_workgroup_memory,
        "max_invocations": capabilities.max_invocations,
        "features": features(adapter),
    })
}

/// What an adapter has beyond what every one has.
fn features(adapter: &AdapterReport) -> Vec<&'static str> {
    let capabilities = &adapter.capabilities;
    let features = [("f16", capabilities.shader_f16), ("timestamps", capabilities.timestamps)];
    features.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The processor's own name, or at least its architecture.
fn processor() -> String {
    let named = sysinfo::System::new().ok().and_then(|mut system| {
        system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        system.cpus().first().map(|cpu| cpu.brand().trim().to_owned())
    });
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// The vector instructions that this processor has, of those that matter to float32 kernels.
fn simd() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        found.push("SSE2");
        for (name, present) in [
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("AVX-512F", is_x86_feature_detected!("avx512f")),
        ] {
            if present {
                found.push(name);
            }
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        found.push("NEON");
    }
    found
}
