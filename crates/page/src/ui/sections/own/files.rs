//! The visitor's files: from a file field, or dropped. They are only listed here; the worker reads them.

use js_sys::{Array, Function, Promise, Reflect};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

use crate::protocol::Failure;
use crate::protocol::model::GivenFile;
use crate::ui::store::Store;
use crate::ui::task;

/// Most files that a dropped folder is searched for.
const MOST: usize = 2000;

/// Most bytes of a dropped text: more than any model here reads at a time.
const MOST_TEXT: usize = 10_000;

/// A file and its path.
pub type Found = (String, File);

/// The files of a file field.
pub fn of_list(list: &FileList) -> Vec<Found> {
    (0..list.length())
        .filter_map(|i| list.get(i))
        .map(|file| {
            let path = Reflect::get(&file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
            (path.filter(|path| !path.is_empty()).unwrap_or_else(|| file.name()), file)
        })
        .collect()
}

/// Opens what was given: a single text becomes the text of the figures, anything else a model.
pub fn take(store: Store, mut files: Vec<Found>) {
    store.note.set((files.len() >= MOST).then(|| "These are many files: only the first 2,000 were looked at.".into()));
    if let [(path, _)] = &files[..]
        && [".txt", ".md"].iter().any(|end| path.to_ascii_lowercase().ends_with(end))
    {
        let (path, file) = files.remove(0);
        task::start(async move {
            match text(&file).await {
                Ok((text, is_whole)) => {
                    store.view.query.set(None);
                    store.view.text.set(text);
                    let of = if is_whole { "" } else { "The beginning of " };
                    let rest = if is_whole { "" } else { " 10 kB are read of a text." };
                    let train = " Under Training, a model can learn from all of it.";
                    let note = format!("{of}{path} is the text of all figures now.{rest}{train}");
                    store.dropped_text.set(Some(file));
                    store.announce(note.clone());
                    store.load_failure.set(None);
                    store.note.set(Some(note));
                }
                Err(failure) => store.note.set(Some(failure.message)),
            }
        });
    } else if !files.is_empty() {
        store.open_files(files.into_iter().map(|(path, file)| given(path, file)).collect());
    }
    show_shell();
}

/// A file on its way to the worker.
pub fn given(path: String, file: File) -> GivenFile {
    GivenFile { path, size: file.size() as u64, contents: contents(file) }
}

/// Brings the bar into view that shows what becomes of it.
pub fn show_shell() {
    if let Some(shell) = document().get_element_by_id("shell") {
        shell.scroll_into_view_with_bool(false);
    }
}

#[cfg(target_family = "wasm")]
fn contents(file: File) -> crate::protocol::Contents {
    crate::protocol::Contents(file.into())
}

#[cfg(not(target_family = "wasm"))]
fn contents(_: File) -> crate::protocol::Contents {
    unreachable!("files are of a browser")
}

/// The beginning of a text, and whether that is all of it.
async fn text(file: &File) -> Result<(String, bool), Failure> {
    // One character more, which may be cut, and a mark of the encoding, which is left out.
    let part = file.slice_with_i32_and_i32(0, MOST_TEXT as i32 + 8);
    let unreadable = |_| Failure::input(format!("{} cannot be read.", file.name()));
    let text = JsFuture::from(part.map_err(unreadable)?.text()).await.map_err(unreadable)?;
    let text = text.as_string().unwrap_or_default();
    let cut = (0..=text.len().min(MOST_TEXT)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let is_whole = cut == text.len();
    let text = text[..cut].replace("\r\n", "\n");
    if text.contains(['\u{fffd}', '\0']) {
        return Err(Failure::input(format!("{} is no text in UTF-8.", file.name())));
    }
    if text.is_empty() {
        return Err(Failure::input(format!("{} is empty.", file.name())));
    }
    Ok((text, is_whole))
}

/// What was dropped. It has to be asked for before the event is over; folders are searched after that.
pub fn of_drop(data: &DataTransfer) -> impl Future<Output = Vec<Found>> + 'static {
    let items = data.items();
    let entries: Vec<FileSystemEntry> = (0..items.length())
        .filter_map(|i| items.get(i))
        .filter(|item| item.kind() == "file")
        .filter_map(|item| item.webkit_get_as_entry().ok().flatten())
        .collect();
    let plain = data.files().filter(|_| entries.is_empty()).map(|list| of_list(&list)).unwrap_or_default();
    async move {
        let mut found = plain;
        let mut waiting = entries;
        while let Some(entry) = waiting.pop() {
            if found.len() >= MOST {
                break;
            }
            if entry.is_directory() {
                waiting.extend(children(entry.unchecked_into()).await);
            } else if let Some(file) = file(entry.unchecked_ref()).await {
                found.push((entry.full_path().trim_start_matches('/').to_owned(), file));
            }
        }
        found
    }
}

/// A call with a callback for success and one for failure, as a future.
async fn called(call: impl Fn(&Function, &Function)) -> Result<JsValue, JsValue> {
    JsFuture::from(Promise::new(&mut |resolve, reject| call(&resolve, &reject))).await
}

async fn children(folder: FileSystemDirectoryEntry) -> Vec<FileSystemEntry> {
    let reader = folder.create_reader();
    let mut found = Vec::new();
    loop {
        // Some at a time, none at the end.
        let read = called(|resolve, reject| {
            let _ = reader.read_entries_with_callback_and_callback(resolve, reject);
        });
        let Ok(some) = read.await else { return found };
        let some = Array::from(&some);
        if some.length() == 0 || found.len() > MOST {
            return found;
        }
        found.extend(some.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
    }
}

async fn file(entry: &FileSystemFileEntry) -> Option<File> {
    called(|resolve, reject| entry.file_with_callback_and_callback(resolve, reject)).await.ok()?.dyn_into().ok()
}
