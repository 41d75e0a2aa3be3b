//! From sources to a page that any static host can serve.
//!
//! ```text
//! index.html, web/, crates/page ──trunk──> a folder with plain names
//!                                └─ hook `cargo xtask page-finish`: corpus, names by content, service worker
//! ```
//!
//! The hook is trunk's own (Trunk.toml), so that `trunk serve`, `cargo xtask serve` and `cargo xtask dist` leave the same page.

mod budgets;
mod corpus;
pub mod dist;
pub mod finish;
mod names;
pub mod serve;
mod service_worker;
pub mod shipped;
mod wasm;

use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::process::{cargo, program, run};
use crate::toolchain::{WASM, ensure_target};
use crate::tools::{ensure_page_tools, on_path};

/// Everything that building takes, so that trunk needs no network.
fn prepare() -> Result<()> {
    ensure_target(WASM)?;
    ensure_page_tools()?;
    run(cargo().args(["fetch", "--quiet", "--target", WASM]))?;
    corpus::ensure()
}

/// Trunk, kept from the network, and without the caller's compiler flags: those would replace the ones by which .cargo/config.toml turns
/// SIMD on.
fn trunk(task: &str) -> Result<Command> {
    let mut command = program("trunk");
    command.args([task, "--offline"]);
    on_path(command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    Ok(command)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
