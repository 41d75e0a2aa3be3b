//! Encoded text, divided into shards, in a folder that appears as a whole.
//!
//! ```text
//! 1  .writing-XXXXXX/   created beside the folder; the encoded text lies in it without a name
//! 2                     tokenizer.json and every shard written and fsynced, then the folder fsynced
//! 3  renamed            to its own name, and the folder around it fsynced
//! ```
//!
//! Whatever fails or stops before 3 removes everything; what a kill leaves begins with `.writing-` and is never read.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use inkling_core::checkpoint::TOKENIZER_FILE;
use inkling_core::hash::hex;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::Split;
use inkling_core::train::dataset::{tokens_within, train_share};
use inkling_core::train::shards::ShardHeader;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{EXTENSION, Encoded, identity};
use crate::atomic_file::{self, TEMPORARY, sync_folder};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::terminal::Terminal;

/// Bytes of tokens read at once.
const BUFFER: usize = 1 << 20;
/// More shards than any folder should hold, and what five digits can number.
const MOST_SHARDS: u64 = 100_000;

/// How a text is divided.
#[derive(Clone, Copy, Debug)]
pub struct Division {
    /// Tokens of a shard, but for the last of a split.
    pub shard_tokens: u64,
    /// Share of the text, its end, that is for validation.
    pub val_share: f64,
}

/// A folder in the making.
#[derive(Debug)]
pub struct Staging {
    folder: TempDir,
    out: PathBuf,
}

impl Staging {
    /// Begins to make the folder `out`.
    ///
    /// # Errors
    /// [`Error::OutputExists`] when there is something in it.
    pub fn begin(out: &Path) -> Result<Self> {
        check_free(out)?;
        let parent = parent(out);
        fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary folders are private by default; this one becomes an ordinary one, subject to the umask.
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let folder = builder.tempdir_in(parent).map_err(Error::io("create a folder in", parent))?;
        Ok(Self { folder, out: out.into() })
    }

    /// Where it is being made.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the tokenizer and the shards, and tells what each is.
    ///
    /// # Errors
    /// A text that cannot be divided so; failures of the disk; [`Error::Stopped`].
    pub fn write(
        &self,
        name: &str,
        encoded: &mut Encoded,
        tokenizer: &Tokenizer,
        division: Division,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Vec<ShardHeader>> {
        atomic_file::write(&self.path().join(TOKENIZER_FILE), &tokenizer.to_json())?;
        let characters = tokenizer.characters();
        let train =
            train_tokens(encoded, &characters, division.val_share).map_err(Error::io("read in", self.path()))?;
        let plan = plan(name, encoded, train, tokenizer, division.shard_tokens)?;
        let bar = terminal.byte_bar("writing the shards", Some(encoded.tokens * encoded.dtype.bytes() as u64));
        let mut start = 0;
        let mut shards = Vec::new();
        for mut header in plan {
            let path = self.path().join(file_name(&header));
            let bytes = header.tokens * header.dtype.bytes() as u64;
            let outcome = measure(&mut encoded.file, start, &mut header, &characters, |bytes| bar.inc(bytes))
                .and_then(|()| write_shard(&path, &header, &mut encoded.file, start));
            outcome.map_err(Error::io("write", &path))?;
            interrupt.check()?;
            start += bytes;
            shards.push(header);
        }
        bar.finish_and_clear();
        Ok(shards)
    }

    /// Gives the folder its name.
    pub fn finish(self) -> Result<()> {
        let Self { folder, out } = self;
        sync_folder(folder.path()).map_err(Error::io("write", folder.path()))?;
        check_free(&out)?;
        if out.exists() {
            fs::remove_dir(&out).map_err(Error::io("replace the empty folder", &out))?;
        }
        fs::rename(folder.path(), &out).map_err(Error::io("rename a folder to", &out))?;
        // Under its new name it is no temporary folder any more.
        let _ = folder.keep();
        sync_folder(parent(&out)).map_err(Error::io("write", parent(&out)))
    }
}

/// Fails when `out` holds something.
pub fn check_free(out: &Path) -> Result<()> {
    match fs::read_dir(out).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Error::OutputExists { path: out.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("use the folder", out)(error)),
    }
}

