//! What runs tests in a browser: `wasm-bindgen-test-runner`, of exactly the version that the wasm was linked with, and chromedriver, which
//! starts Chromium or Chrome.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apt;
use crate::error::{Error, Result};
use crate::process::{capture, cargo, program, root, run, succeeds};

const RUNNER: &str = "wasm-bindgen-test-runner";

/// The test runner: on the path, in `target/tools`, or built there (a few minutes, once).
pub fn ensure_runner() -> Result<PathBuf> {
    let version = wasm_bindgen_version()?;
    let tools = root().join("target/tools");
    let ours = tools.join("bin").join(RUNNER).with_extension(env::consts::EXE_EXTENSION);
    for runner in [PathBuf::from(RUNNER), ours.clone()] {
        if is_version(&runner, &version) {
            return Ok(runner);
        }
    }
    println!("building wasm-bindgen-cli {version} into {}: a few minutes, once", tools.display());
    let install = |locked: &[&str]| {
        let exact = format!("={version}");
        let mut command = cargo();
        command.args(["install", "--force", "wasm-bindgen-cli", "--version", &exact]).args(locked);
        run(command.arg("--root").arg(&tools))
    };
    // A registry's mirror may lack a version that the package was published with; another of the same compatibility will do.
    install(&["--locked"]).or_else(|_| install(&[])).map_err(|error| Error::Missing {
        what: format!("wasm-bindgen-cli {version}"),
        remedy: format!("{error}; repeat it when there is a network"),
    })?;
    Ok(ours)
}

/// Chromedriver: where `CHROMEDRIVER` says, on the path, or installed with its browser.
pub fn ensure_chromedriver() -> Result<OsString> {
    let named = env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
    if !succeeds(program(&named).arg("--version")) {
        let remedy = "install Chrome or Chromium with the chromedriver of the same version \
                      (https://googlechromelabs.github.io/chrome-for-testing), and put it on the path or in CHROMEDRIVER";
        apt::install("chromedriver", &["chromium", "chromium-driver"], remedy)?;
    }
    Ok(named)
}

/// The version of wasm-bindgen that cargo links.
fn wasm_bindgen_version() -> Result<String> {
    let file = root().join("Cargo.lock");
    let shown = file.display().to_string();
    let lock = fs::read_to_string(file).map_err(|source| Error::File { file: shown.clone(), source })?;
    let version = locked_version(&lock, "wasm-bindgen");
    version.map(Into::into).ok_or_else(|| Error::Output { command: shown, problem: "names no wasm-bindgen".into() })
}

/// A package's version in the text of a Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = \"{package}\""))?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn is_version(runner: &Path, version: &str) -> bool {
    let mut command = program(runner);
    command.arg("--version");
    succeeds(&mut command) && capture(&mut command).is_ok_and(|text| text.trim() == format!("{RUNNER} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"wasm-bindgen\"\n\
                    version = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wgpu"), None);
    }

    #[test]
    fn this_workspace_links_wasm_bindgen() {
        assert!(wasm_bindgen_version().unwrap().starts_with("0.2."));
    }
}
