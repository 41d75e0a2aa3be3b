//! A training run on disk.
//!
//! ```text
//! runs/<name>/
//!   last/            checkpoint of the latest evaluation, what --resume continues from
//!   best/            checkpoint with the lowest validation loss
//!   metrics.jsonl    one JSON object per line (see [`metrics`])
//!   loss.svg         the curves
//!   run.lock         held by the trainer that writes here
//! ```
//!
//! Each checkpoint is replaced as a whole by the protocol of [`replace`], so that a complete one can be read at any moment,
//! whatever is killed or full.

pub mod metrics;
pub mod read;
pub mod replace;

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic_file;
use crate::error::{Error, Result};
use replace::{Disk, current, names};

/// The two checkpoints of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The latest.
    Last,
    /// The one with the lowest validation loss.
    Best,
}

impl Slot {
    /// Both.
    pub const ALL: [Slot; 2] = [Slot::Last, Slot::Best];

    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Slot::Last => "last",
            Slot::Best => "best",
        }
    }
}

/// What to do about a folder that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone and say so.
    Refuse,
    /// Continue the run in it (`--resume`).
    Resume,
    /// Delete the run in it (`--overwrite`).
    Overwrite,
}

/// The log's file name.
pub const METRICS: &str = "metrics.jsonl";
const LOSS_PLOT: &str = "loss.svg";
const LOCK: &str = "run.lock";

/// A run folder held for writing: no other trainer can write it until this is dropped or the process is gone.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: File,
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is being started holds a copy of it until it runs its own program.
        // What fails here ends with the process.
        let _ = self.lock.unlock();
    }
}

impl RunFolder {
    /// Fails as [`Self::open`] would for what is in the folder now, and changes nothing.
    pub fn check(path: &Path, existing: Existing) -> Result<()> {
        let occupied = is_occupied(path)?;
        match existing {
            Existing::Refuse if occupied => Err(Error::RunExists { path: path.into() }),
            Existing::Overwrite if occupied && !looks_like_a_run(path) => Err(Error::NotARun { path: path.into() }),
            Existing::Resume if current(&path.join(Slot::Last.name())).is_none() => Err(Error::NoCheckpoint {
                path: path.into(),
                problem: "there is nothing to resume".into(),
                hint: "start it without --resume (with --overwrite if the folder exists)".into(),
            }),
            Existing::Refuse | Existing::Overwrite | Existing::Resume => Ok(()),
        }
    }

