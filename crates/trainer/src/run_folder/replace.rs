//! A folder replaced as a whole.
//!
//! ```text
//! 0  recover            leftovers of an earlier failure (below)
//! 1  <name>.tmp/        created, every file written and fsynced, then the folder fsynced
//! 2  <name>     -> <name>.old      rename, if there is a previous one
//! 3  <name>.tmp -> <name>          rename
//! 4  parent folder fsynced
//! 5  <name>.old/        removed
//! ```
//!
//! Readers take `<name>`, else `<name>.old`: before 2 that is the previous content, between 2 and 3 still the previous,
//! after 3 the new. Nothing is ever read from `<name>.tmp`.
//!
//! Recovery: without `<name>`, `<name>.old` becomes it again; with it, `<name>.old` is a leftover. `<name>.tmp` always is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::atomic_file;
use crate::error::{Error, Result};

/// The changes that the protocol makes, one per call, so that tests can fail or crash at each.
pub trait FileSystem {
    /// Creates one folder.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Writes a new file and makes its content durable.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Renames a folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a folder with everything in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl FileSystem for Disk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        atomic_file::sync_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

/// Where the folder's complete content can be read now: itself, else its `.old`.
pub fn current(folder: &Path) -> Option<PathBuf> {
    let old = beside(folder, ".old");
    if folder.is_dir() {
        Some(folder.into())
    } else if old.is_dir() {
        Some(old)
    } else if folder.is_dir() {
        // A writer finished between the two looks.
        Some(folder.into())
    } else {
        None
    }
}

/// The names that the protocol uses, whether or not they exist: the folder itself, its `.old` and its `.tmp`.
pub fn names(folder: &Path) -> [PathBuf; 3] {
    [folder.into(), beside(folder, ".old"), beside(folder, ".tmp")]
}

/// Replaces `folder` (whose parent exists) by one that holds exactly `files`.
///
/// # Errors
/// [`Error::Save`], which says whether there is a complete content: there is, if there was one before.
pub fn replace(system: &impl FileSystem, folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let outcome = recover(system, folder).and_then(|()| write_and_swap(system, folder, files));
    outcome.map_err(|failure| {
        // Give the space back and the name too; what cannot be done now, the next recovery does.
        let _ = recover(system, folder);
        let kept = match current(folder) {
            // The previous one, or the new one if only what follows the swap failed.
            Some(_) => "a complete checkpoint is there",
            None => "there is no earlier one",
        };
        Error::Save { folder: folder.into(), failure: Box::new(failure), kept }
    })
}

/// Step 0: brings the folder back to one name.
pub fn recover(system: &impl FileSystem, folder: &Path) -> Result<()> {
    let [_, old, new] = names(folder);
    if old.exists() {
        if folder.exists() {
            system.remove_folder(&old).map_err(Error::io("remove", &old))?;
        } else {
            system.rename(&old, folder).map_err(Error::io("rename", &old))?;
        }
    }
    if new.exists() {
        system.remove_folder(&new).map_err(Error::io("remove", &new))?;
    }
    Ok(())
}

/// Steps 1 to 5.
fn write_and_swap(system: &impl FileSystem, folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let [_, old, new] = names(folder);
    system.create_folder(&new).map_err(Error::io("create the folder", &new))?;
    for (name, bytes) in files {
        let path = new.join(name);
        system.write(&path, bytes).map_err(Error::io("write", &path))?;
    }
    system.sync_folder(&new).map_err(Error::io("write", &new))?;
    if folder.exists() {
        system.rename(folder, &old).map_err(Error::io("rename", folder))?;
    }
    system.rename(&new, folder).map_err(Error::io("rename", &new))?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    system.sync_folder(parent).map_err(Error::io("write", parent))?;
    if old.exists() {
        system.remove_folder(&old).map_err(Error::io("remove", &old))?;
    }
    Ok(())
}

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(folder);
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// What happens at the chosen change, counted from 0.
    #[derive(Clone, Copy, Debug)]
    enum Fault {
        /// Killed just before it: neither it nor anything after it happens.
        CrashBefore,
        /// Killed half-way through it.
        CrashWithin,
        /// It alone fails, for want of space.
        DiskFull,
    }

    struct Faulty {
        until_fault: Cell<usize>,
        fault: Fault,
        faulted: Cell<bool>,
    }

    impl Faulty {
        fn new(at: usize, fault: Fault) -> Self {
            Self { until_fault: Cell::new(at), fault, faulted: Cell::new(false) }
        }

        fn change(
            &self,
            whole: impl FnOnce() -> io::Result<()>,
            half: impl FnOnce() -> io::Result<()>,
        ) -> io::Result<()> {
            let crashed = || io::Error::other("crashed");
            if self.faulted.get() {
                return match self.fault {
                    Fault::DiskFull => whole(),
                    Fault::CrashBefore | Fault::CrashWithin => Err(crashed()),
                };
            }
            match self.until_fault.get().checked_sub(1) {
                Some(left) => {
                    self.until_fault.set(left);
                    whole()
                }
                None => {
                    self.faulted.set(true);
                    match self.fault {
                        Fault::CrashBefore => Err(crashed()),
                        Fault::CrashWithin => half().and(Err(crashed())),
                        Fault::DiskFull => half().and(Err(io::ErrorKind::StorageFull.into())),
                    }
                }
            }
        }
    }

    impl FileSystem for Faulty {
        fn create_folder(&self, path: &Path) -> io::Result<()> {
            self.change(|| Disk.create_folder(path), || Ok(()))
        }

        fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.change(|| Disk.write(path, bytes), || Disk.write(path, &bytes[..bytes.len() / 2]))
        }

        fn sync_folder(&self, path: &Path) -> io::Result<()> {
            self.change(|| Disk.sync_folder(path), || Ok(()))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.change(|| Disk.rename(from, to), || Ok(()))
        }

        fn remove_folder(&self, path: &Path) -> io::Result<()> {
            let half = || fs::remove_file(fs::read_dir(path)?.next().expect("the folders here have files")?.path());
            self.change(|| Disk.remove_folder(path), half)
        }
    }

    const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

    /// Files that all carry the same number, so that a mixture of two saves shows.
    fn generation(n: u64) -> Vec<(String, Vec<u8>)> {
        FILES.map(|name| (name.to_owned(), n.to_string().repeat(5000).into_bytes())).to_vec()
    }

    /// The generation that can be read now; fails on anything but a complete one.
    fn read_generation(folder: &Path, candidates: std::ops::RangeInclusive<u64>) -> u64 {
        let folder = current(folder).expect("a checkpoint can be read");
        let mut names: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, FILES);
        let content = FILES.map(|name| fs::read(folder.join(name)).unwrap());
        candidates
            .into_iter()
            .find(|&n| generation(n).iter().zip(&content).all(|((_, expected), found)| expected == found))
            .expect("the files belong to one save")
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    /// Runs `replace` with a fault at every change in turn, until one goes through unharmed; returns how many there were.
    fn with_every_fault(fault: Fault, check: impl Fn(&Path, Result<()>)) -> usize {
        for at in 0.. {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("last");
            replace(&Disk, &folder, &generation(1)).unwrap();
            let system = Faulty::new(at, fault);
            let outcome = replace(&system, &folder, &generation(2));
            if !system.faulted.get() {
                outcome.unwrap();
                return at;
            }
            check(&folder, outcome);
        }
        unreachable!("the protocol ends")
    }

    /// Folder, three files, fsync, two renames, fsync, removal.
    const CHANGES: usize = 9;

    #[test]
    fn a_crash_at_any_step_leaves_a_complete_checkpoint_and_the_next_save_works() {
        for fault in [Fault::CrashBefore, Fault::CrashWithin] {
            let changes = with_every_fault(fault, |folder, outcome| {
                outcome.unwrap_err();
                read_generation(folder, 1..=2);
                replace(&Disk, folder, &generation(3)).unwrap();
                assert_eq!(read_generation(folder, 1..=3), 3);
                assert_eq!(entries(folder.parent().unwrap()), 1, "nothing is left over");
            });
            assert_eq!(changes, CHANGES);
        }
    }

    #[test]
    fn a_crash_during_recovery_from_a_crash_leaves_a_complete_checkpoint() {
        for first in 0..CHANGES {
            for second in 0..CHANGES {
                let parent = tempfile::tempdir().unwrap();
                let folder = parent.path().join("last");
                replace(&Disk, &folder, &generation(1)).unwrap();
                replace(&Faulty::new(first, Fault::CrashWithin), &folder, &generation(2)).unwrap_err();
                let _ = replace(&Faulty::new(second, Fault::CrashWithin), &folder, &generation(3));
                read_generation(&folder, 1..=3);
            }
        }
    }

    #[test]
    fn a_full_disk_leaves_the_previous_checkpoint_and_says_so() {
        let changes = with_every_fault(Fault::DiskFull, |folder, outcome| {
            let error = outcome.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("last") && text.contains("a complete checkpoint is there"), "{text}");
            assert!(error.hint().unwrap().contains("free some space"), "{text}");
            read_generation(folder, 1..=2);
            assert_eq!(entries(folder.parent().unwrap()), 1, "nothing is left over");
        });
        assert_eq!(changes, CHANGES);
    }

    #[test]
    fn a_first_save_that_fails_claims_no_earlier_one() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("last");
        let error = replace(&Faulty::new(1, Fault::DiskFull), &folder, &generation(1)).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("there is no earlier one"), "{error}");
        assert_eq!(entries(parent.path()), 0);
    }

    const CHILD: &str = "INKLING_TEST_SAVE_INTO";

    /// Starts itself again as a process that saves for ever, and kills it (SIGKILL on Unix) in the middle.
    #[test]
    fn kill_9_at_any_moment_leaves_a_complete_checkpoint() {
        const ROUNDS: u64 = 12;
        if let Some(folder) = std::env::var_os(CHILD) {
            let folder = Path::new(&folder);
            let first = if folder.exists() { read_generation(folder, 0..=100_000) } else { 0 };
            for n in first + 1.. {
                replace(&Disk, folder, &generation(n)).unwrap();
                println!("\nsaved {n}");
            }
        }
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("last");
        let mut confirmed = 0;
        for round in 0..ROUNDS {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "run_folder::replace::tests::kill_9_at_any_moment_leaves_a_complete_checkpoint"])
                .args(["--nocapture"])
                .env(CHILD, &folder)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // By the time a line is read here, the child is somewhere inside a later save.
            for _ in 0..=round % 3 {
                let saved = lines.find_map(|line| line.unwrap().strip_prefix("saved ").map(str::to_owned)).unwrap();
                confirmed = saved.parse().unwrap();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            let readable = read_generation(&folder, confirmed..=confirmed + 10_000);
            assert!(readable >= confirmed);
        }
        replace(&Disk, &folder, &generation(0)).unwrap();
        assert_eq!(entries(parent.path()), 1, "nothing is left over");
    }
}
