//! Which of the visitor's files are a model, and their contents.
//!
//! A folder of `transformers`, a run of `trainer` (its best checkpoint is taken), single files, or a `.zip` that this page saved.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use inkling_core::checkpoint::{
    ADAPTER_CONFIG_FILE, ADAPTER_FILE, CONFIG_FILE, INDEX_FILE, MODEL_FILE, TOKENIZER_FILE, parse_shard_names,
};

use super::download::{MOST_JSON, room};
use super::{Folder, last};
use crate::protocol::Failure;
use crate::protocol::contents::Handle;
use crate::protocol::model::{GivenFile, LoadProgress, Origin};
use crate::worker::model::{MEMORY, size};
use crate::worker::zip;

/// What to call a model whose files tell no name.
const NAMELESS: &str = "your model";

/// Reads the model that is among these files.
///
/// # Errors
/// What is missing, or no file that a model is read from.
pub async fn folder(files: Vec<GivenFile>, heard: &dyn Fn(LoadProgress)) -> Result<Folder, Failure> {
    let mut shelf: Vec<Item> = files
        .into_iter()
        .map(|file| Item { path: file.path, size: file.size, contents: Stored::Given(file.contents.0) })
        .collect();
    if let [Item { path, .. }] = &shelf[..]
        && path.to_ascii_lowercase().ends_with(".zip")
    {
        let archive = shelf.remove(0);
        // Its weights are held beside it when they are taken out.
        let bytes = Rc::new(archive.read(MEMORY / 2).await?);
        let stem = last(&archive.path);
        let stem = stem[..stem.len() - ".zip".len()].to_owned();
        let unpacked = zip::unpack(&bytes).map_err(|problem| Failure::input(format!("{}: {problem}", archive.path)))?;
        shelf.extend(unpacked.into_iter().map(|(path, range)| Item {
            path: format!("{stem}/{path}"),
            size: range.len() as u64,
            contents: Stored::Packed(Rc::clone(&bytes), range),
        }));
    }
    let place = place(&shelf.iter().map(|item| item.path.as_str()).collect::<Vec<_>>())?;
    Reading { shelf: &shelf, place, heard, received: 0.into() }.folder().await
}

/// Reads a file.
///
/// # Errors
/// What the browser says.
pub async fn file(file: &GivenFile) -> Result<Vec<u8>, Failure> {
    let contents = Stored::Given(file.contents.0.clone());
    Item { path: file.path.clone(), size: file.size, contents }.read(MEMORY / 2).await
}

/// A file, not yet read.
struct Item {
    path: String,
    size: u64,
    contents: Stored,
}

enum Stored {
    Given(Handle),
    /// In an archive.
    Packed(Rc<Vec<u8>>, Range<usize>),
}

impl Item {
    /// Its bytes, if there are `most` of them.
    async fn read(&self, most: u64) -> Result<Vec<u8>, Failure> {
        if self.size > most {
            return Err(too_large(&self.path, self.size, most));
        }
        match &self.contents {
            Stored::Packed(archive, range) => {
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(range.len()).map_err(|_| too_large(&self.path, self.size, 0))?;
                bytes.extend_from_slice(&archive[range.clone()]);
                Ok(bytes)
            }
            #[cfg(not(target_family = "wasm"))]
            Stored::Given(bytes) => Ok(bytes.clone()),
            #[cfg(target_family = "wasm")]
            Stored::Given(file) => super::web::read(file).await.map_err(|problem| {
                Failure::input(format!("{} cannot be read ({problem}): it may have been moved or changed.", self.path))
            }),
        }
    }
}

/// A file for which there is no room.
fn too_large(path: &str, bytes: u64, most: u64) -> Failure {
    Failure::memory(match most {
        0 => {
            format!("{path} is too large: it has {}, and there is no room for that in this tab any more.", size(bytes))
        }
        _ => format!("{path} is too large: it has {}, and there is room for {}.", size(bytes), size(most)),
    })
}

/// Where among the files a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The folder, with a `/` at its end unless it is none.
    prefix: String,
    /// What to call it.
    name: String,
    /// The file of weights, where it has another name than usual.
    weights: Option<String>,
}

