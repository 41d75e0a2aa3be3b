//! A model's folder from a server.
//!
//! Beside the page: `manifest.json`, then every file at once, each checked by its SHA-256 and kept for later visits. Elsewhere: `config.json`, then
//! (if the model it tells of fits into memory) the vocabulary and the weights, in one file or in several. What fails by chance is tried
//! again, twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;

use futures_util::future::maybe_done;
use inkling_core::checkpoint::{CONFIG_FILE, INDEX_FILE, MODEL_FILE, TOKENIZER_FILE, parse_config, parse_shard_names};

use super::Folder;
use super::address::Address;
use super::manifest::{Listed, MANIFEST_FILE, Manifest};
use super::server::{Caching, Refusal, Server};
use crate::protocol::Failure;
use crate::protocol::model::{LoadProgress, Origin};
use crate::worker::model::{MEMORY, needed, too_large};

/// Milliseconds before the second try and the third.
const PAUSES: [u32; 2] = [600, 2400];

/// Largest file of words about a model.
pub const MOST_JSON: u64 = 64 << 20;

/// Fetches a folder.
///
/// # Errors
/// What is missing, unreachable, damaged or too large.
pub async fn folder(server: &impl Server, typed: &str, heard: &dyn Fn(LoadProgress)) -> Result<Folder, Failure> {
    let mut address = Address::parse(typed)?;
    address.ours &= server.is_ours(&address.folder);
    let progress =
        Progress { name: RefCell::new(address.name.clone()), files: RefCell::default(), total: 0.into(), heard };
    let download = Download { server, address, progress };
    if download.address.ours { download.ours().await } else { download.foreign().await }
}

struct Progress<'a> {
    name: RefCell<String>,
    /// Bytes so far and in all, by file.
    files: RefCell<BTreeMap<String, (u64, Option<u64>)>>,
    /// Bytes of all files, if a manifest or an index told; else 0.
    total: std::cell::Cell<u64>,
    heard: &'a dyn Fn(LoadProgress),
}

