//! A model's folder from a server.
//!
//! Beside the page: `manifest.json`, then every file at once, each checked by its SHA-256 and kept for later visits. Elsewhere: `config.json`, then
//! (if the model it tells of fits into memory) the vocabulary and the weights, in one file or in several. What fails by chance is tried
//! again, twice.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::future::join_all;
use inkling_core::checkpoint::{CONFIG_FILE, INDEX_FILE, MODEL_FILE, TOKENIZER_FILE, read_config, read_shard_names};

use super::Folder;
use super::address::Address;
use super::manifest::{Listed, MANIFEST_FILE, Manifest};
use super::server::{Refusal, Server};
use crate::protocol::Failure;
use crate::protocol::model::{LoadProgress, Origin};
use crate::worker::model::{MEMORY, needed};

/// Milliseconds before the second try and the third.
const PAUSES: [u32; 2] = [600, 2400];

/// Largest file of words about a model.
const MOST_JSON: u64 = 64 << 20;

/// Fetches a folder.
///
/// # Errors
/// What is missing, unreachable, damaged or too large.
pub async fn folder(server: &impl Server, typed: &str, heard: &dyn Fn(LoadProgress)) -> Result<Folder, Failure> {
    let address = Address::parse(typed)?;
    let progress =
        Progress { name: RefCell::new(address.name.clone()), files: RefCell::default(), total: 0.into(), heard };
    let download = Download { server, address, progress };
    if download.address.ours { download.ours().await } else { download.foreign().await }
}

/// A model for which there is no room.
pub fn too_large(bytes: u64) -> Failure {
    let gigabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e9);
    Failure::input(format!(
        "This model needs about {} GB of memory, and a tab has {} GB at most: take a smaller one.",
        gigabytes(bytes),
        gigabytes(MEMORY)
    ))
}

struct Progress<'a> {
    name: RefCell<String>,
    /// Bytes so far and in all, by file.
    files: RefCell<BTreeMap<String, (u64, Option<u64>)>>,
    /// Bytes of all files, if a manifest told; else 0.
    total: std::cell::Cell<u64>,
    heard: &'a dyn Fn(LoadProgress),
}

impl Progress<'_> {
    fn set(&self, file: &str, received: u64, total: Option<u64>) {
        self.files.borrow_mut().insert(file.to_owned(), (received, total));
        self.tell(None);
    }

    fn tell(&self, again: Option<String>) {
        let files = self.files.borrow();
        let known = files.values().try_fold(0, |sum, (_, total)| total.map(|total| sum + total));
        (self.heard)(LoadProgress {
            name: self.name.borrow().clone(),
            received: files.values().map(|(received, _)| received).sum(),
            total: if self.total.get() > 0 { Some(self.total.get()) } else { known },
            again,
        });
    }
}

struct Download<'a, S> {
    server: &'a S,
    address: Address,
    progress: Progress<'a>,
}