/// Finds the folder that a model is in.
fn place(paths: &[&str]) -> Result<Place, Failure> {
    let folder = |path: &str| path[..path.len() - last(path).len()].to_owned();
    let with =
        |name: &str| paths.iter().filter(|path| last(path) == name).map(|path| folder(path)).collect::<BTreeSet<_>>();
    let rank = |prefix: &String| (prefix.matches('/').count(), !prefix.ends_with("best/"), prefix.clone());
    let Some(prefix) = with(CONFIG_FILE).into_iter().min_by_key(rank) else {
        return Err(Failure::input(without_configuration(paths)));
    };
    let there = |name: &str| paths.contains(&format!("{prefix}{name}").as_str());
    let mut weights = None;
    if !there(MODEL_FILE) && !there(INDEX_FILE) {
        let inside: Vec<&str> = paths
            .iter()
            .filter_map(|path| path.strip_prefix(prefix.as_str()))
            .filter(|rest| !rest.contains('/'))
            .collect();
        let candidates: Vec<&&str> =
            inside.iter().filter(|name| name.ends_with(".safetensors") && **name != ADAPTER_FILE).collect();
        match &candidates[..] {
            [only] => weights = Some((**only).to_owned()),
            _ => return Err(Failure::input(without_weights(&inside, candidates.len()))),
        }
    }
    // A run's folder has the name, its best/ has none.
    let name = prefix.trim_end_matches('/').rsplit('/').find(|part| !matches!(*part, "best" | "last" | ""));
    let stem = weights.as_deref().map(|file| file.trim_end_matches(".safetensors"));
    let name = name.or(stem).unwrap_or(NAMELESS).to_owned();
    Ok(Place { prefix, name, weights })
}

fn without_configuration(paths: &[&str]) -> String {
    let there = |name: &str| paths.iter().any(|path| last(path) == name);
    let ends = |end: &str| paths.iter().find(|path| path.to_ascii_lowercase().ends_with(end));
    if there(ADAPTER_CONFIG_FILE) || there(ADAPTER_FILE) {
        return "These are adapters (LoRA), not a whole model. Merge them into their model first: `trainer merge --model ADAPTER --base MODEL \
                --out merged`, or `merge_and_unload` in PEFT; then open the merged folder."
            .into();
    }
    if let Some(gguf) = ends(".gguf") {
        return format!(
            "{gguf} is a GGUF file, which is not read here: open the folder of safetensors it was made from."
        );
    }
    if ends(".safetensors").is_some() || there(INDEX_FILE) {
        return "config.json is missing: it says what the weights are. Open it together with them, or the whole folder.".into();
    }
    match paths {
        [] => "There is no file in it.".into(),
        [one] => format!("{one} is no model. A model is a folder with config.json, model.safetensors and tokenizer.json."),
        _ => "No config.json is among these files. A model is a folder with config.json, model.safetensors and tokenizer.json.".into(),
    }
}

fn without_weights(inside: &[&str], candidates: usize) -> String {
    if inside.contains(&ADAPTER_FILE) {
        return "adapter_model.safetensors is an adapter (LoRA), and the model it belongs to is missing: merge it first, with `trainer merge`."
            .into();
    }
    let pickled = |name: &&&str| [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end));
    if candidates == 0
        && let Some(pickle) = inside.iter().find(pickled)
    {
        return format!(
            "{pickle} is a Python pickle, which can run any program and is not read here. Save the model as safetensors: \
             model.save_pretrained(folder) in transformers does."
        );
    }
    if candidates == 0 {
        return format!("{MODEL_FILE} is missing: open it together with config.json, or the whole folder.");
    }
    format!("There are {candidates} files of weights, but no {INDEX_FILE} that says what is in which.")
}

struct Reading<'a> {
    shelf: &'a [Item],
    place: Place,
    heard: &'a dyn Fn(LoadProgress),
    received: std::cell::Cell<u64>,
}