impl Progress<'_> {
    fn set(&self, file: &str, received: u64, total: Option<u64>) {
        // Only words about what is to come.
        if file == MANIFEST_FILE {
            return;
        }
        self.files.borrow_mut().insert(file.to_owned(), (received, total));
        self.tell(None);
    }

    fn tell(&self, again: Option<String>) {
        let files = self.files.borrow();
        // Before the weights nobody knows how much there is.
        let weights = files.keys().any(|file| file.ends_with(".safetensors"));
        let known = files.values().try_fold(0, |sum, (_, total)| total.map(|total| sum + total)).filter(|_| weights);
        let received = files.values().map(|(received, _)| received).sum();
        (self.heard)(LoadProgress {
            name: self.name.borrow().clone(),
            received,
            total: if self.total.get() > 0 { Some(self.total.get().max(received)) } else { known },
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
        let manifest = self.manifest().await?;
        *self.progress.name.borrow_mut() = manifest.name.clone();
        self.progress.total.set(manifest.bytes());
        self.progress.tell(None);
        let files = all(manifest.files.iter().map(|(file, listed)| self.listed(file, listed))).await;
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

    /// What the folder should hold. Without a connection, or where something else answers in the host's place, what an earlier visit left has
    /// to do.
    async fn manifest(&self) -> Result<Manifest, Failure> {
        let key = self.address_of(MANIFEST_FILE);
        let kept = self.server.kept(&key).await.and_then(|json| Manifest::parse(&json).ok());
        // Its files may be newer than what a cache has of it.
        let answer = match &kept {
            // Nobody needs to wait for a second try.
            Some(_) => self.server.get(&key, Caching::Confirmed, MOST_JSON, &|_, _| {}).await,
            None => self.get(MANIFEST_FILE, Caching::Confirmed, MOST_JSON).await,
        };
        let failure = match answer {
            Ok(json) => match Manifest::parse(&json) {
                Ok(manifest) => {
                    self.server.keep(&key, &json).await;
                    return Ok(manifest);
                }
                Err(failure) => failure,
            },
            Err(Refusal::Missing) => Failure::network(format!(
                "There is no model at {}: it would have a {MANIFEST_FILE} there. For a model elsewhere, give the whole address with \
                 https://.",
                self.address.folder
            )),
            Err(refusal) => refusal.failure(&key),
        };
        kept.ok_or(failure)
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
        for caching in [Caching::Usual, Caching::Never] {
            let bytes = match self.get(file, caching, listed.bytes).await {
                Ok(bytes) => bytes,
                // More than it should be: another file.
                Err(Refusal::TooLarge { .. }) => continue,
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
        let shards = parse_shard_names(&index)?;
        self.progress.total.set(total_size(&index).map_or(0, |weights| folder.bytes() + index.len() as u64 + weights));
        folder.files.insert(INDEX_FILE.into(), index);
        for shard in shards {
            let left = room.saturating_sub(folder.bytes());
            let bytes = self.required(&shard, left).await?;
            folder.files.insert(shard, bytes);
        }
        Ok(folder)
    }

    async fn required(&self, file: &str, most: u64) -> Result<Vec<u8>, Failure> {
        self.get(file, Caching::Usual, most).await.map_err(|refusal| refusal.failure(&self.address_of(file)))
    }

    async fn optional(&self, file: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.get(file, Caching::Usual, most).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Refusal::Missing) => Ok(None),
            Err(refusal) => Err(refusal.failure(&self.address_of(file))),
        }
    }

    /// A file, at the third try if need be.
    async fn get(&self, file: &str, caching: Caching, most: u64) -> Result<Vec<u8>, Refusal> {
        let heard = |received, total| self.progress.set(file, received, total);
        let failed = |next| {
            self.progress.files.borrow_mut().remove(file);
            if let Some(next) = next {
                let tries = PAUSES.len() + 1;
                self.progress.tell(Some(format!("no luck with {file}, trying again ({next} of {tries})")));
            }
        };
        again(self.server, &self.address_of(file), caching, most, &heard, &failed).await
    }
}

/// A file, at the third try if need be. `failed` learns which try is next, if there is one.
pub async fn again(
    server: &impl Server,
    address: &str,
    caching: Caching,
    most: u64,
    heard: &dyn Fn(u64, Option<u64>),
    failed: &dyn Fn(Option<usize>),
) -> Result<Vec<u8>, Refusal> {
    let mut pauses = PAUSES.iter().enumerate();
    loop {
        let refusal = match server.get(address, caching, most, heard).await {
            Ok(bytes) => return Ok(bytes),
            Err(refusal) => refusal,
        };
        let next = pauses.next().filter(|_| refusal.may_pass());
        failed(next.map(|(tries, _)| tries + 2));
        let Some((_, &pause)) = next else { return Err(refusal) };
        if !server.pause(pause).await {
            return Err(refusal);
        }
    }
}

/// Bytes of all weights, as an index of several files says.
fn total_size(index: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(index).ok()?["metadata"]["total_size"].as_u64()
}

/// What comes of futures that wait at the same time. (`join_all` is made for many, which is more to download.)
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| Box::pin(maybe_done(future))).collect();
    poll_fn(|context| {
        let mut ready = true;
        for future in &mut waiting {
            ready &= future.as_mut().poll(context).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.iter_mut().filter_map(|future| future.as_mut().take_output()).collect()
}

/// Bytes that a model's files may have, of what its configuration leaves of memory.
pub fn room(config: &[u8]) -> Result<u64, Failure> {
    let config = parse_config(config)?;
    let needed = needed(&config);
    MEMORY.checked_sub(needed).ok_or_else(|| too_large(needed))
}

#[cfg(test)]
pub mod tests {
    use inkling_core::hash::sha256;
    use pollster::block_on;

    use super::*;

    /// A server out of memory.
    #[derive(Default)]
    pub struct Stub {
        pub files: BTreeMap<String, Vec<u8>>,
        /// Answers before the files are given.
        pub refusals: RefCell<Vec<Refusal>>,
        /// What a cache on the way has instead, unless asked for fresh files.
        stale: BTreeMap<String, Vec<u8>>,
        kept: RefCell<BTreeMap<String, Vec<u8>>>,
        offline: bool,
        pub asked: RefCell<Vec<String>>,
        pub pauses: RefCell<Vec<u32>>,
    }

    impl Server for Stub {
        async fn get(
            &self,
            address: &str,
            caching: Caching,
            most: u64,
            heard: &dyn Fn(u64, Option<u64>),
        ) -> Result<Vec<u8>, Refusal> {
            self.asked.borrow_mut().push(address.to_owned());
            if self.offline {
                return Err(Refusal::Unreachable("offline".into()));
            }
            if let Some(refusal) = self.refusals.borrow_mut().pop() {
                return Err(refusal);
            }
            let stale = self.stale.get(address).filter(|_| caching != Caching::Never);
            let bytes = stale.or_else(|| self.files.get(address)).ok_or(Refusal::Missing)?;
            let size = bytes.len() as u64;
            if size > most {
                return Err(Refusal::TooLarge { bytes: size, most });
            }
            heard(size, Some(size));
            Ok(bytes.clone())
        }

        fn is_ours(&self, address: &str) -> bool {
            !address.starts_with("//") && !address.contains("://")
        }

        async fn pause(&self, milliseconds: u32) -> bool {
            self.pauses.borrow_mut().push(milliseconds);
            !self.offline
        }

        async fn kept(&self, key: &str) -> Option<Vec<u8>> {
            self.kept.borrow().get(key).cloned()
        }

        async fn keep(&self, key: &str, bytes: &[u8]) {
            self.kept.borrow_mut().insert(key.to_owned(), bytes.to_vec());
        }
    }

    const CONFIG: &[u8] = include_bytes!("../../../../../web/models/shakespeare/config.json");

    fn ours() -> Stub {
        let files = [(CONFIG_FILE, CONFIG), (MODEL_FILE, &b"weights"[..])];
        let listed = files
            .map(|(name, bytes)| format!(r#""{name}": {{"bytes": {}, "sha256": "{}"}}"#, bytes.len(), sha256(bytes)));
        let manifest = format!(r#"{{"name": "Bard", "val_loss": 1.5, "files": {{{}}}}}"#, listed.join(","));
        let mut stub = Stub::default();
        stub.files.insert("m/bard/manifest.json".into(), manifest.into_bytes());
        stub.files.extend(files.map(|(name, bytes)| (format!("m/bard/{name}"), bytes.to_vec())));
        stub
    }

    fn fetch(stub: &Stub, typed: &str) -> Result<Folder, Failure> {
        block_on(folder(stub, typed, &|_| {}))
    }

    #[test]
    fn a_checked_folder_is_kept_and_not_downloaded_again() {
        let stub = ours();
        let first = fetch(&stub, "m/bard").unwrap();
        assert_eq!((first.name.as_str(), first.val_loss), ("Bard", Some(1.5)));
        assert_eq!(first.origin, Origin::Checked { cached: false });
        assert_eq!(first.files[MODEL_FILE], b"weights");
        stub.asked.borrow_mut().clear();
        let second = fetch(&stub, "m/bard").unwrap();
        assert_eq!((second.files, second.origin), (first.files, Origin::Checked { cached: true }));
        assert_eq!(*stub.asked.borrow(), ["m/bard/manifest.json"]);
    }

    #[test]
    fn without_a_connection_what_was_kept_is_opened_at_once() {
        let mut stub = ours();
        let first = fetch(&stub, "m/bard").unwrap();
        stub.offline = true;
        assert_eq!(fetch(&stub, "m/bard").unwrap().files, first.files);
        assert!(stub.pauses.borrow().is_empty());
        stub.kept.borrow_mut().clear();
        assert_eq!(fetch(&stub, "m/bard").unwrap_err().kind, crate::protocol::FailureKind::Network);
    }

    #[test]
    fn whatever_answers_in_the_hosts_place_what_was_kept_is_opened() {
        let first = fetch(&ours(), "m/bard").unwrap();
        let refusals = [Refusal::Missing, Refusal::Status(403), Refusal::Status(503)].map(Some);
        for refusal in refusals.into_iter().chain([None]) {
            let mut stub = ours();
            fetch(&stub, "m/bard").unwrap();
            match refusal {
                Some(refusal) => _ = stub.refusals.replace(vec![refusal]),
                // A network that wants a password first.
                None => _ = stub.files.insert("m/bard/manifest.json".into(), b"<!doctype html>".to_vec()),
            }
            let again = fetch(&stub, "m/bard").unwrap();
            assert_eq!((&again.files, again.origin), (&first.files, Origin::Checked { cached: true }));
        }
        let mut never_seen = ours();
        never_seen.files.insert("m/bard/manifest.json".into(), b"<!doctype html>".to_vec());
        assert!(fetch(&never_seen, "m/bard").unwrap_err().message.starts_with("manifest.json"));
        assert!(never_seen.kept.borrow().is_empty());
    }

    #[test]
    fn an_address_that_leads_elsewhere_is_never_ours() {
        let stub = ours();
        let failure = fetch(&stub, "//example.org/m").unwrap_err();
        assert!(failure.message.contains("config.json"), "{}", failure.message);
    }

    #[test]
    fn the_total_of_several_files_is_known_from_their_index() {
        let at = |file: &str| format!("https://example.org/gpt/{file}");
        let mut stub = Stub::default();
        let index = br#"{"metadata": {"total_size": 5}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#;
        let files = [(CONFIG_FILE, CONFIG), (INDEX_FILE, index), ("a.safetensors", b"aaa"), ("b.safetensors", b"bb")];
        stub.files.extend(files.map(|(file, bytes)| (at(file), bytes.to_vec())));
        let heard = RefCell::new(Vec::new());
        block_on(folder(&stub, "https://example.org/gpt", &|progress| heard.borrow_mut().push(progress))).unwrap();
        let total = (CONFIG.len() + index.len() + 5) as u64;
        let totals: Vec<_> = heard.borrow().iter().filter_map(|progress| progress.total).collect();
        assert_eq!(totals, [total; 2]);
        assert_eq!(heard.borrow().last().unwrap().received, total);
    }

    #[test]
    fn damaged_files_are_never_opened() {
        // What was kept: downloaded again.
        let stub = ours();
        fetch(&stub, "m/bard").unwrap();
        stub.kept.borrow_mut().values_mut().for_each(|bytes| bytes[0] ^= 1);
        assert_eq!(fetch(&stub, "m/bard").unwrap().origin, Origin::Checked { cached: false });
        // What a cache on the way has of an earlier release: asked for past it.
        let mut stub = ours();
        stub.stale.insert("m/bard/model.safetensors".into(), b"older".to_vec());
        assert_eq!(fetch(&stub, "m/bard").unwrap().files[MODEL_FILE], b"weights");
        stub.stale.insert("m/bard/model.safetensors".into(), b"a longer one".to_vec());
        stub.kept.borrow_mut().clear();
        assert_eq!(fetch(&stub, "m/bard").unwrap().files[MODEL_FILE], b"weights");
        // What the server has: refused.
        let mut stub = ours();
        stub.files.insert("m/bard/model.safetensors".into(), b"weightz".to_vec());
        assert!(fetch(&stub, "m/bard").unwrap_err().message.contains("SHA-256"));
        assert!(!stub.kept.borrow().keys().any(|key| key.contains("safetensors")));
    }

    #[test]
    fn what_fails_by_chance_is_tried_again_twice() {
        let stub = ours();
        let busy = || vec![Refusal::Status(503), Refusal::Unreachable("reset".into())];
        stub.refusals.replace(busy());
        fetch(&stub, "m/bard").unwrap();
        assert_eq!(*stub.pauses.borrow(), PAUSES);
        let stub = ours();
        stub.refusals.replace([busy(), vec![Refusal::Status(500)]].concat());
        assert!(fetch(&stub, "m/bard").unwrap_err().message.contains("503"), "the last refusal is told");
        // What is not there does not come by asking again.
        for refusal in [Refusal::Missing, Refusal::Status(403)] {
            let stub = ours();
            stub.refusals.replace(vec![refusal]);
            fetch(&stub, "m/bard").unwrap_err();
            assert!(stub.pauses.borrow().is_empty());
        }
    }

    #[test]
    fn progress_has_the_manifests_total() {
        let heard = RefCell::new(Vec::new());
        block_on(folder(&ours(), "m/bard", &|progress| heard.borrow_mut().push(progress))).unwrap();
        let last = heard.borrow().last().unwrap().clone();
        let total = CONFIG.len() as u64 + 7;
        assert_eq!((last.name.as_str(), last.received, last.total), ("Bard", total, Some(total)));
    }

    #[test]
    fn folders_elsewhere_need_no_manifest() {
        let at = |file: &str| format!("https://example.org/gpt/{file}");
        let mut stub = Stub::default();
        stub.files.insert(at(CONFIG_FILE), CONFIG.to_vec());
        let failure = fetch(&stub, "https://example.org/gpt").unwrap_err();
        assert!(failure.message.contains("neither"), "{}", failure.message);
        let map = br#"{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#;
        stub.files.insert(at(INDEX_FILE), map.to_vec());
        assert!(fetch(&stub, "https://example.org/gpt").unwrap_err().message.contains("a.safetensors"));
        stub.files.insert(at("a.safetensors"), b"a".to_vec());
        stub.files.insert(at("b.safetensors"), b"b".to_vec());
        let folder = fetch(&stub, "https://example.org/gpt/").unwrap();
        assert_eq!((folder.origin, folder.files.len()), (Origin::Address, 4));
        assert!(stub.kept.borrow().is_empty());
        stub.files.insert(at(MODEL_FILE), b"w".to_vec());
        assert!(fetch(&stub, "https://example.org/gpt").unwrap().files.contains_key(MODEL_FILE));
        // An index may not lead out of the folder.
        stub.files.remove(&at(MODEL_FILE));
        stub.files.insert(at(INDEX_FILE), br#"{"weight_map": {"a": "../secret.safetensors"}}"#.to_vec());
        assert!(fetch(&stub, "https://example.org/gpt").unwrap_err().message.contains("secret"));
    }

    #[test]
    fn nothing_beside_the_page_is_a_sentence() {
        assert!(fetch(&Stub::default(), "m/none").unwrap_err().message.contains("manifest.json"));
    }
}
