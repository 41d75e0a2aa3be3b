//! `trainer devices`: what this machine can compute on.

use clap::Args;
use serde_json::json;

use crate::error::Result;
use crate::format::{self, Align};
use crate::memory;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer devices
  trainer devices --json";

/// `trainer devices`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

/// Runs `trainer devices`.
pub fn run(_: &Arguments, terminal: &Terminal) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let simd = simd();
    let name = processor();
    let memory = memory::available();
    let row = vec![
        "cpu".into(),
        name.clone(),
        threads.to_string(),
        if simd.is_empty() { "none".into() } else { simd.join(", ") },
        memory.map_or("unknown".into(), format::bytes),
    ];
    let columns = [
        ("device", Align::Left),
        ("name", Align::Left),
        ("threads", Align::Right),
        ("SIMD", Align::Left),
        ("memory available", Align::Right),
    ];
    let object = json!({ "devices": [{
        "device": "cpu",
        "name": name,
        "threads": threads,
        "simd": simd,
        "memory_available_bytes": memory,
    }] });
    terminal.result(&object, &format::table(&columns, &[row]))
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
