//! Where models come from: an address, or the visitor's files. Bytes are gathered beside the worker's task, and come to it as one message.
//!
//! ```text
//! corpus     the text that comes with the page
//! address    what a visitor types, as a folder's address
//! manifest   what a folder beside the page says of its files
//! server     what gives bytes: the network, or a test's stand-in
//! download   a folder from a server: progress, second tries, checksums, cache
//! given      which of the visitor's files are a model
//! web        the network, the browser's cache and files
//! ```

mod address;
mod corpus;
mod download;
mod given;
mod manifest;
mod server;

#[cfg(target_family = "wasm")]
mod web;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use futures_channel::mpsc::UnboundedSender;
use futures_util::future::{AbortHandle, abortable};

pub use self::given::file as given_file;
use super::Incoming;
use crate::protocol::model::{GivenFile, LoadProgress, Origin};
use crate::protocol::{Failure, Id};

/// Files of a model.
#[derive(Debug)]
pub struct Folder {
    /// What to call it.
    pub name: String,
    /// Where it is from.
    pub origin: Origin,
    /// Contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the manifest says that it scored.
    pub val_loss: Option<f64>,
    /// What the manifest says that made it.
    pub command: Option<String>,
}

impl Folder {
    /// Files without a word about them.
    pub fn new(name: String, origin: Origin) -> Self {
        Self { name, origin, files: BTreeMap::new(), val_loss: None, command: None }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum()
    }
}

/// What is being fetched.
pub struct Downloads {
    sender: UnboundedSender<Incoming>,
    running: HashMap<Id, Running>,
}

/// Stops a download when it is dropped.
struct Running {
    task: AbortHandle,
    #[cfg(target_family = "wasm")]
    network: web::Network,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        #[cfg(target_family = "wasm")]
        self.network.abort();
    }
}

impl Downloads {
    /// None yet; each ends with a message to `sender`.
    pub fn new(sender: UnboundedSender<Incoming>) -> Self {
        Self { sender, running: HashMap::new() }
    }

    /// For what else goes on beside the worker's task.
    pub fn sender(&self) -> UnboundedSender<Incoming> {
        self.sender.clone()
    }

    /// Begins to fetch a folder.
    pub fn begin(&mut self, id: Id, folder: String) {
        let progress = self.progress(id);
        #[cfg(target_family = "wasm")]
        {
            let network = web::Network::new();
            let server = network.clone();
            self.start(id, network, async move { download::folder(&server, &folder, &progress).await });
        }
        #[cfg(not(target_family = "wasm"))]
        self.start(id, async move { download::folder(&server::Nowhere, &folder, &progress).await });
    }

    /// Begins to read the visitor's files.
    pub fn read(&mut self, id: Id, files: Vec<GivenFile>) {
        let progress = self.progress(id);
        let task = async move { given::folder(files, &progress).await };
        #[cfg(target_family = "wasm")]
        self.start(id, web::Network::new(), task);
        #[cfg(not(target_family = "wasm"))]
        self.start(id, task);
    }

    /// Begins to fetch the corpus. (Tests hand it in themselves.)
    pub fn begin_corpus(&self) {
        #[cfg(target_family = "wasm")]
        {
            let sender = self.sender.clone();
            wasm_bindgen_futures::spawn_local(async move {
                let corpus = corpus::fetch(&web::Network::new()).await;
                let _ = sender.unbounded_send(Incoming::Corpus(corpus));
            });
        }
    }

    fn progress(&self, id: Id) -> impl Fn(LoadProgress) + 'static {
        let sender = self.sender.clone();
        move |progress| {
            // The receiver lives as long as the worker.
            let _ = sender.unbounded_send(Incoming::Progress { id, progress });
        }
    }

    fn start(
        &mut self,
        id: Id,
        #[cfg(target_family = "wasm")] network: web::Network,
        task: impl Future<Output = Result<Folder, Failure>> + 'static,
    ) {
        let sender = self.sender.clone();
        let (task, handle) = abortable(async move {
            let files = task.await;
            let _ = sender.unbounded_send(Incoming::Fetched { id, files });
        });
        self.running.insert(
            id,
            Running {
                task: handle,
                #[cfg(target_family = "wasm")]
                network,
            },
        );
        #[cfg(target_family = "wasm")]
        wasm_bindgen_futures::spawn_local(async move {
            let _ = task.await;
        });
        // Natively nothing has to be waited for.
        #[cfg(not(target_family = "wasm"))]
        let _ = futures_util::FutureExt::now_or_never(task);
    }

    /// Nobody waits for it any more.
    pub fn cancel(&mut self, id: Id) {
        self.running.remove(&id);
    }

    /// Whether somebody waits for it.
    pub fn is_running(&self, id: Id) -> bool {
        self.running.contains_key(&id)
    }

    /// Notes the end of a download; false if it was cancelled.
    pub fn finished(&mut self, id: Id) -> bool {
        self.running.remove(&id).is_some()
    }
}

/// The last part of a path.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
