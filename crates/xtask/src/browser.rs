//! The browser that tests run in: Chromium or Chrome, started by its chromedriver; and axe-core, which judges there how accessible a page is.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apt;
use crate::error::{Error, Result};
use crate::process::{program, root, run, succeeds};

/// New versions find more: a page that passed may fail.
const AXE: &str = "4.14.1";

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

/// The file of axe-core: in `target/tools`, or fetched there with npm.
pub fn ensure_axe() -> Result<PathBuf> {
    let folder = root().join("target/tools/axe");
    let package = folder.join("node_modules/axe-core");
    if !is_axe(&package) {
        println!("axe-core {AXE} is not there: fetching it into target/tools with npm");
        // Without this file npm looks for a project in the folders above.
        let project = folder.join("package.json");
        let unwritable = |source| Error::File { file: project.display().to_string(), source };
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&project, "{ \"private\": true }\n"))
            .map_err(unwritable)?;
        let mut npm = program("npm");
        npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        run(npm.arg(format!("axe-core@{AXE}"))).map_err(|error| Error::Missing {
            what: format!("axe-core {AXE}"),
            remedy: format!("{error}; install Node with npm, or repeat it when there is a network"),
        })?;
    }
    Ok(package.join("axe.min.js"))
}

fn is_axe(package: &Path) -> bool {
    let about = fs::read(package.join("package.json")).unwrap_or_default();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap_or_default();
    about["version"] == AXE && package.join("axe.min.js").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_or_none_is_not_axe() {
        assert!(!is_axe(Path::new("nowhere")));
        let folder = root().join("target/test-axe");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("axe.min.js"), "").unwrap();
        for (version, expected) in [("4.0.0", false), (AXE, true)] {
            fs::write(folder.join("package.json"), format!("{{\"version\": \"{version}\"}}")).unwrap();
            assert_eq!(is_axe(&folder), expected);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