impl Reading<'_> {
    async fn folder(self) -> Result<Folder, Failure> {
        let mut folder = Folder::new(self.place.name.clone(), Origin::Files);
        let config = self.read(CONFIG_FILE, MOST_JSON).await?;
        let room = room(&config)?;
        folder.files.insert(CONFIG_FILE.into(), config);
        if self.find(TOKENIZER_FILE).is_some() {
            folder.files.insert(TOKENIZER_FILE.into(), self.read(TOKENIZER_FILE, MOST_JSON).await?);
        }
        let weights = self.place.weights.as_deref().unwrap_or(MODEL_FILE);
        let shards = if self.find(weights).is_some() {
            vec![weights.to_owned()]
        } else {
            let index = self.read(INDEX_FILE, MOST_JSON).await?;
            let shards = parse_shard_names(&index)?;
            folder.files.insert(INDEX_FILE.into(), index);
            shards
        };
        // What is missing is told by whoever reads the folder.
        let found: Vec<(&String, &Item)> = shards.iter().filter_map(|name| Some((name, self.find(name)?))).collect();
        let size: u64 = found.iter().map(|(_, item)| item.size).sum();
        if size > room {
            return Err(too_large(weights, size, room));
        }
        for (name, _) in found {
            let bytes = self.read(name, room).await?;
            let usual = if *name == weights { MODEL_FILE } else { name };
            folder.files.insert(usual.to_owned(), bytes);
            self.tell(Some(size));
        }
        Ok(folder)
    }

    fn find(&self, name: &str) -> Option<&Item> {
        let path = format!("{}{name}", self.place.prefix);
        self.shelf.iter().find(|item| item.path == path)
    }

    async fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, Failure> {
        let item = self.find(name).ok_or_else(|| Failure::input(format!("{name} is missing.")))?;
        let bytes = item.read(most).await?;
        self.received.set(self.received.get() + bytes.len() as u64);
        Ok(bytes)
    }

    fn tell(&self, size: Option<u64>) {
        let received = self.received.get();
        let total = size.map(|size| size.max(received));
        (self.heard)(LoadProgress { name: self.place.name.clone(), received, total, again: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(paths: &[&str]) -> String {
        place(paths).unwrap_err().message
    }

    #[test]
    fn a_folder_is_found_at_any_depth() {
        let found = place(&["gpt/README.md", "gpt/config.json", "gpt/model.safetensors"]).unwrap();
        assert_eq!(found, Place { prefix: "gpt/".into(), name: "gpt".into(), weights: None });
        let found = place(&["a/b/config.json", "a/b/model.safetensors", "a/notes.txt"]).unwrap();
        assert_eq!(found.prefix, "a/b/");
        let found = place(&["config.json", "model.safetensors.index.json", "x-00001-of-00001.safetensors"]).unwrap();
        assert_eq!((found.prefix.as_str(), found.name.as_str(), found.weights), ("", NAMELESS, None));
    }

    #[test]
    fn the_best_checkpoint_of_a_run_is_taken() {
        let run = [
            "tiny/last/config.json",
            "tiny/last/model.safetensors",
            "tiny/best/model.safetensors",
            "tiny/best/config.json",
        ];
        let found = place(&run).unwrap();
        assert_eq!((found.prefix.as_str(), found.name.as_str()), ("tiny/best/", "tiny"));
    }

    #[test]
    fn weights_may_have_any_name_if_there_is_one_file_of_them() {
        let found = place(&["config.json", "bard.safetensors"]).unwrap();
        assert_eq!((found.name.as_str(), found.weights.as_deref()), ("bard", Some("bard.safetensors")));
        assert!(refused(&["config.json", "a.safetensors", "b.safetensors"]).contains("2 files of weights"));
    }

    #[test]
    fn what_is_no_model_is_refused_with_what_to_do() {
        for (paths, says) in [
            (&[][..], "no file"),
            (&["holiday.jpg"], "holiday.jpg is no model"),
            (&["a.txt", "b.txt"], "No config.json"),
            (&["model.safetensors"], "config.json is missing"),
            (&["x/config.json"], "model.safetensors is missing"),
            (&["x/adapter_config.json", "x/adapter_model.safetensors"], "trainer merge"),
            (&["config.json", "adapter_model.safetensors"], "merge"),
            (&["config.json", "pytorch_model.bin"], "pickle"),
            (&["llama.gguf"], "GGUF"),
        ] {
            assert!(refused(paths).contains(says), "{paths:?}: {}", refused(paths));
        }
    }
}
