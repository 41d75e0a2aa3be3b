//! `cargo xtask test`: everything that must hold, cheapest first.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::browser::{ensure_axe, ensure_chromedriver};
use crate::core_tests;
use crate::error::Result;
use crate::page::dist;
use crate::process::{cargo, root, run as run_to_the_end, watch};
use crate::steps::{Absence, Steps};
use crate::test_counts::TestCounts;
use crate::toolchain::{AARCH64, WASI, WASM, ensure_component, ensure_node, ensure_target};
use crate::tools::{ensure_test_runner, on_path};
use crate::vulkan::ensure_driver;

/// A browser that has not finished by then hangs: SwiftShader takes some seconds.
const BROWSER_SECONDS: &str = "300";

/// The feature with which the page's tests in a browser are built.
const PAGE_TESTS: &str = "browser-tests";

/// Runs all steps up to the first failure. The last line of output is `N passed, N failed[, N skipped]`.
pub fn run() -> ExitCode {
    let mut steps = Steps::new(Absence::from_environment());
    steps.step("format", |_| {
        ensure_component("rustfmt", "fmt")?;
        run_to_the_end(cargo().args(["fmt", "--all", "--check"]))
    });
    steps.step("lints", |_| {
        ensure_component("clippy", "clippy")?;
        let features = format!("page/{PAGE_TESTS}");
        let mut lints = cargo();
        lints.args(["clippy", "--workspace", "--all-targets", "--features", &features]);
        run_to_the_end(lints.args(["--", "--deny", "warnings"]))
    });
    steps.step("docs", |_| {
        run_to_the_end(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))
    });
    steps.optional_step("lints for the browser", |_| {
        ensure_target(WASM)?;
        let mut command = cross_cargo();
        command.arg("clippy").args(core_tests::PACKAGES);
        command.args(["--lib", "--test", core_tests::WEB, "--target", WASM]);
        run_to_the_end(command.args(["--", "--deny", "warnings"]))?;
        let mut command = cross_cargo();
        run_to_the_end(command.args(["clippy", "--package", "page", "--target", WASM, "--", "--deny", "warnings"]))
    });
    steps.optional_step("core builds with NEON", |_| {
        ensure_target(AARCH64)?;
        run_to_the_end(cross_cargo().args(["check", "--package", "inkling-core", "--target", AARCH64]))
    });
    let mut gpu = Gpu::Absent;
    steps.optional_step("a driver for GPU tests", |counts| match ensure_driver() {
        Ok(()) => {
            gpu = Gpu::Required;
            Ok(())
        }
        Err(missing) => {
            counts.skipped = core_tests::count_gpu_tests()?;
            Err(missing)
        }
    });
    steps.step("tests", |counts| {
        let mut command = cargo();
        command.args([
            "test",
            "--workspace",
            "--exclude",
            "inkling-core",
            "--exclude",
            "inkling-kernels",
            "--no-fail-fast",
        ]);
        tests(gpu.tell(&mut command), counts)
    });
    steps.step("core's tests", |counts| {
        tests(&mut core_tests::on_the_processor()?, counts)?;
        tests(cargo().arg("test").args(core_tests::PACKAGES).arg("--doc"), counts)
    });
    // The machine's widest instruction set has just been tested. Elsewhere than on x86-64 core ignores the variable.
    for (name, level) in [("core's tests with AVX2", "avx2"), ("core's tests without SIMD", "portable")] {
        steps.step(name, |counts| tests(core_tests::on_the_processor()?.env("INKLING_SIMD", level), counts));
    }
    if gpu == Gpu::Required {
        steps.step("core's tests on a GPU", |counts| tests(gpu.tell(&mut core_tests::on_a_gpu()), counts));
    }
    steps.optional_step("core's tests in wasm", |counts| {
        ensure_target(WASI)?;
        ensure_node()?;
        let runner = Path::new("crates/xtask/wasi/runner.mjs");
        // cargo splits the runner at white space unless it is a list; a relative path would be taken from core's folder.
        let runner = format!("target.{WASI}.runner = ['node', '--no-warnings', '{}']", root().join(runner).display());
        let mut command = cross_cargo();
        command.arg("test").args(core_tests::PACKAGES).args(["--lib", "--target", WASI, "--config", &runner]);
        tests(&mut command, counts)
    });
    steps.optional_step("core's tests in a browser", |counts| {
        ensure_target(WASM)?;
        let (runner, chromedriver) = (ensure_test_runner()?, ensure_chromedriver()?);
        let runner = format!("target.{WASM}.runner = ['{runner}']");
        let mut command = cross_cargo();
        command.args(["test", "--package", "inkling-core", "--test", core_tests::WEB, "--target", WASM]);
        on_path(command.args(["--config", &runner]).env("CHROMEDRIVER", chromedriver))?;
        tests(command.env("WASM_BINDGEN_TEST_TIMEOUT", BROWSER_SECONDS), counts)
    });
    let mut page = None;
    steps.optional_step("the page builds within its budgets", |_| {
        page = Some(dist::build(false)?);
        Ok(())
    });
    if let Some(page) = page {
        steps.optional_step("the page in a browser", |counts| {
            let (chromedriver, axe) = (ensure_chromedriver()?, ensure_axe()?);
            let mut command = cargo();
            command.args(["test", "--package", "page", "--features", PAGE_TESTS, "--test", "browser"]);
            // Two browsers at a time: more would wait for each other. What they measure is shown.
            command.args(["--", "--test-threads", "2", "--nocapture"]);
            command.env("CHROMEDRIVER", chromedriver).env("INKLING_AXE", axe).env("INKLING_DIST", page);
            tests(&mut command, counts)
        });
    }
    print!("{}", steps.report());
    if steps.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether GPU tests can run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gpu {
    /// They say that they are skipped.
    Absent,
    /// A driver is there: one that gives no adapter is a failure, not a reason to skip.
    Required,
}

impl Gpu {
    /// Tells the tests.
    fn tell(self, command: &mut Command) -> &mut Command {
        if self == Self::Required { command.env("INKLING_REQUIRE_GPU", "1") } else { command }
    }
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
