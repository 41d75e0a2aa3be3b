//! A folder for a model that is handed on: written as a whole, and never over anything but such a model.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use inkling_core::checkpoint::{CONFIG_FILE, MODEL_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE};

use crate::error::{Error, Result};
use crate::run_folder::is_slot;
use crate::run_folder::replace::{self, Disk};

/// All that such a folder may hold.
const FILES: [&str; 4] = [CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE];

/// A folder that may be written.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    overwrite: bool,
}

impl ModelFolder {
    /// Looks whether the folder is free, or holds a model and may be overwritten. Changes nothing.
    ///
    /// # Errors
    /// [`Error::ModelExists`], [`Error::NotAModel`].
    pub fn open(path: &Path, overwrite: bool) -> Result<Self> {
        // The name alone, without a slash behind it: others are made of it.
        let path: PathBuf = path.components().collect();
        if path.file_name().is_none() {
            return Err(Error::NotAModel { path, entry: "other folders".into() });
        }
        let folder = Self { path, overwrite };
        folder.check()?;
        Ok(folder)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the folder by one with these files (name and content). On failure the previous one is intact.
    ///
    /// # Errors
    /// Those of [`Self::open`], if somebody has written there since; what the disk says.
    pub fn write(&self, files: &[(String, Vec<u8>)]) -> Result<()> {
        self.check()?;
        if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
        }
        replace::replace(&Disk, &self.path, files)
    }

    fn check(&self) -> Result<()> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("use the folder", &self.path)(error)),
        };
        if is_slot(&self.path) {
            return Err(Error::NotAModel { path: self.path.clone(), entry: "the checkpoint of a run".into() });
        }
        let mut is_empty = true;
        for entry in entries {
            let name = entry.map_err(Error::io("read", &self.path))?.file_name();
            if !FILES.iter().any(|file| name == *file) {
                return Err(Error::NotAModel { path: self.path.clone(), entry: name.to_string_lossy().into_owned() });
            }
            is_empty = false;
        }
        if is_empty || self.overwrite { Ok(()) } else { Err(Error::ModelExists { path: self.path.clone() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Vec<(String, Vec<u8>)> {
        FILES.iter().map(|&file| (file.into(), text.into())).collect()
    }

    #[test]
    fn a_model_is_replaced_only_on_request_and_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("models/a");
        ModelFolder::open(&path, false).unwrap().write(&files("old")).unwrap();
        let error = ModelFolder::open(&path, false).unwrap_err();
        assert!(matches!(error, Error::ModelExists { .. }) && error.exit_code() == 2, "{error}");
        // A slash behind the name is not a part of it.
        let folder = ModelFolder::open(&parent.path().join("models/a/"), true).unwrap();
        folder.write(&files("new")[..2]).unwrap();
        assert_eq!(fs::read(path.join(CONFIG_FILE)).unwrap(), b"new");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_model_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let run = parent.path().join("run");
        fs::create_dir_all(run.join("best")).unwrap();
        for (path, entry) in [(&run, "best"), (&parent.path().to_owned(), "run"), (&PathBuf::from("/"), "folders")] {
            let error = ModelFolder::open(path, true).unwrap_err();
            assert!(matches!(error, Error::NotAModel { .. }) && error.to_string().contains(entry), "{error}");
        }
        fs::write(parent.path().join("file"), "x").unwrap();
        assert!(ModelFolder::open(&parent.path().join("file"), true).is_err());
        assert!(ModelFolder::open(&parent.path().join("missing"), false).is_ok());
        assert!(!parent.path().join("missing").exists());
    }

    #[test]
    fn somebody_who_was_faster_is_not_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let folder = ModelFolder::open(&path, false).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        assert!(folder.write(&files("new")).is_err());
        assert_eq!(fs::read(path.join("notes.txt")).unwrap(), b"mine");
    }
}
