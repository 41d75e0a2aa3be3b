//! Finding and reading checkpoints: a run folder stands for its best checkpoint, else its last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use inkling_core::checkpoint::ADAPTER_CONFIG_FILE;

use super::Slot;
use super::replace::current;
use crate::error::{Error, Result};

/// The file that makes a folder a checkpoint.
pub const CONFIG: &str = "config.json";

/// How often to look again because a trainer may have replaced a checkpoint between two looks at it.
const ATTEMPTS: usize = 5;

/// The checkpoint folder that `path` stands for: itself if it holds a `config.json`, else its `best`, else its `last`.
///
/// # Errors
/// [`Error::NoCheckpoint`] tells what was found instead.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    if let Some(folder) = (0..ATTEMPTS).find_map(|_| look(path)) {
        return Ok(folder);
    }
    let problem = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such folder".into(),
        Err(error) => error.to_string(),
        Ok(metadata) if !metadata.is_dir() => "it is a file, not a folder".into(),
        Ok(_) => format!("the folder holds neither {CONFIG} nor best/ or last/ with one"),
    };
    let hint = "pass a run folder, or a folder with config.json, model.safetensors and tokenizer.json".into();
    Err(Error::NoCheckpoint { path: path.into(), problem, hint })
}

/// Of a model, or of adapters.
fn is_checkpoint(folder: &Path) -> bool {
    [CONFIG, ADAPTER_CONFIG_FILE].iter().any(|file| folder.join(file).is_file())
}

/// `path` itself may be `runs/a/last` at the moment when a trainer is replacing it.
fn look(path: &Path) -> Option<PathBuf> {
    let candidates = [path.to_owned(), path.join(Slot::Best.name()), path.join(Slot::Last.name())];
    candidates.iter().filter_map(|folder| current(folder)).find(|folder| is_checkpoint(folder))
}

/// The run folders in `runs` that have a checkpoint, the newest first.
pub fn runs(runs: &Path) -> Vec<PathBuf> {
    let age = |run: &PathBuf| -> Option<SystemTime> {
        Slot::ALL.iter().filter_map(|slot| current(&run.join(slot.name()))?.metadata().ok()?.modified().ok()).max()
    };
    let entries = fs::read_dir(runs).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
    let mut found: Vec<_> = entries.into_iter().flatten().filter_map(|run| Some((age(&run)?, run))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, run)| run).collect()
}

/// Reads a checkpoint by `work` on its folder, from one and the same save even while a trainer keeps replacing it: what was disturbed is
/// done again.
pub fn undisturbed<T>(path: &Path, mut work: impl FnMut(&Path) -> Result<T>) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let folder = resolve(path)?;
        let before = identity(&folder);
        let outcome = work(&folder);
        // The same folder under the same name before and after: nothing was swapped in between.
        if before.is_some() && before == identity(&folder) {
            return outcome;
        }
    }
    Err(Error::NoCheckpoint {
        path: path.into(),
        problem: "it is being replaced faster than it can be read".into(),
        hint: "try again when the training that writes it pauses or ends".into(),
    })
}

/// Those of `names` that the checkpoint has, all from the same save.
pub fn files(path: &Path, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    undisturbed(path, |folder| {
        let found =
            names.iter().filter_map(|&name| Some(file(folder, name).transpose()?.map(|bytes| (name.into(), bytes))));
        found.collect()
    })
}

/// A file's content; `None` if there is no such file. Whether it is needed is for core to say.
pub fn file(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Changes whenever another folder takes over the name, or a file in it comes or goes.
fn identity(folder: &Path) -> Option<(u64, SystemTime)> {
    let metadata = folder.metadata().ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Some((number, metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::{Existing, RunFolder};
    use super::*;

    fn files_of(text: &str) -> Vec<(String, Vec<u8>)> {
        vec![(CONFIG.into(), text.into()), ("model.safetensors".into(), text.into())]
    }

    #[test]
    fn a_run_stands_for_its_best_checkpoint_and_before_that_for_its_last() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let run = RunFolder::open(&path, Existing::Refuse).unwrap();
        run.save(Slot::Last, &files_of("last")).unwrap();
        assert_eq!(resolve(&path).unwrap(), path.join("last"));
        run.save(Slot::Best, &files_of("best")).unwrap();
        assert_eq!(resolve(&path).unwrap(), path.join("best"));
        assert_eq!(resolve(&path.join("last")).unwrap(), path.join("last"));
        assert_eq!(runs(parent.path()), vec![path.clone()]);

        fs::rename(path.join("last"), path.join("last.old")).unwrap();
        assert_eq!(resolve(&path.join("last")).unwrap(), path.join("last.old"));
    }

    #[test]
    fn what_is_no_checkpoint_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "x").unwrap();
        for (path, problem) in [
            (parent.path().join("missing"), "no such folder"),
            (parent.path().into(), "holds neither config.json"),
            (file, "a file, not a folder"),
        ] {
            let error = resolve(&path).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(runs(&parent.path().join("runs")).is_empty());
    }

    #[test]
    fn absent_files_are_left_out() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join(CONFIG), "{}").unwrap();
        assert_eq!(file(parent.path(), CONFIG).unwrap().unwrap(), b"{}");
        assert_eq!(file(parent.path(), "tokenizer.json").unwrap(), None);
    }

    #[test]
    fn a_reader_beside_a_writer_never_sees_a_mixture() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let run = RunFolder::open(&path, Existing::Refuse).unwrap();
        run.save(Slot::Last, &files_of("0")).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..200 {
                    run.save(Slot::Last, &files_of(&n.to_string())).unwrap();
                }
                done.store(true, Ordering::SeqCst);
            });
            while !done.load(Ordering::SeqCst) {
                match undisturbed(&path, |folder| Ok((file(folder, CONFIG)?, file(folder, "model.safetensors")?))) {
                    Ok((config, model)) => assert!(config.is_some() && config == model, "{config:?} {model:?}"),
                    Err(error) => assert!(error.to_string().contains("being replaced"), "{error}"),
                }
            }
        });
        assert_eq!(undisturbed(&path, |folder| file(folder, CONFIG)).unwrap().unwrap(), b"199");
    }
}
