//! From sources to a page that any static host can serve.
//!
//! ```text
//! index.html, web/, crates/page ──trunk──> a folder with plain names
//!                                └─ hook `cargo xtask page-finish`: corpus, names by content, service worker, _headers
//! ```
//!
//! The hook is trunk's own (Trunk.toml), so that `trunk serve`, `cargo xtask serve` and `cargo xtask dist` leave the same page.

mod budgets;
pub mod corpus;
pub mod dist;
pub mod finish;
mod headers;
mod names;
pub mod serve;
mod service_worker;
pub mod shipped;
mod wasm;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::process::{cargo, program, run};
use crate::toolchain::{WASM, ensure_target};
use crate::tools::{ensure_page_tools, on_path};

/// Everything that building takes, so that trunk needs no network; without the corpus, if that is allowed and it cannot be had.
fn prepare(without_corpus: bool) -> Result<()> {
    ensure_target(WASM)?;
    ensure_page_tools()?;
    run(cargo().args(["fetch", "--quiet", "--target", WASM]))?;
    corpus::ensure(without_corpus)
}

/// Trunk, kept from the network, and without the caller's compiler flags: those would replace the ones by which .cargo/config.toml turns
/// SIMD on.
fn trunk(task: &str) -> Result<Command> {
    let mut command = program("trunk");
    command.args([task, "--offline"]);
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Cargo adds these to the flags of .cargo/config.toml, and gives them to nothing that runs on this machine.
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", short_paths().join(" "));
    on_path(&mut command)?;
    Ok(command)
}

/// Flags by which a panic names a crate's source without the folder in which this machine keeps it: that is nobody's business, and the
/// programs are then the same wherever they are built.
fn short_paths() -> Vec<String> {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folders = cargo.and_then(|cargo| fs::read_dir(cargo.join("registry").join("src")).ok()).into_iter().flatten();
    let folders = folders.filter_map(|folder| folder.ok()?.path().to_str().map(str::to_owned));
    // Cargo splits the flags at spaces.
    let folders = folders.filter(|folder| !folder.contains(char::is_whitespace));
    folders.map(|folder| format!("--remap-path-prefix={folder}=")).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
