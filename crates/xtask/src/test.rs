//! `cargo xtask test`: everything that must hold, cheapest first.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::error::Result;
use crate::process::{cargo, root, run as run_to_the_end, watch};
use crate::steps::{Absence, Steps};
use crate::test_counts::TestCounts;
use crate::toolchain::{AARCH64, WASI, WASM, ensure_component, ensure_node, ensure_target};

/// Runs all steps up to the first failure. The last line of output is `N passed, N failed[, N skipped]`.
pub fn run() -> ExitCode {
    let mut steps = Steps::new(Absence::from_environment());
    steps.step("format", |_| {
        ensure_component("rustfmt", "fmt")?;
        run_to_the_end(cargo().args(["fmt", "--all", "--check"]))
    });
    steps.step("lints", |_| {
        ensure_component("clippy", "clippy")?;
        run_to_the_end(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    });
    steps.step("docs", |_| {
        run_to_the_end(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))
    });
    steps.optional_step("core builds for the browser", |_| {
        ensure_target(WASM)?;
        run_to_the_end(cross_cargo().args(["check", "--package", "inkling-core", "--target", WASM]))
    });
    steps.optional_step("core builds with NEON", |_| {
        ensure_target(AARCH64)?;
        run_to_the_end(cross_cargo().args(["check", "--package", "inkling-core", "--target", AARCH64]))
    });
    steps.step("tests", |counts| tests(cargo().args(["test", "--workspace", "--no-fail-fast"]), counts));
    // The machine's widest instruction set has just been tested. Elsewhere than on x86-64 core ignores the variable.
    for (name, level) in [("core's tests with AVX2", "avx2"), ("core's tests without SIMD", "portable")] {
        steps.step(name, |counts| {
            let mut command = cargo();
            tests(command.args(["test", "--package", "inkling-core"]).env("INKLING_SIMD", level), counts)
        });
    }
    steps.optional_step("core's tests in wasm", |counts| {
        ensure_target(WASI)?;
        ensure_node()?;
        let runner = Path::new("crates/xtask/wasi/runner.mjs");
        // cargo splits the runner at white space unless it is a list; a relative path would be taken from core's folder.
        let runner = format!("target.{WASI}.runner = ['node', '--no-warnings', '{}']", root().join(runner).display());
        tests(
            cross_cargo().args(["test", "--package", "inkling-core", "--lib", "--target", WASI, "--config", &runner]),
            counts,
        )
    });
    print!("{}", steps.report());
    if steps.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a `cargo test` and adds up its closing lines.
fn tests(command: &mut Command, counts: &mut TestCounts) -> Result<()> {
    watch(command, |line| *counts += TestCounts::parse(line).unwrap_or_default())
}

/// Cargo for another target, without the caller's compiler flags: those would replace the ones by which .cargo/config.toml turns SIMD on.
fn cross_cargo() -> Command {
    let mut command = cargo();
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}
