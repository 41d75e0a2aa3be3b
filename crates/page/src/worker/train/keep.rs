//! Keeping a run in the browser so that a crash at any moment leaves a good one.
//!
//! ```text
//! last-7, best-5, text-1    archives: the run's files, those that change together in one; never written over while they count
//! at20-2, at50-3            models to be looked at, each in one
//! manifest-0, manifest-1    written in turn, after the archives that they name, and the newer one that holds counts
//! ```
//!
//! A manifest names archives with length and seal (a checksum of an archive's directory, which has the checksums of its files), and ends with a
//! checksum of its own. What neither manifest names is removed at the end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::store::{Place, Store, Trouble};
use crate::protocol::Failure;
use crate::protocol::train::KeptRun;
use crate::worker::zip;

/// What a folder's manifest says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Counts what was kept: of two, the higher one is newer.
    pub generation: u64,
    /// What the visitor called the run.
    pub name: String,
    /// Updates done, and in all.
    pub steps: (u64, u64),
    /// Best validation loss.
    pub best: Option<f64>,
    /// Milliseconds since 1970.
    pub when: f64,
    /// The archives that the run is in.
    pub archives: Vec<Archive>,
}

/// A file that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    file: String,
    bytes: u64,
    seal: u32,
}

impl Manifest {
    fn slot(generation: u64) -> &'static str {
        ["manifest-0", "manifest-1"][(generation % 2) as usize]
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a manifest is plain data");
        let checksum = zip::crc32(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (json, checksum) = bytes.split_last_chunk()?;
        (zip::crc32(json).to_le_bytes() == *checksum).then(|| serde_json::from_slice(json).ok())?
    }

    /// For the page.
    pub fn card(&self, folder: String) -> KeptRun {
        KeptRun {
            folder,
            name: self.name.clone(),
            steps: self.steps,
            best: self.best,
            bytes: self.archives.iter().map(|archive| archive.bytes).sum(),
            when: self.when,
        }
    }
}

/// The manifests of a folder, the newer one first.
///
/// # Errors
/// What the browser says.
pub async fn manifests(place: &Place, folder: &str) -> Result<Vec<Manifest>, Trouble> {
    let mut found = Vec::new();
    for generation in [0, 1] {
        let bytes = place.read(folder, Manifest::slot(generation)).await?;
        found.extend(bytes.and_then(|bytes| Manifest::parse(&bytes)));
    }
    found.sort_by_key(|manifest| std::cmp::Reverse(manifest.generation));
    Ok(found)
}

/// The files of a run, by the newest manifest whose archives are whole.
///
/// # Errors
/// No such run; what the browser says.
pub async fn read(place: &Place, folder: &str) -> Result<(Manifest, BTreeMap<String, Vec<u8>>), Failure> {
    for manifest in manifests(place, folder).await? {
        if let Some(files) = files(place, folder, &manifest).await? {
            return Ok((manifest, files));
        }
    }
    Err(Failure::input("The browser has this run no more: it may have cleared this page's files to make room."))
}

async fn files(place: &Place, folder: &str, manifest: &Manifest) -> Result<Option<BTreeMap<String, Vec<u8>>>, Trouble> {
    let mut files = BTreeMap::new();
    for Archive { file, bytes, seal } in &manifest.archives {
        let Some(archive) = place.read(folder, file).await? else { return Ok(None) };
        if archive.len() as u64 != *bytes || zip::seal(&archive) != Some(*seal) {
            return Ok(None);
        }
        let Ok(unpacked) = zip::contents(&archive, usize::MAX) else { return Ok(None) };
        files.extend(unpacked);
    }
    Ok(Some(files))
}

/// A run that is being kept, an archive at a time.
pub struct Keeping {
    manifest: Manifest,
    /// Archives that are not written yet.
    waiting: Vec<(String, Vec<u8>)>,
}

/// The end of a [`Keeping`], or not yet.
pub enum Progress {
    /// There is more to do.
    Partly,
    /// The run is kept.
    Done(Manifest),
}

impl Keeping {
    /// Keeps what is in `manifest`, of which `same` archives are there already, with `new` ones, by their stem.
    pub fn new(mut manifest: Manifest, same: Vec<Archive>, new: Vec<(String, Vec<u8>)>) -> Self {
        let mut waiting = Vec::new();
        manifest.archives = same;
        for (stem, bytes) in new {
            let file = format!("{stem}-{}", manifest.generation);
            let seal = zip::seal(&bytes).expect("it was packed just now");
            manifest.archives.push(Archive { file: file.clone(), bytes: bytes.len() as u64, seal });
            waiting.push((file, bytes));
        }
        waiting.reverse();
        Self { manifest, waiting }
    }

    /// Writes an archive, or the manifest behind them.
    ///
    /// # Errors
    /// What the browser says; the run is kept as before then.
    pub async fn advance(&mut self, place: &Place, folder: &str) -> Result<Progress, Trouble> {
        if let Some((file, bytes)) = self.waiting.pop() {
            place.write(folder, &file, &bytes).await?;
            return Ok(Progress::Partly);
        }
        place.write(folder, Manifest::slot(self.manifest.generation), &self.manifest.write()).await?;
        // The run is kept from here on: what cannot be removed is removed next time.
        let _ = tidy(place, folder).await;
        Ok(Progress::Done(self.manifest.clone()))
    }
}

impl Manifest {
    /// An archive of a stem that this names.
    pub fn archive(&self, stem: &str) -> Option<Archive> {
        let is_it = |archive: &&Archive| archive.file.rsplit_once('-').is_some_and(|(of, _)| of == stem);
        self.archives.iter().find(is_it).cloned()
    }
}

/// Removes what no manifest names.
async fn tidy(place: &Place, folder: &str) -> Result<(), Trouble> {
    let manifests = manifests(place, folder).await?;
    let named =
        |file: &str| manifests.iter().any(|manifest| manifest.archives.iter().any(|archive| archive.file == file));
    for file in place.files(folder).await? {
        if ["last-", "best-", "text-", "at"].iter().any(|stem| file.starts_with(stem)) && !named(&file) {
            place.remove(folder, &file).await?;
        }
    }
    Ok(())
}