fn parent(out: &Path) -> &Path {
    out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn file_name(header: &ShardHeader) -> String {
    format!("{}-{:05}-of-{:05}.{EXTENSION}", header.split, header.index, header.count)
}

/// How many of the tokens are for training.
fn train_tokens(encoded: &mut Encoded, characters: &[u32], val_share: f64) -> io::Result<u64> {
    let limit = train_share(encoded.characters, val_share);
    encoded.file.seek(SeekFrom::Start(0))?;
    let (mut buffer, mut of_each) = (vec![0; BUFFER], Vec::new());
    let (mut train, mut end) = (0, 0);
    let mut left = encoded.tokens * encoded.dtype.bytes() as u64;
    while left > 0 {
        let bytes = &mut buffer[..left.min(BUFFER as u64) as usize];
        encoded.file.read_exact(bytes)?;
        of_each.clear();
        encoded.dtype.decode(bytes, |token| of_each.push(u64::from(characters[token as usize])));
        let within = tokens_within(limit - end, of_each.iter().copied());
        train += within;
        if within < of_each.len() as u64 {
            break;
        }
        end += of_each.iter().sum::<u64>();
        left -= bytes.len() as u64;
    }
    Ok(train)
}

/// The shards in their order, without what only their tokens tell.
fn plan(
    name: &str,
    encoded: &Encoded,
    train: u64,
    tokenizer: &Tokenizer,
    shard_tokens: u64,
) -> Result<Vec<ShardHeader>> {
    let refuse = |problem: String, hint: &str| Error::Data { origin: name.into(), problem, hint: hint.into() };
    let total = encoded.tokens;
    if train == 0 || train == total {
        let problem = format!("its {total} tokens give {train} to learn from and {} to validate on", total - train);
        return Err(refuse(problem, "use a longer text or another --val-share"));
    }
    let shards = train.div_ceil(shard_tokens) + (total - train).div_ceil(shard_tokens);
    if shards > MOST_SHARDS {
        return Err(refuse(
            format!("it would make {shards} shards; the most is {MOST_SHARDS}"),
            "raise --shard-tokens",
        ));
    }
    let identity = identity(tokenizer);
    let of_split = |(split, tokens): (Split, u64)| {
        let count = tokens.div_ceil(shard_tokens);
        let identity = identity.clone();
        (0..count).map(move |index| ShardHeader {
            name: name.into(),
            split,
            index: index as u32,
            count: count as u32,
            dtype: encoded.dtype,
            tokens: shard_tokens.min(tokens - index * shard_tokens),
            characters: 0,
            total_tokens: total,
            vocab_size: tokenizer.vocab_size() as u64,
            tokenizer: identity.clone(),
            data_sha256: String::new(),
            text_sha256: encoded.text_sha256.clone(),
        })
    };
    Ok([(Split::Train, train), (Split::Val, total - train)].into_iter().flat_map(of_split).collect())
}

/// Finds what the header says about its tokens, which begin at byte `start`.
fn measure(
    tokens: &mut File,
    start: u64,
    header: &mut ShardHeader,
    characters: &[u32],
    mut progress: impl FnMut(u64),
) -> io::Result<()> {
    tokens.seek(SeekFrom::Start(start))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BUFFER]);
    let mut left = header.tokens * header.dtype.bytes() as u64;
    while left > 0 {
        let now = left.min(BUFFER as u64);
        let bytes = &mut buffer[..now as usize];
        tokens.read_exact(bytes)?;
        hash.update(&*bytes);
        header.dtype.decode(bytes, |token| header.characters += u64::from(characters[token as usize]));
        progress(now);
        left -= now;
    }
    header.data_sha256 = hex(&hash.finalize());
    Ok(())
}

fn write_shard(path: &Path, header: &ShardHeader, tokens: &mut File, start: u64) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(&header.to_bytes())?;
    tokens.seek(SeekFrom::Start(start))?;
    let bytes = header.tokens * header.dtype.bytes() as u64;
    let copied = io::copy(&mut tokens.take(bytes), &mut file)?;
    if copied != bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use inkling_core::tokenizer::{CharTokenizer, Tokenizer};

    use super::super::{Prepared, encode};
    use super::*;
    use crate::corpus::TextFile;

    const TEXT: &str = "The cat sees the owl. ";

    /// Prepares a text in a folder until `stop` says so: while encoding, while writing, or never.
    fn prepare(folder: &Path, stop: [bool; 2]) -> Result<()> {
        let terminal = Terminal::new(true, true);
        let text = TextFile { name: "text".into(), path: folder.join("text.txt") };
        fs::write(&text.path, TEXT.repeat(100)).unwrap();
        let tokenizer = Tokenizer::from(CharTokenizer::from_text(TEXT).unwrap());
        let staging = Staging::begin(&folder.join("p"))?;
        let mut encoded = encode(&text, &tokenizer, staging.path(), &terminal, &Interrupt::fixed(stop[0]))?;
        let division = Division { shard_tokens: 100, val_share: 0.1 };
        staging.write("text", &mut encoded, &tokenizer, division, &terminal, &Interrupt::fixed(stop[1]))?;
        staging.finish()
    }

    #[test]
    fn an_interrupted_preparation_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        for stop in [[true, false], [false, true]] {
            let error = prepare(folder.path(), stop).unwrap_err();
            assert!(matches!(error, Error::Stopped) && error.exit_code() == 130, "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the text");
        }
    }

    #[test]
    fn a_folder_that_fills_up_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("p");
        let staging = Staging::begin(&out).unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("song.mp3"), "la").unwrap();
        assert!(matches!(staging.finish().unwrap_err(), Error::OutputExists { .. }));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(out.join("song.mp3").exists());
    }

    #[test]
    fn what_is_written_is_the_text() {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), [false, false]).unwrap();
        let prepared = Prepared::open(&folder.path().join("p"), &Terminal::new(true, true)).unwrap();
        let all = prepared.dataset.split(Split::All);
        let mut tokens = vec![0; all.len() as usize];
        all.read(0, &mut tokens).unwrap();
        assert_eq!(prepared.tokenizer.decode(&tokens).unwrap(), TEXT.repeat(100));
    }
}
