//! A driver for the GPU tests. Windows and macOS bring one; on Linux a machine without a graphics card gets Mesa's lavapipe, which runs
//! Vulkan on the processor.

use std::env;
use std::path::{Path, PathBuf};

use crate::apt;
use crate::error::Result;

/// By these variables Vulkan's loader is told of drivers (`VK_ICD_FILENAMES` is the old name).
const VARIABLES: [&str; 3] = ["VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Installs lavapipe if there is no Vulkan driver.
pub fn ensure_driver() -> Result<()> {
    if !cfg!(target_os = "linux") || VARIABLES.iter().any(|name| env::var_os(name).is_some()) {
        return Ok(());
    }
    if search_path().iter().any(|folder| has_driver(folder)) {
        return Ok(());
    }
    let remedy = "install your graphics card's Vulkan driver, or Mesa's lavapipe (package `mesa-vulkan-drivers`, `vulkan-swrast` \
                  or similar)";
    apt::install("a Vulkan driver", &["mesa-vulkan-drivers"], remedy)
}

/// Where Vulkan's loader looks for drivers.
fn search_path() -> Vec<PathBuf> {
    let list = |name: &str, default: &str| {
        let value = env::var_os(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into());
        env::split_paths(&value).collect::<Vec<_>>()
    };
    let mut folders = list("XDG_DATA_DIRS", "/usr/local/share:/usr/share");
    folders.extend(list("XDG_CONFIG_DIRS", "/etc/xdg"));
    folders.extend(["/etc", "/usr/local/etc", "/run/opengl-driver/share"].map(PathBuf::from));
    folders.extend(env::home_dir().map(|home| home.join(".local/share")));
    folders.into_iter().map(|folder| folder.join("vulkan/icd.d")).collect()
}

/// Whether the folder describes a driver.
fn has_driver(folder: &Path) -> bool {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|end| end == "json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_a_json_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(has_driver(&folder.join("../core")), "core's folder has webdriver.json");
        assert!(!has_driver(folder));
        assert!(!has_driver(&folder.join("nowhere")));
    }

    #[test]
    fn the_loaders_folders_are_searched() {
        assert!(search_path().contains(&PathBuf::from("/etc/vulkan/icd.d")));
    }
}
