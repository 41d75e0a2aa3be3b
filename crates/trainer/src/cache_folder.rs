//! Where what was fetched or measured once is kept: the user's cache folder for `inkling` (`~/.cache/inkling` on Linux), or
//! `INKLING_CACHE` where that is set.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// The folder, which need not exist yet.
pub fn locate() -> Result<PathBuf> {
    match std::env::var_os("INKLING_CACHE").filter(|value| !value.is_empty()) {
        Some(folder) => Ok(folder.into()),
        None => {
            let folders = directories::ProjectDirs::from("", "", "inkling").ok_or(Error::NoCacheFolder)?;
            Ok(folders.cache_dir().to_owned())
        }
    }
}
