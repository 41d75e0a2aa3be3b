//! `cargo xtask setup`: prepares a machine for every other task.

use crate::error::Result;
use crate::python;
use crate::toolchain::{WASI, WASM, ensure_component, ensure_node, ensure_target};

/// What to prepare.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also create .venv with PyTorch and transformers, for `golden` and `bench --vs-torch` (some GB)
    #[arg(long)]
    python: bool,
}

/// Installs what rustup can, reports what only the user can.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure_component("rustfmt", "fmt")?;
    ensure_component("clippy", "clippy")?;
    for target in [WASM, WASI] {
        ensure_target(target)?;
    }
    println!("Rust: rustfmt, clippy, {WASM} and {WASI} are there");
    match ensure_node() {
        Ok(()) => println!("Node: there"),
        Err(error) => println!("Node: {error}. Without it `cargo xtask test` skips core's tests in wasm"),
    }
    if arguments.python {
        python::ensure()?;
    } else {
        println!("Python: not asked for; `cargo xtask setup --python` prepares it for `golden` and `bench --vs-torch`");
    }
    Ok(())
}
