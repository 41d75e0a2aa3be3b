//! npm's `@genai-fi/nanogpt`, the one that trains in a browser: TensorFlow.js with kernels of its own, all in its package.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::process::{capture, program, root, run};

const NAME: &str = "@genai-fi/nanogpt";

/// The version that is measured.
pub const VERSION: &str = "1.3.0";

/// Where the server has what a page imports.
pub const PROGRAM: &str = "/nanogpt/dist/main.js";

/// The package's folder: in `target/tools`, or fetched there with npm.
pub fn ensure() -> Result<PathBuf> {
    let folder = root().join("target/tools/nanogpt");
    let package = folder.join("package");
    if is_it(&package) {
        return Ok(package);
    }
    println!("{NAME} {VERSION} is not there: fetching it into target/tools with npm");
    fs::create_dir_all(&folder).map_err(|source| Error::File { file: folder.display().to_string(), source })?;
    fetch(&folder).map_err(|error| Error::Missing {
        what: format!("{NAME} {VERSION}"),
        remedy: format!("{error}; install Node with npm, and tar, or repeat it when there is a network"),
    })?;
    if is_it(&package) {
        return Ok(package);
    }
    Err(Error::Disagreement(format!("npm's package has no {}", package.join("dist/main.js").display())))
}

/// The package alone: what it depends on is for those who build it, and takes 400 MB.
fn fetch(folder: &Path) -> Result<()> {
    let mut npm = program("npm");
    let npm = npm.args(["pack", &format!("{NAME}@{VERSION}"), "--silent", "--ignore-scripts", "--pack-destination"]);
    let archive = capture(npm.arg(folder))?;
    let archive = archive.lines().last().unwrap_or_default().trim().to_owned();
    run(program("tar").arg("-xzf").arg(folder.join(archive)).arg("-C").arg(folder))
}

fn is_it(package: &Path) -> bool {
    let about = fs::read(package.join("package.json")).unwrap_or_default();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap_or_default();
    about["version"] == VERSION && package.join("dist/main.js").is_file()
}
