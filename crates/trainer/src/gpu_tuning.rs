//! `gpu-tuning.json` in the cache folder: what was measured about kernels on each adapter of this machine, so that it is measured
//! once.
//!
//! ```text
//! { "NVIDIA RTX 4090 (Vulkan, discrete)": …, … }      by adapter, as core writes it
//! ```
//!
//! Nothing here is worth an error: without the file everything is measured again. It is replaced as a whole; of two trainers that end at the
//! same time one forgets what the other measured.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::atomic_file;
use crate::cache_folder;
use crate::error::Result;
use crate::terminal::Terminal;

const FILE: &str = "gpu-tuning.json";

/// The file.
#[derive(Debug)]
pub struct TuningFile {
    path: PathBuf,
}

impl TuningFile {
    /// In the cache folder.
    pub fn locate() -> Result<Self> {
        Ok(Self::in_folder(&cache_folder::locate()?))
    }

    fn in_folder(cache: &Path) -> Self {
        Self { path: cache.join(FILE) }
    }

    /// What is known of an adapter. A file or an entry that nobody here wrote is ignored, with a remark.
    pub fn load<T: DeserializeOwned>(&self, adapter: &str, terminal: &Terminal) -> Option<T> {
        let ignore = |problem: String| {
            terminal.note(&format!("ignoring {}: {problem}; kernels are measured again", self.path.display()));
        };
        let entry = self.entries().map_err(&ignore).ok()?.remove(adapter)?;
        serde_json::from_value(entry).map_err(|problem| ignore(problem.to_string())).ok()
    }

    /// Keeps what is known of an adapter, beside what is known of others; writes nothing where that is no news.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, adapter: &str, tuning: &impl Serialize) -> Result<()> {
        let mut entries = self.entries().unwrap_or_default();
        let tuning = serde_json::to_value(tuning).expect("measurements are plain data");
        if entries.get(adapter) == Some(&tuning) {
            return Ok(());
        }
        entries.insert(adapter.into(), tuning);
        let text = serde_json::to_string_pretty(&entries).expect("an object of plain data");
        atomic_file::write(&self.path, (text + "\n").as_bytes())
    }

    fn entries(&self) -> std::result::Result<Map<String, Value>, String> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|problem| problem.to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_of_an_adapter_is_found_again_beside_that_of_others() {
        let cache = tempfile::tempdir().unwrap();
        let terminal = Terminal::new(false, true);
        let file = TuningFile::in_folder(&cache.path().join("new"));
        assert_eq!(file.load::<Vec<u32>>("a", &terminal), None);
        file.save("a", &[1, 2]).unwrap();
        file.save("b", &[3]).unwrap();
        file.save("a", &[4]).unwrap();
        assert_eq!(file.load("a", &terminal), Some(vec![4]));
        assert_eq!(file.load("b", &terminal), Some(vec![3]));
    }

    #[test]
    fn damage_is_ignored_and_repaired_by_the_next_save() {
        let cache = tempfile::tempdir().unwrap();
        let terminal = Terminal::new(false, true);
        let file = TuningFile::in_folder(cache.path());
        for damage in ["", "{", "[]", "{\"a\": \"words\"}", "\u{0}\u{0}"] {
            fs::write(cache.path().join(FILE), damage).unwrap();
            assert_eq!(file.load::<Vec<u32>>("a", &terminal), None, "{damage}");
        }
        file.save("a", &[4]).unwrap();
        assert_eq!(file.load("a", &terminal), Some(vec![4]));
    }
}
