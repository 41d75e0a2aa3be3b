//! Prepared data: a text as token shards, with the tokenizer that made them.
//!
//! ```text
//! <folder>/
//!   tokenizer.json                     of all shards
//!   train-00000-of-00009.tokens …      see core's `train::shards`
//!   val-00000-of-00001.tokens …
//! ```
//!
//! `trainer data prepare` writes such a folder as a whole or not at all; it is never changed afterwards. Whoever opens it checks
//! everything: the headers, that no shard is missing, the tokenizer's SHA-256, and the SHA-256 of every shard.

mod encoding;
mod mapping;
mod writing;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use inkling_core::Error as Core;
use inkling_core::checkpoint::TOKENIZER_FILE;
use inkling_core::hash::sha256;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::Dataset;
use inkling_core::train::shards::{Shard, Shards, TokenizerIdentity};

use crate::error::{Error, Result};
use crate::terminal::Terminal;
pub use encoding::{Encoded, encode};
pub use writing::{Division, Staging};

/// How shards' names end.
const EXTENSION: &str = "tokens";

/// A prepared text, opened.
#[derive(Debug)]
pub struct Prepared {
    /// Its folder.
    pub path: PathBuf,
    /// The text's name.
    pub name: String,
    /// What made the tokens.
    pub tokenizer: Tokenizer,
    /// The same, as the shards name it.
    pub identity: TokenizerIdentity,
    /// The tokens.
    pub dataset: Dataset,
    /// SHA-256 of the text.
    pub text_sha256: String,
}

/// How shards name a tokenizer.
pub fn identity(tokenizer: &Tokenizer) -> TokenizerIdentity {
    TokenizerIdentity { kind: tokenizer.kind().name().into(), sha256: sha256(&tokenizer.to_json()) }
}

impl Prepared {
    /// Maps and checks all that is in a folder.
    ///
    /// # Errors
    /// [`Error::Data`] names what is missing, damaged, or of something else.
    pub fn open(folder: &Path, terminal: &Terminal) -> Result<Self> {
        let files = shard_files(folder)?;
        let refuse = |problem: Core| refuse(folder, told(&problem));
        let shards = files.iter().map(|path| map_shard(path)).collect::<Result<Vec<_>>>()?;
        let shards = Shards::new(shards).map_err(refuse)?;
        let header = shards.all()[0].header().clone();
        let tokenizer = read_tokenizer(folder, &header.tokenizer)?;
        let characters = tokenizer.characters();

        let bytes = shards.all().iter().map(|shard| shard.header().tokens * shard.header().dtype.bytes() as u64).sum();
        let bar = terminal.byte_bar("checking the shards", Some(bytes));
        for path in &files {
            // By a mapping of its own, given back at once: what training maps later holds the pages of its windows only.
            map_shard(path)?.verify(&characters, |bytes| bar.inc(bytes)).map_err(refuse)?;
        }
        bar.finish_and_clear();
        Ok(Self {
            path: folder.into(),
            name: header.name,
            tokenizer,
            identity: header.tokenizer,
            dataset: Dataset::from_shards(shards, &characters).map_err(refuse)?,
            text_sha256: header.text_sha256,
        })
    }
}

/// The shards of a folder, by name.
fn shard_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|end| end == EXTENSION) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::Data {
            origin: folder.display().to_string(),
            problem: format!("it is a folder without token shards (*.{EXTENSION})"),
            hint: "pass one text file, or a folder that `trainer data prepare` wrote".into(),
        });
    }
    files.sort();
    Ok(files)
}

fn map_shard(path: &Path) -> Result<Shard> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("."));
    let bytes = mapping::map(path).map_err(Error::io("read", path))?;
    Shard::parse(name, bytes).map_err(|problem| refuse(folder, told(&problem)))
}

/// The folder's tokenizer, if it is the one that the shards name.
fn read_tokenizer(folder: &Path, expected: &TokenizerIdentity) -> Result<Tokenizer> {
    let path = folder.join(TOKENIZER_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(refuse(folder, format!("{TOKENIZER_FILE} is missing")));
        }
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let mut json = Vec::new();
    file.take(Tokenizer::MAX_JSON as u64 + 1).read_to_end(&mut json).map_err(Error::io("read", &path))?;
    let tokenizer = Tokenizer::from_json(&json)
        .map_err(|problem| refuse(folder, format!("{TOKENIZER_FILE}: {}", told(&problem))))?;
    let found = identity(&tokenizer);
    if found.sha256 != expected.sha256 {
        return Err(refuse(
            folder,
            format!("{TOKENIZER_FILE} is the tokenizer {found}, and the shards were made with {expected}"),
        ));
    }
    Ok(tokenizer)
}

/// Core's sentence without its preface.
fn told(problem: &Core) -> String {
    match problem {
        Core::Data(problem) | Core::Tokenizer(problem) => problem.clone(),
        other => other.to_string(),
    }
}

fn refuse(folder: &Path, problem: String) -> Error {
    Error::Data {
        origin: folder.display().to_string(),
        problem,
        hint: "prepare the text again with `trainer data prepare`".into(),
    }
}