impl<S: Server> Download<'_, S> {
    fn address_of(&self, file: &str) -> String {
        format!("{}/{file}", self.address.folder)
    }

    /// A folder with a manifest.
    async fn ours(&self) -> Result<Folder, Failure> {
        let key = self.address_of(MANIFEST_FILE);
        let json = match self.get(MANIFEST_FILE, false, MOST_JSON).await {
            Ok(json) => {
                self.server.keep(&key, &json).await;
                json
            }
            // Without a connection, what an earlier visit left has to do.
            Err(refusal @ Refusal::Unreachable(_)) => {
                self.server.kept(&key).await.ok_or_else(|| refusal.failure(&key))?
            }
            Err(Refusal::Missing) => {
                return Err(Failure::network(format!(
                    "There is no model at {}: it would have a {MANIFEST_FILE} there. For a model elsewhere, give the whole \
                     address with https://.",
                    self.address.folder
                )));
            }
            Err(refusal) => return Err(refusal.failure(&key)),
        };
        let manifest = Manifest::parse(&json)?;
        self.progress.files.borrow_mut().clear();
        *self.progress.name.borrow_mut() = manifest.name.clone();
        self.progress.total.set(manifest.bytes());
        self.progress.tell(None);
        let files = join_all(manifest.files.iter().map(|(file, listed)| self.listed(file, listed))).await;
        let mut folder = Folder::new(manifest.name.clone(), Origin::Checked { cached: true });
        for (file, got) in manifest.files.keys().zip(files) {
            let (bytes, was_kept) = got?;
            if !was_kept {
                folder.origin = Origin::Checked { cached: false };
            }
            folder.files.insert(file.clone(), bytes);
        }
        (folder.val_loss, folder.command) = (manifest.val_loss, manifest.command);
        Ok(folder)
    }

    /// A file that must be what the manifest says; also whether it was kept from an earlier visit.
    async fn listed(&self, file: &str, listed: &Listed) -> Result<(Vec<u8>, bool), Failure> {
        let key = format!("{}?sha256={}", self.address_of(file), listed.sha256);
        if let Some(bytes) = self.server.kept(&key).await
            && listed.is(&bytes)
        {
            self.progress.set(file, listed.bytes, Some(listed.bytes));
            return Ok((bytes, true));
        }
        // The second time past the browser's own cache, which may still have the file of an earlier release.
        for fresh in [false, true] {
            let bytes = match self.get(file, fresh, listed.bytes.max(MOST_JSON)).await {
                Ok(bytes) => bytes,
                Err(refusal) => return Err(refusal.failure(&self.address_of(file))),
            };
            if listed.is(&bytes) {
                self.server.keep(&key, &bytes).await;
                return Ok((bytes, false));
            }
        }
        Err(Failure::network(format!(
            "{} is not the file that {MANIFEST_FILE} lists: its SHA-256 differs, so it was damaged on the way, or the page is being updated \
             just now. Try again in a minute.",
            self.address_of(file)
        )))
    }

    /// A folder of whom it may concern.
    async fn foreign(&self) -> Result<Folder, Failure> {
        let mut folder = Folder::new(self.address.name.clone(), Origin::Address);
        let config = self.required(CONFIG_FILE, MOST_JSON).await?;
        let room = room(&config)?;
        folder.files.insert(CONFIG_FILE.into(), config);
        if let Some(tokenizer) = self.optional(TOKENIZER_FILE, MOST_JSON).await? {
            folder.files.insert(TOKENIZER_FILE.into(), tokenizer);
        }
        if let Some(model) = self.optional(MODEL_FILE, room).await? {
            folder.files.insert(MODEL_FILE.into(), model);
            return Ok(folder);
        }
        let Some(index) = self.optional(INDEX_FILE, MOST_JSON).await? else {
            return Err(Failure::network(format!(
                "There is neither {MODEL_FILE} nor {INDEX_FILE} at {}.",
                self.address.folder
            )));
        };
        let shards = read_shard_names(|_| Ok(Some(index.clone())))?;
        folder.files.insert(INDEX_FILE.into(), index);
        for shard in shards {
            let left = room.saturating_sub(folder.bytes());
            let bytes = self.required(&shard, left).await?;
            folder.files.insert(shard, bytes);
        }
        Ok(folder)
    }

    async fn required(&self, file: &str, most: u64) -> Result<Vec<u8>, Failure> {
        self.get(file, false, most).await.map_err(|refusal| refusal.failure(&self.address_of(file)))
    }

    async fn optional(&self, file: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.get(file, false, most).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Refusal::Missing) => Ok(None),
            Err(refusal) => Err(refusal.failure(&self.address_of(file))),
        }
    }

    /// A file, at the third try if need be.
    async fn get(&self, file: &str, fresh: bool, most: u64) -> Result<Vec<u8>, Refusal> {
        let address = self.address_of(file);
        let mut pauses = PAUSES.iter().enumerate();
        loop {
            let heard = |received, total| self.progress.set(file, received, total);
            let refusal = match self.server.get(&address, fresh, most, &heard).await {
                Ok(bytes) => return Ok(bytes),
                Err(refusal) => refusal,
            };
            self.progress.files.borrow_mut().remove(file);
            let Some((tries, &pause)) = pauses.next().filter(|_| refusal.may_pass()) else { return Err(refusal) };
            self.progress.tell(Some(format!(
                "no luck with {file}, trying again ({} of {})",
                tries + 2,
                PAUSES.len() + 1
            )));
            if !self.server.pause(pause).await {
                return Err(refusal);
            }
        }
    }
}

/// Bytes that a model's files may have, of what its configuration leaves of memory.
pub fn room(config: &[u8]) -> Result<u64, Failure> {
    let config = read_config(|file| Ok((file == CONFIG_FILE).then(|| config.to_vec())))?;
    let needed = needed(&config);
    MEMORY.checked_sub(needed).ok_or_else(|| too_large(needed))
}
