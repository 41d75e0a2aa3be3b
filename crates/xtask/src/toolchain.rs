//! What must be installed beside cargo itself: two rustup components, two wasm targets, Node.

use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};
use crate::process::{self, capture, cargo, program, succeeds};

/// NEON kernels: checked by the compiler where no such machine is at hand.
pub const AARCH64: &str = "aarch64-unknown-linux-gnu";
/// The page's target.
pub const WASM: &str = "wasm32-unknown-unknown";
/// The same instruction set with a system interface: the target on which core's tests can run.
pub const WASI: &str = "wasm32-wasip1";

/// Oldest Node with a stable enough `node:wasi`.
const NODE_MAJOR: u32 = 20;

/// Adds a rustup component (`rustfmt`, `clippy`) if its cargo subcommand does not answer.
pub fn ensure_component(component: &str, subcommand: &str) -> Result<()> {
    if succeeds(cargo().args([subcommand, "--version"])) {
        return Ok(());
    }
    println!("adding the component {component} with rustup");
    rustup(&["component", "add", component])
}

/// Adds a compilation target with rustup if the compiler has no standard library for it.
pub fn ensure_target(target: &str) -> Result<()> {
    let folder = capture(program(rustc()).args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    println!("adding the target {target} with rustup");
    rustup(&["target", "add", target])
}

/// Succeeds if a Node that can run WASI programs is there.
pub fn ensure_node() -> Result<()> {
    let missing = |what: &str| Error::Missing {
        what: what.into(),
        remedy: format!("install Node {NODE_MAJOR} or newer (https://nodejs.org, or your system's package `nodejs`)"),
    };
    if !succeeds(program("node").arg("--version")) {
        return Err(missing("node"));
    }
    let version = capture(program("node").arg("--version"))?;
    match node_major(&version) {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => Err(missing(&format!("a recent node (found {})", version.trim()))),
    }
}

/// 20 of `v20.11.1`.
fn node_major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn rustup(arguments: &[&str]) -> Result<()> {
    let wanted = arguments.last().copied().unwrap_or_default();
    let missing = |remedy: String| Error::Missing { what: wanted.into(), remedy };
    if !succeeds(program("rustup").arg("--version")) {
        return Err(missing(format!(
            "this Rust does not come from rustup, so install {wanted} the way Rust itself was installed, or get rustup from \
             https://rustup.rs and run `rustup {}`",
            arguments.join(" ")
        )));
    }
    let mut command: Command = program("rustup");
    process::run(command.args(arguments))
        .map_err(|error| missing(format!("{error}; repeat it when there is a network")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_read() {
        assert_eq!(node_major("v20.11.1\n"), Some(20));
        assert_eq!(node_major("v9.0.0"), Some(9));
        assert_eq!(node_major("20"), None);
        assert_eq!(node_major(""), None);
    }
}
