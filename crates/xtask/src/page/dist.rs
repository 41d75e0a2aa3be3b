//! `cargo xtask dist`: the page as a folder that any static host can serve, at its root or below it: all addresses in it are relative.

use std::fs;
use std::path::{Path, PathBuf};

use super::finish::{DOCUMENT, SERVICE_WORKER, about, read_folder};
use super::{budgets, prepare, trunk};
use crate::error::{Error, Result};
use crate::process::{self, root};

/// Where trunk leaves it (Trunk.toml).
const BUILT: &str = "target/dist";

/// Where to.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder to write; one of an earlier build is replaced
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
}

/// Builds, checks the sizes, writes.
pub fn run(arguments: &Arguments) -> Result<()> {
    // Of the caller's own folder, not of the workspace.
    let out = std::path::absolute(&arguments.out).map_err(about(&arguments.out))?;
    check_replaceable(&out)?;
    let built = build()?;
    if out.exists() {
        fs::remove_dir_all(&out).map_err(about(&out))?;
    }
    copy(&built, &out)?;
    println!("the page is in {}: any static host can serve it", out.display());
    Ok(())
}

/// The page, within its budgets. Returns where it is.
pub fn build() -> Result<PathBuf> {
    prepare()?;
    process::run(trunk("build")?.arg("--release"))?;
    let built = root().join(BUILT);
    budgets::check(&read_folder(&built)?)?;
    Ok(built)
}

/// Only an earlier page may be replaced, never a folder named by mistake.
fn check_replaceable(folder: &Path) -> Result<()> {
    let empty = !folder.exists() || folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let page = [DOCUMENT, SERVICE_WORKER].iter().all(|name| folder.join(name).is_file());
    if empty || page {
        return Ok(());
    }
    Err(Error::Usage(format!("{} holds something else than a page: choose another folder", folder.display())))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(about(to))?;
    for entry in fs::read_dir(from).map_err(about(from))? {
        let path = entry.map_err(about(from))?.path();
        let target = to.join(path.file_name().expect("an entry of a folder has a name"));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(about(&target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_page_is_never_replaced() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        check_replaceable(&here.join("nowhere")).unwrap();
        let message = check_replaceable(here).unwrap_err().to_string();
        assert!(message.contains("holds something else than a page"), "{message}");
        assert!(check_replaceable(&here.join("Cargo.toml")).is_err());
    }
}
