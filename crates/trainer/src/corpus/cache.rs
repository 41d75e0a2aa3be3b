//! Texts fetched from URLs: `urls/<key>-<SHA-256 of the text>.txt`, `key` = the start of the URL's own SHA-256.
//!
//! The name carries the checksum, so that one atomic write keeps both and a damaged file gives itself away.

use std::fs;
use std::path::{Path, PathBuf};

use inkling_core::hash::sha256;

use crate::atomic_file;
use crate::error::{Error, Result};

/// Hexadecimal digits of the key: 64 bits, beyond chance collisions.
const KEY_DIGITS: usize = 16;

/// The place of one URL's text.
pub struct Entry {
    folder: PathBuf,
    prefix: String,
}

/// A text found in the cache, not yet verified.
pub struct Cached {
    /// Where it lies.
    pub path: PathBuf,
    /// What its SHA-256 must be.
    pub sha256: String,
}

impl Entry {
    /// The entry of `url` in the cache folder.
    pub fn of_url(cache: &Path, url: &str) -> Self {
        let prefix = format!("{}-", &sha256(url.as_bytes())[..KEY_DIGITS]);
        Self { folder: cache.join("urls"), prefix }
    }

    /// The cached text, if there is one.
    pub fn find(&self) -> Result<Option<Cached>> {
        Ok(self.all()?.into_iter().next())
    }

    /// Keeps `text`, in place of any earlier one.
    pub fn store(&self, text: &[u8], sha256: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{}{sha256}.txt", self.prefix));
        atomic_file::write(&path, text)?;
        for earlier in self.all()? {
            if earlier.path != path {
                fs::remove_file(&earlier.path).map_err(Error::io("remove", &earlier.path))?;
            }
        }
        Ok(path)
    }

    fn all(&self) -> Result<Vec<Cached>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.folder)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("read", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(sha256) = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix(".txt")) {
                let sha256 = sha256.to_owned();
                found.push(Cached { path, sha256 });
            }
        }
        Ok(found)
    }
}
