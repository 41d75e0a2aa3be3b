//! Programs that cargo installs: of exactly the version that is wanted, on the path or in `target/tools`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Result};
use crate::process::{capture, cargo, program, root, run, succeeds};

/// Builds the page. Later versions may name and place files otherwise.
pub const TRUNK: &str = "0.21.14";

/// A program and the package it is from.
struct Tool<'a> {
    program: &'a str,
    package: &'a str,
    version: &'a str,
    /// How long its installation takes.
    patience: &'a str,
}

/// What builds the page: trunk, and wasm-bindgen of the version that the page is linked with.
pub fn ensure_page_tools() -> Result<()> {
    let version = wasm_bindgen_version()?;
    let trunk = Tool { program: "trunk", package: "trunk", version: TRUNK, patience: "some 10 minutes, once" };
    ensure(&trunk)?;
    ensure(&wasm_bindgen("wasm-bindgen", &version))
}

/// What runs tests in a browser; the program is [`on_path`].
pub fn ensure_test_runner() -> Result<&'static str> {
    let runner = "wasm-bindgen-test-runner";
    ensure(&wasm_bindgen(runner, &wasm_bindgen_version()?))?;
    Ok(runner)
}

fn wasm_bindgen<'a>(program: &'a str, version: &'a str) -> Tool<'a> {
    Tool { program, package: "wasm-bindgen-cli", version, patience: "a few minutes, once" }
}

/// Gives a command, and all that it starts, the tools in `target/tools` before those of the path.
pub fn on_path(command: &mut Command) -> Result<&mut Command> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder().join("bin")).chain(env::split_paths(&path));
    let joined: OsString = env::join_paths(folders)
        .map_err(|problem| Error::Usage(format!("the workspace's own folder cannot be put on the path: {problem}")))?;
    Ok(command.env("PATH", joined))
}

fn folder() -> PathBuf {
    root().join("target/tools")
}

fn ensure(tool: &Tool) -> Result<()> {
    if is_there(tool)? {
        return Ok(());
    }
    let Tool { program, package, version, patience } = tool;
    println!("{program} {version} is not there: building {package} into target/tools ({patience})");
    let install = |locked: &[&str]| {
        let exact = format!("={version}");
        let mut command = cargo();
        command.args(["install", "--force", package, "--version", &exact]).args(locked);
        run(command.arg("--root").arg(folder()))
    };
    // A registry's mirror may lack a version that the package was published with; another of the same compatibility will do.
    install(&["--locked"]).or_else(|_| install(&[])).map_err(|error| Error::Missing {
        what: format!("{package} {version}"),
        remedy: format!("{error}; repeat it when there is a network"),
    })?;
    if is_there(tool)? {
        Ok(())
    } else {
        Err(Error::Disagreement(format!("{program} does not say that it is {version}")))
    }
}

fn is_there(tool: &Tool) -> Result<bool> {
    let mut command = program(tool.program);
    on_path(command.arg("--version"))?;
    let told = |text: String| text.trim() == format!("{} {}", tool.program, tool.version);
    let mut silent = program(tool.program);
    on_path(silent.arg("--version"))?;
    Ok(succeeds(&mut silent) && capture(&mut command).is_ok_and(told))
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

    #[test]
    fn trunk_by_itself_asks_for_no_less_than_is_installed() {
        let settings = include_str!("../../../Trunk.toml");
        assert!(settings.contains(&format!("trunk-version = \">={TRUNK}\"")));
    }
}
