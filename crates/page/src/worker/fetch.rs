//! Downloads.

use std::collections::{BTreeMap, BTreeSet};

use futures_channel::mpsc::UnboundedSender;
use inkling_core::checkpoint::{CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE};

use super::Incoming;
use crate::protocol::{Failure, Id};

/// Tiny Shakespeare, as the build puts it.
#[cfg(target_family = "wasm")]
const CORPUS: &str = "data/tinyshakespeare.txt";

/// Files of a model.
#[derive(Debug)]
pub struct Folder {
    /// What to call it.
    pub name: String,
    /// Contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Downloads that are under way.
pub struct Downloads {
    sender: UnboundedSender<Incoming>,
    running: BTreeSet<Id>,
}

impl Downloads {
    /// None yet; each ends with a message to `sender`.
    pub fn new(sender: UnboundedSender<Incoming>) -> Self {
        Self { sender, running: BTreeSet::new() }
    }

    /// Begins to fetch a folder.
    pub fn begin(&mut self, id: Id, folder: String) {
        self.running.insert(id);
        let sender = self.sender.clone();
        let download = async move {
            let files = fetch_folder(folder).await;
            let _ = sender.unbounded_send(Incoming::Fetched { id, files });
        };
        wasm_bindgen_futures::spawn_local(download);
    }

    /// Begins to fetch the corpus. (Tests hand it in themselves.)
    pub fn begin_corpus(&self) {
        #[cfg(target_family = "wasm")]
        {
            let sender = self.sender.clone();
            wasm_bindgen_futures::spawn_local(async move {
                let corpus = get(CORPUS).await;
                let _ = sender.unbounded_send(Incoming::Corpus(corpus));
            });
        }
    }

    /// Nobody waits for it any more.
    pub fn cancel(&mut self, id: Id) {
        self.running.remove(&id);
    }

    /// Notes the end of a download; false if it was cancelled.
    pub fn finished(&mut self, id: Id) -> bool {
        self.running.remove(&id)
    }
}

async fn fetch_folder(folder: String) -> Result<Folder, Failure> {
    let mut files = BTreeMap::new();
    for name in [CONFIG_FILE, TOKENIZER_FILE, MODEL_FILE] {
        let address = format!("{}/{name}", folder.trim_end_matches('/'));
        files.insert(name.to_owned(), get(&address).await?);
    }
    let name = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Folder { name, files })
}

async fn get(address: &str) -> Result<Vec<u8>, Failure> {
    use wasm_bindgen::JsCast;
    use wasm_bindgen_futures::JsFuture;

    let failed = |problem: wasm_bindgen::JsValue| Failure::network(format!("{address}: {problem:?}"));
    let scope: web_sys::DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let response: web_sys::Response =
        JsFuture::from(scope.fetch_with_str(address)).await.map_err(failed)?.unchecked_into();
    if !response.ok() {
        return Err(Failure::network(format!("{address}: the server answers {}", response.status())));
    }
    let buffer = JsFuture::from(response.array_buffer().map_err(failed)?).await.map_err(failed)?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}
