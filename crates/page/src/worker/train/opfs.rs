//! The browser's private file system of this page (the File System Standard of the WHATWG): files that no visitor sees, written at once from a
//! worker.
//!
//! A run that is open has a file `lock` open: a browser gives it to one tab only, and takes it back when the tab is gone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, DedicatedWorkerGlobalScope, DomException, FileSystemDirectoryHandle, FileSystemFileHandle,
    FileSystemGetDirectoryOptions, FileSystemGetFileOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle,
};

use super::store::{Store, Trouble};

/// The folder of all runs.
const RUNS: &str = "runs";
/// The file that an open run holds.
const LOCK: &str = "lock";

/// The file system; clones are of the same one.
#[derive(Clone, Default)]
pub struct Opfs {
    held: Rc<RefCell<HashMap<String, FileSystemSyncAccessHandle>>>,
}

fn trouble(problem: JsValue) -> Trouble {
    match problem.dyn_ref::<DomException>() {
        Some(exception) => match exception.name().as_str() {
            "QuotaExceededError" => Trouble::Full,
            "NoModificationAllowedError" => Trouble::Elsewhere,
            _ => Trouble::Other(exception.message()),
        },
        None => Trouble::Other("it gives no reason".into()),
    }
}

fn is_missing(problem: &JsValue) -> bool {
    problem.dyn_ref::<DomException>().is_some_and(|exception| exception.name() == "NotFoundError")
}

async fn settled<T: JsCast>(promise: Promise) -> Result<T, JsValue> {
    JsFuture::from(promise).await.map(JsCast::unchecked_into)
}

async fn runs() -> Result<FileSystemDirectoryHandle, Trouble> {
    let navigator = js_sys::global().unchecked_into::<DedicatedWorkerGlobalScope>().navigator();
    if !Reflect::get(&navigator, &"storage".into()).is_ok_and(|storage| storage.is_object()) {
        return Err(Trouble::Other("it gives a place for them to pages from https:// only".into()));
    }
    let root: FileSystemDirectoryHandle = settled(navigator.storage().get_directory()).await.map_err(trouble)?;
    below(&root, RUNS, true).await.map_err(trouble)
}

async fn below(
    folder: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<FileSystemDirectoryHandle, JsValue> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    settled(folder.get_directory_handle_with_options(name, &options)).await
}

/// A file, if it is there or is to be made.
async fn file(folder: &str, name: &str, create: bool) -> Result<Option<FileSystemFileHandle>, Trouble> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    let found = match below(&runs().await?, folder, create).await {
        Ok(folder) => settled(folder.get_file_handle_with_options(name, &options)).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(file) => Ok(Some(file)),
        Err(problem) if !create && is_missing(&problem) => Ok(None),
        Err(problem) => Err(trouble(problem)),
    }
}

/// A file for this worker alone, made if need be.
async fn access(folder: &str, name: &str) -> Result<FileSystemSyncAccessHandle, Trouble> {
    let file = file(folder, name, true).await?.ok_or(Trouble::Other("it made no file".into()))?;
    if !Reflect::has(&file, &"createSyncAccessHandle".into()).unwrap_or_default() {
        return Err(Trouble::Other("it does not write files from a worker; a newer browser does".into()));
    }
    settled(file.create_sync_access_handle()).await.map_err(trouble)
}

async fn names(folder: &FileSystemDirectoryHandle) -> Result<Vec<String>, JsValue> {
    let (keys, mut names) = (folder.keys(), Vec::new());
    loop {
        let next = JsFuture::from(keys.next()?).await?;
        if Reflect::get(&next, &"done".into())?.is_truthy() {
            return Ok(names);
        }
        names.extend(Reflect::get(&next, &"value".into())?.as_string());
    }
}

fn write_all(file: &FileSystemSyncAccessHandle, bytes: &[u8]) -> Result<(), Trouble> {
    file.truncate_with_u32(0).map_err(trouble)?;
    let written = file.write_with_u8_array(bytes).map_err(trouble)?;
    if written < bytes.len() as f64 {
        return Err(Trouble::Full);
    }
    file.flush().map_err(trouble)
}

impl Store for Opfs {
    async fn folders(&self) -> Result<Vec<String>, Trouble> {
        names(&runs().await?).await.map_err(trouble)
    }

    async fn files(&self, folder: &str) -> Result<Vec<String>, Trouble> {
        let folder = below(&runs().await?, folder, false).await.map_err(trouble)?;
        names(&folder).await.map_err(trouble)
    }

    async fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let Some(handle) = file(folder, name, false).await? else { return Ok(None) };
        let file: Blob = settled(handle.get_file()).await.map_err(trouble)?;
        let buffer: JsValue = settled(file.array_buffer()).await.map_err(trouble)?;
        Ok(Some(Uint8Array::new(&buffer).to_vec()))
    }

    async fn write(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let file = access(folder, name).await?;
        let outcome = write_all(&file, bytes);
        file.close();
        outcome
    }

    async fn remove(&self, folder: &str, name: &str) -> Result<(), Trouble> {
        let folder = below(&runs().await?, folder, false).await.map_err(trouble)?;
        settled::<JsValue>(folder.remove_entry(name)).await.map_err(trouble).map(|_| ())
    }

    async fn forget(&self, folder: &str) -> Result<(), Trouble> {
        // What is open in another tab is not taken away from it; what is not there is forgotten.
        self.hold(folder).await?;
        self.release(folder);
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        settled::<JsValue>(runs().await?.remove_entry_with_options(folder, &options)).await.map_err(trouble).map(|_| ())
    }

    async fn hold(&self, folder: &str) -> Result<(), Trouble> {
        let lock = access(folder, LOCK).await?;
        self.held.borrow_mut().insert(folder.to_owned(), lock);
        Ok(())
    }

    fn release(&self, folder: &str) {
        if let Some(lock) = self.held.borrow_mut().remove(folder) {
            lock.close();
        }
    }
}
