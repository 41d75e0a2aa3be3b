//! Models in the cache: a folder per commit with a list of what has arrived.
//!
//! ```text
//! models/<org>--<name>/<commit>/             config.json, tokenizer.json, model.safetensors (or index and shards)
//! models/<org>--<name>/<commit>/files.json   {"complete": true, "files": {"config.json": {"bytes": 665, "sha256": "…"}, …}}
//! models/<org>--<name>/refs/<revision>       the commit that a branch or tag was at
//! ```
//!
//! Later uses compare sizes only: hashing gigabytes each time would cost more than it could find, and what a disk damages the reader of the
//! weights refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::name::{ModelName, is_part};
use super::transfer::Arrived;
use crate::atomic_file;
use crate::error::{Error, Result};

/// The list's name.
const LIST: &str = "files.json";

/// What has arrived of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    /// Whether that is all.
    complete: bool,
    files: BTreeMap<String, Arrived>,
}

/// One commit of a model in the cache.
#[derive(Debug)]
pub struct Snapshot {
    /// Its folder.
    pub folder: PathBuf,
    /// The commit.
    pub commit: String,
    reference: PathBuf,
    list: List,
}

impl Snapshot {
    /// The commit that the name's revision was at when it was fetched last.
    pub fn latest(cache: &Path, name: &ModelName) -> Option<Self> {
        let commit = fs::read_to_string(reference(cache, name)).ok()?;
        is_part(&commit).then(|| Self::of(cache, name, commit))
    }

    /// A commit, of which all or nothing may be there.
    pub fn of(cache: &Path, name: &ModelName, commit: String) -> Self {
        let folder = model(cache, name).join(&commit);
        let list = fs::read(folder.join(LIST)).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Self { folder, commit, reference: reference(cache, name), list: list.unwrap_or_default() }
    }

    /// Whether all its files are there.
    pub fn is_complete(&self) -> bool {
        self.list.complete && self.list.files.keys().all(|file| self.has(file))
    }

    /// Whether this file is there, as long as it was when it arrived.
    pub fn has(&self, file: &str) -> bool {
        let expected = self.list.files.get(file).filter(|_| Path::new(file).components().count() == 1);
        expected.is_some_and(|expected| {
            self.folder.join(file).metadata().is_ok_and(|found| found.is_file() && found.len() == expected.bytes)
        })
    }

    /// What has arrived, by name.
    pub fn files(&self) -> &BTreeMap<String, Arrived> {
        &self.list.files
    }

    /// Creates its folder.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(Error::io("create the folder", &self.folder))
    }

    /// Takes note of a file.
    pub fn add(&mut self, file: &str, arrived: Arrived) -> Result<()> {
        self.list.files.insert(file.into(), arrived);
        self.save()
    }

    /// Takes note that nothing is missing, and that the revision is at this commit.
    pub fn finish(&mut self) -> Result<()> {
        self.list.complete = true;
        self.save()?;
        atomic_file::write(&self.reference, self.commit.as_bytes())
    }

    fn save(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.list).expect("a list of files is plain data");
        atomic_file::write(&self.folder.join(LIST), &json)
    }
}

fn model(cache: &Path, name: &ModelName) -> PathBuf {
    cache.join("models").join(name.folder())
}

fn reference(cache: &Path, name: &ModelName) -> PathBuf {
    model(cache, name).join("refs").join(&name.revision)
}
