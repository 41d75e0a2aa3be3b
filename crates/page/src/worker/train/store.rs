//! Where a browser keeps files: folders of runs, with files in each.

/// Why something was not kept or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room left.
    Full,
    /// Another tab has it.
    Elsewhere,
    /// What the browser says.
    Other(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str(
                "The browser has no room left for this page's files. Forget an older run, or free some of the disk.",
            ),
            Self::Elsewhere => f.write_str("This run is open in another tab."),
            Self::Other(problem) => write!(f, "The browser keeps no files for this page: {problem}."),
        }
    }
}

impl From<Trouble> for crate::protocol::Failure {
    fn from(trouble: Trouble) -> Self {
        Self::input(trouble.to_string())
    }
}

/// Files by folder. A file that is written is there with all of its bytes or, after a crash, with some of them.
#[allow(async_fn_in_trait, reason = "everything runs on one thread")]
pub trait Store {
    /// Every folder.
    async fn folders(&self) -> Result<Vec<String>, Trouble>;
    /// The names of a folder's files.
    async fn files(&self, folder: &str) -> Result<Vec<String>, Trouble>;
    /// A file, if it is there.
    async fn read(&self, folder: &str, file: &str) -> Result<Option<Vec<u8>>, Trouble>;
    /// Makes or replaces a file, its folder if need be.
    async fn write(&self, folder: &str, file: &str, bytes: &[u8]) -> Result<(), Trouble>;
    /// Removes a file.
    async fn remove(&self, folder: &str, file: &str) -> Result<(), Trouble>;
    /// Removes a folder and all in it.
    async fn forget(&self, folder: &str) -> Result<(), Trouble>;
    /// Keeps other tabs from a folder until [`Self::release`] or the end of this worker.
    async fn hold(&self, folder: &str) -> Result<(), Trouble>;
    /// Lets others have it.
    fn release(&self, folder: &str);
}

#[cfg(target_family = "wasm")]
pub use super::opfs::Opfs as Place;

/// Files in memory, with failures where a test wants them: what there is outside of a browser. Clones are of the same place.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Default)]
pub struct Place(pub std::rc::Rc<std::cell::RefCell<Memory>>);

/// What [`Place`] holds.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Default)]
pub struct Memory {
    /// Files by folder and name.
    pub files: std::collections::BTreeMap<(String, String), Vec<u8>>,
    /// Folders that are held.
    pub held: std::collections::BTreeSet<String>,
    /// Bytes that there is room for, if there is a bound.
    pub room: Option<usize>,
    /// Changes that succeed before the worker is gone: the one after these writes half of its bytes, and no later one does anything.
    pub alive_for: Option<usize>,
}

#[cfg(not(target_family = "wasm"))]
impl Memory {
    /// Counts a change: whether it is the one that a crash interrupts, or an error after it.
    fn change(&mut self) -> Result<bool, Trouble> {
        let Some(left) = self.alive_for else { return Ok(false) };
        self.alive_for = Some(left.saturating_sub(1));
        match left {
            0 => Err(Trouble::Other("the worker is gone".into())),
            1 => Ok(true),
            _ => Ok(false),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Store for Place {
    async fn folders(&self) -> Result<Vec<String>, Trouble> {
        let mut folders: Vec<String> = self.0.borrow().files.keys().map(|(folder, _)| folder.clone()).collect();
        folders.dedup();
        Ok(folders)
    }

    async fn files(&self, folder: &str) -> Result<Vec<String>, Trouble> {
        let memory = self.0.borrow();
        Ok(memory.files.keys().filter(|(of, _)| of == folder).map(|(_, file)| file.clone()).collect())
    }

    async fn read(&self, folder: &str, file: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(self.0.borrow().files.get(&(folder.to_owned(), file.to_owned())).cloned())
    }

    async fn write(&self, folder: &str, file: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let mut memory = self.0.borrow_mut();
        let torn = memory.change()?;
        let used: usize = memory.files.values().map(Vec::len).sum();
        if memory.room.is_some_and(|room| used + bytes.len() > room) {
            return Err(Trouble::Full);
        }
        let bytes = if torn { &bytes[..bytes.len() / 2] } else { bytes };
        memory.files.insert((folder.to_owned(), file.to_owned()), bytes.to_vec());
        if torn { Err(Trouble::Other("the worker is gone".into())) } else { Ok(()) }
    }

    async fn remove(&self, folder: &str, file: &str) -> Result<(), Trouble> {
        let mut memory = self.0.borrow_mut();
        memory.change()?;
        memory.files.remove(&(folder.to_owned(), file.to_owned()));
        Ok(())
    }

    async fn forget(&self, folder: &str) -> Result<(), Trouble> {
        if self.0.borrow().held.contains(folder) {
            return Err(Trouble::Elsewhere);
        }
        self.0.borrow_mut().files.retain(|(of, _), _| of != folder);
        Ok(())
    }

    async fn hold(&self, folder: &str) -> Result<(), Trouble> {
        if self.0.borrow_mut().held.insert(folder.to_owned()) { Ok(()) } else { Err(Trouble::Elsewhere) }
    }

    fn release(&self, folder: &str) {
        self.0.borrow_mut().held.remove(folder);
    }
}
