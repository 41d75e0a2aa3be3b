//! `cargo xtask setup`: prepares a machine for every other task.

use crate::browser::{ensure_axe, ensure_chromedriver};
use crate::error::Result;
use crate::python;
use crate::toolchain::{WASI, WASM, ensure_component, ensure_node, ensure_target};
use crate::tools::{ensure_page_tools, ensure_test_runner};
use crate::vulkan::ensure_driver;

/// What to prepare.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also create .venv with PyTorch and transformers, for `golden` and `bench --vs-torch` (some GB)
    #[arg(long)]
    python: bool,
}

/// Installs what rustup, cargo and apt-get can, reports what only the user can.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure_component("rustfmt", "fmt")?;
    ensure_component("clippy", "clippy")?;
    for target in [WASM, WASI] {
        ensure_target(target)?;
    }
    println!("Rust: rustfmt, clippy, {WASM} and {WASI} are there");
    tell("Node", "core's tests in wasm", ensure_node());
    tell("Vulkan driver", "core's tests on a GPU", ensure_driver());
    tell("trunk and wasm-bindgen", "the page", ensure_page_tools());
    tell("wasm-bindgen-test-runner", "core's tests in a browser", ensure_test_runner().map(drop));
    tell("Chromium and its driver", "tests in a browser", ensure_chromedriver().map(drop));
    tell("axe-core", "the page's tests in a browser", ensure_axe().map(drop));
    if arguments.python {
        python::ensure()?;
    } else {
        println!("Python: not asked for; `cargo xtask setup --python` prepares it for `golden` and `bench --vs-torch`");
    }
    Ok(())
}

/// Says whether something that only some tests need is there.
fn tell(what: &str, tests: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => println!("{what}: there"),
        Err(error) => println!("{what}: {error}. Without it `cargo xtask test` skips {tests}"),
    }
}