    /// Creates the folder or takes over an existing one, as `existing` says. What a killed trainer left is tidied up.
    ///
    /// # Errors
    /// [`Error::RunExists`], [`Error::RunLocked`], [`Error::NotARun`], [`Error::NoCheckpoint`] (nothing to resume) or
    /// [`Error::Io`] (the place cannot be written). Nothing has been changed then, except that a missing folder may have
    /// been created.
    pub fn open(path: &Path, existing: Existing) -> Result<Self> {
        Self::check(path, existing)?;
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(Error::io("create the folder", path))?;
        if is_new {
            // What is saved in the folder is safe only if the folder's own name is.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            atomic_file::sync_folder(parent).map_err(Error::io("write", parent))?;
        }
        let folder = Self { path: path.into(), lock: lock(path)? };
        match existing {
            // Looked at again under the lock: another trainer may have started and ended in between.
            Existing::Refuse if is_occupied(path)? => return Err(Error::RunExists { path: path.into() }),
            Existing::Refuse => {}
            Existing::Resume => folder.tidy()?,
            Existing::Overwrite => folder.clear()?,
        }
        Ok(folder)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's own name: the run's name in titles and reports.
    pub fn name(&self) -> String {
        name_of(&self.path)
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// `loss.svg`.
    pub fn loss_plot(&self) -> PathBuf {
        self.path.join(LOSS_PLOT)
    }

    /// Replaces a checkpoint by these files (name and content). On failure the previous one is intact.
    pub fn save(&self, slot: Slot, files: &[(String, Vec<u8>)]) -> Result<()> {
        replace::replace(&Disk, &self.path.join(slot.name()), files)
    }

    /// Where a checkpoint can be read, if it has ever been saved.
    pub fn checkpoint(&self, slot: Slot) -> Option<PathBuf> {
        current(&self.path.join(slot.name()))
    }

    /// Removes what a killed trainer left; while the lock is held, every temporary file is one of those.
    fn tidy(&self) -> Result<()> {
        for slot in Slot::ALL {
            replace::recover(&Disk, &self.path.join(slot.name()))?;
        }
        for entry in fs::read_dir(&self.path).map_err(Error::io("read", &self.path))? {
            let entry = entry.map_err(Error::io("read", &self.path))?;
            if entry.file_name().to_string_lossy().starts_with(atomic_file::TEMPORARY) {
                fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Deletes what a run writes and nothing else. A checkpoint first takes the name that nobody reads, so that a kill in
    /// the middle leaves no half of it in sight.
    fn clear(&self) -> Result<()> {
        self.tidy()?;
        for slot in Slot::ALL {
            let [folder, _, unread] = names(&self.path.join(slot.name()));
            if folder.exists() {
                fs::rename(&folder, &unread).map_err(Error::io("rename", &folder))?;
                fs::remove_dir_all(&unread).map_err(Error::io("remove", &unread))?;
            }
        }
        for file in [METRICS, LOSS_PLOT].map(|file| self.path.join(file)) {
            if file.exists() {
                fs::remove_file(&file).map_err(Error::io("remove", &file))?;
            }
        }
        Ok(())
    }
}

/// The run's name: the last part of its path, also of `.` and `runs/..`.
pub fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
}

/// Whether there is anything to lose: any entry but the lock, which outlives runs that ended before their first save.
fn is_occupied(path: &Path) -> Result<bool> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("use the run folder", path)(error)),
    };
    for entry in entries {
        if entry.map_err(Error::io("read", path))?.file_name() != OsStr::new(LOCK) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `path` is where a run keeps one of its checkpoints.
pub fn is_slot(path: &Path) -> bool {
    let named =
        |slot: &Slot| names(Path::new(slot.name())).iter().any(|name| path.file_name() == Some(name.as_os_str()));
    Slot::ALL.iter().any(named) && path.parent().is_some_and(looks_like_a_run)
}

/// A folder with a run's lock (which is only ever put into a folder of ours) or metrics, or with a checkpoint.
fn looks_like_a_run(path: &Path) -> bool {
    let mut checkpoints = Slot::ALL.into_iter().flat_map(|slot| names(&path.join(slot.name())));
    [LOCK, METRICS].iter().any(|file| path.join(file).is_file())
        || checkpoints.any(|folder| folder.join(read::CONFIG).is_file())
}

fn lock(path: &Path) -> Result<File> {
    let file = path.join(LOCK);
    let lock =
        File::options().create(true).write(true).truncate(false).open(&file).map_err(Error::io("write", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::RunLocked { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &file)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &str) -> Vec<(String, Vec<u8>)> {
        vec![("config.json".into(), config.into()), ("model.safetensors".into(), vec![7; 100])]
    }

    fn saved_run(path: &Path) {
        let run = RunFolder::open(path, Existing::Refuse).unwrap();
        run.save(Slot::Last, &files("{}")).unwrap();
        fs::write(run.metrics(), "{\"step\":1}\n").unwrap();
    }

    #[test]
    fn an_existing_run_is_refused_resumed_or_overwritten_as_told() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("runs/a");
        saved_run(&path);
        let error = RunFolder::open(&path, Existing::Refuse).unwrap_err();
        assert!(matches!(error, Error::RunExists { .. }) && error.to_string().contains("runs/a"), "{error}");

        let run = RunFolder::open(&path, Existing::Resume).unwrap();
        assert_eq!(run.name(), "a");
        assert_eq!(run.checkpoint(Slot::Last), Some(path.join("last")));
        assert_eq!(run.checkpoint(Slot::Best), None);
        drop(run);

        let run = RunFolder::open(&path, Existing::Overwrite).unwrap();
        assert_eq!(run.checkpoint(Slot::Last), None);
        assert!(!run.metrics().exists());
    }

    #[test]
    fn an_empty_folder_and_a_run_that_saved_nothing_are_free_to_use() {
        let parent = tempfile::tempdir().unwrap();
        drop(RunFolder::open(parent.path(), Existing::Refuse).unwrap());
        assert!(parent.path().join(LOCK).exists());
        RunFolder::open(parent.path(), Existing::Refuse).unwrap();
    }

    #[test]
    fn overwriting_keeps_its_hands_off_other_folders_and_other_files() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("last")).unwrap();
        fs::write(parent.path().join("last/song.mp3"), "la").unwrap();
        let error = RunFolder::open(parent.path(), Existing::Overwrite).unwrap_err();
        assert!(matches!(error, Error::NotARun { .. }), "{error}");
        assert!(parent.path().join("last/song.mp3").exists());

        let run = parent.path().join("run");
        saved_run(&run);
        fs::write(run.join("notes.txt"), "mine").unwrap();
        RunFolder::open(&run, Existing::Overwrite).unwrap();
        assert!(run.join("notes.txt").exists() && !run.join("last").exists());
    }

    #[test]
    fn two_trainers_never_write_the_same_run() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        saved_run(&path);
        let first = RunFolder::open(&path, Existing::Resume).unwrap();
        for existing in [Existing::Resume, Existing::Overwrite] {
            let error = RunFolder::open(&path, existing).unwrap_err();
            assert!(matches!(error, Error::RunLocked { .. }), "{error}");
        }
        assert!(path.join("last").exists());
        drop(first);
        RunFolder::open(&path, Existing::Resume).unwrap();
    }

    #[test]
    fn a_lock_ends_with_its_holder_even_if_a_child_process_has_a_copy() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::open(parent.path(), Existing::Refuse).unwrap();
        // As `fork` leaves it to a child.
        let copy = run.lock.try_clone().unwrap();
        drop(run);
        RunFolder::open(parent.path(), Existing::Refuse).unwrap();
        drop(copy);
    }

    #[test]
    fn nothing_to_resume_is_an_error_that_creates_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let error = RunFolder::open(&path, Existing::Resume).unwrap_err();
        assert!(error.to_string().contains("nothing to resume"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn places_that_cannot_be_written_are_refused_with_a_hint() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = RunFolder::open(&path, Existing::Refuse).unwrap_err();
            assert!(error.to_string().contains("file") && error.hint().is_some(), "{error}");
        }
        if cfg!(target_os = "linux") {
            // Not even root creates folders there.
            let error = RunFolder::open(Path::new("/proc/inkling/run"), Existing::Refuse).unwrap_err();
            assert!(error.to_string().contains("cannot create the folder /proc/inkling/run"), "{error}");
        }
    }

    #[test]
    fn opening_a_run_tidies_what_a_killed_trainer_left() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        saved_run(&path);
        fs::rename(path.join("last"), path.join("last.old")).unwrap();
        fs::create_dir(path.join("best.tmp")).unwrap();
        fs::write(path.join("best.tmp/config.json"), "{").unwrap();
        fs::write(path.join(".writing-a1b2c3"), "<svg").unwrap();
        let run = RunFolder::open(&path, Existing::Resume).unwrap();
        assert_eq!(run.checkpoint(Slot::Last), Some(path.join("last")));
        let mut left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["last", METRICS, LOCK]);
    }
}
