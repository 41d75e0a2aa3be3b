//! The text to learn from: `--data` takes a path, an https (or http) URL, or a name.
//!
//! | `--data` | comes from |
//! |---|---|
//! | `tinyshakespeare` | the cache; else its public home; else the package `femto-gpt` in cargo's registry ([`tinyshakespeare`]) |
//! | `https://…` | the cache; else that address |
//! | anything else | that file |
//!
//! Whatever was fetched is kept in the cache folder and never trusted blindly: the SHA-256 of a cached text is checked each
//! time it is used, and a text that fails is reported and fetched again.

mod cache;
mod cargo_package;
mod download;
pub mod text_chunks;
mod tinyshakespeare;

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use inkling_core::hash::sha256;
use serde::Serialize;

use crate::cache_folder;
use crate::error::{Error, Result};
use crate::terminal::Terminal;

/// The corpus that everything defaults to.
pub const DEFAULT: &str = tinyshakespeare::NAME;

/// Larger texts are refused: a corpus is held in memory as text and again as tokens.
const MAX_BYTES: u64 = 2 << 30;

const EMPTY: &str = "it is empty";
const EMPTY_HINT: &str = "pass a file with some text";

/// A text with its identity.
#[derive(Debug)]
pub struct Corpus {
    /// Short name for titles and reports: the known name, the file's stem, or the last segment of the URL.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// SHA-256 of the text, lower-case hexadecimal.
    pub sha256: String,
    /// Where it lies on this machine.
    pub path: PathBuf,
    /// Where it came from this time.
    pub source: Source,
}

impl Corpus {
    /// `data`, which this text was loaded as, in words that mean the same in every working directory.
    pub fn address(&self, data: &str) -> String {
        if self.source != Source::File {
            return data.into();
        }
        absolute(&self.path).unwrap_or_else(|| data.into())
    }
}

/// A path in words that mean the same in every working directory.
pub fn absolute(path: &Path) -> Option<String> {
    // A pipe has no canonical path, and not every path is UTF-8.
    let path = path.canonicalize().or_else(|_| std::path::absolute(path));
    path.ok()?.into_os_string().into_string().ok()
}

/// A text on this machine that was not read.
#[derive(Debug)]
pub struct TextFile {
    /// As [`Corpus::name`].
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Where a text came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file of the user's.
    File,
    /// Fetched earlier.
    Cache,
    /// Downloaded just now.
    Download,
    /// Unpacked just now from a package of cargo's registry.
    CargoPackage,
}

/// Whether a text that was fetched earlier will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Take it.
    CachedWillDo,
    /// Fetch again.
    FetchAgain,
}

/// Finds texts: the cache folder and the outside world.
#[derive(Debug)]
pub struct Library<'a> {
    cache: PathBuf,
    home: String,
    cargo: OsString,
    terminal: &'a Terminal,
}

impl<'a> Library<'a> {
    /// The cache folder and the cargo that runs us (`CARGO`) or is on the path.
    pub fn from_environment(terminal: &'a Terminal) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").filter(|value| !value.is_empty()).unwrap_or_else(|| "cargo".into());
        let cache = cache_folder::locate()?;
        Ok(Self { cache, home: tinyshakespeare::HOME.into(), cargo, terminal })
    }

    /// The text that `data` (a path, a URL or a name) stands for.
    ///
    /// # Errors
    /// Names what is wrong and what to do: no such file, a folder, unreadable, empty, not UTF-8 (with the byte's
    /// position), too large; a download that was blocked, refused, cut or altered.
    pub fn load(&self, data: &str, freshness: Freshness) -> Result<Corpus> {
        if data == tinyshakespeare::NAME {
            return tinyshakespeare::load(self, freshness);
        }
        match scheme(data).as_deref() {
            Some("http" | "https") => self.load_url(data, freshness),
            Some(other) => Err(Error::Data {
                origin: data.into(),
                problem: format!("addresses that start with {other}:// are not supported"),
                hint: "use https, or download it yourself and pass --data PATH".into(),
            }),
            None => load_file(data),
        }
    }

    /// Where that text lies on this machine, and its name. A file of the user's is not read, so that it may be of any size.
    ///
    /// # Errors
    /// As [`Self::load`]; what cannot be read twice, such as a pipe, is refused too.
    pub fn locate(&self, data: &str) -> Result<TextFile> {
        if data == tinyshakespeare::NAME || scheme(data).is_some() {
            let Corpus { name, path, .. } = self.load(data, Freshness::CachedWillDo)?;
            return Ok(TextFile { name, path });
        }
        let path = PathBuf::from(data);
        let metadata = check_path(&path)?;
        let refuse = |problem: &str, hint: &str| {
            Err(Error::Data { origin: data.into(), problem: problem.into(), hint: hint.into() })
        };
        if !metadata.is_file() {
            return refuse("it is no ordinary file", "save it to one first");
        }
        if metadata.len() == 0 {
            return refuse(EMPTY, EMPTY_HINT);
        }
        Ok(TextFile { name: stem(&path), path })
    }

    fn load_url(&self, url: &str, freshness: Freshness) -> Result<Corpus> {
        let entry = cache::Entry::of_url(&self.cache, url);
        if freshness == Freshness::CachedWillDo
            && let Some(cached) = entry.find()?
        {
            let bytes = read(&cached.path)?;
            let found = sha256(&bytes);
            if found == cached.sha256 {
                return corpus(url_name(url), bytes, cached.path, Source::Cache);
            }
            self.warn_altered(&cached.path, found, cached.sha256);
        }
        let bytes = download::download(url, self.terminal)?;
        // Checked before it is kept: a page of garbage must not be served from the cache for ever.
        let mut fetched = corpus(url_name(url), bytes, PathBuf::new(), Source::Download).map_err(at_origin(url))?;
        fetched.path = entry.store(fetched.text.as_bytes(), &fetched.sha256)?;
        Ok(fetched)
    }

    fn warn_altered(&self, path: &Path, found: String, expected: String) {
        let altered = Error::Altered { origin: path.display().to_string(), found, expected };
        self.terminal.warn(&format!("{altered}; fetching it again"));
    }
}

/// Lower-case `https` of `https://…`.
fn scheme(data: &str) -> Option<String> {
    let (scheme, _) = data.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

/// `https://host/a/poems.txt?raw=1` → `poems`.
fn url_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or(path);
    last.rsplit_once('.').map_or(last, |(stem, _)| stem).to_owned()
}

fn load_file(data: &str) -> Result<Corpus> {
    let path = Path::new(data);
    corpus(stem(path), read(path)?, path.to_owned(), Source::File)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Fails where there is nothing that could be a text.
fn check_path(path: &Path) -> Result<Metadata> {
    let refuse =
        |problem: &str, hint: String| Error::Data { origin: path.display().to_string(), problem: problem.into(), hint };
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(refuse(
                "there is no such file",
                format!("--data takes the path of a text file, an https URL, or the name {DEFAULT}"),
            ));
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    if metadata.is_dir() {
        return Err(refuse("it is a folder", "pass one text file".into()));
    }
    Ok(metadata)
}

/// Reads at most [`MAX_BYTES`], from pipes too.
fn read(path: &Path) -> Result<Vec<u8>> {
    check_path(path)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("read", path))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::Data {
            origin: path.display().to_string(),
            problem: too_large(),
            hint: "turn it into shards with `trainer data prepare`, and pass their folder".into(),
        });
    }
    Ok(bytes)
}

fn too_large() -> String {
    format!("it is larger than {}", crate::format::bytes(MAX_BYTES))
}

/// Checks that the bytes are a text.
fn corpus(name: String, bytes: Vec<u8>, path: PathBuf, source: Source) -> Result<Corpus> {
    let refuse =
        |problem: String, hint: &str| Error::Data { origin: path.display().to_string(), problem, hint: hint.into() };
    if bytes.is_empty() {
        return Err(refuse(EMPTY.into(), EMPTY_HINT));
    }
    let sha256 = sha256(&bytes);
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refuse(
            format!("byte {at} (0x{:02x}) is not UTF-8", error.as_bytes()[at]),
            "convert it first, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        )
    })?;
    Ok(Corpus { name, text, sha256, path, source })
}

/// Names the URL in complaints about a downloaded text, which has no path yet.
fn at_origin(url: &str) -> impl FnOnce(Error) -> Error {
    move |error| match error {
        Error::Data { problem, hint, .. } => Error::Data { origin: url.to_owned(), problem, hint },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::test_server::{Reply, Server};

    fn library<'a>(cache: &Path, terminal: &'a Terminal) -> Library<'a> {
        Library { cache: cache.into(), home: String::new(), cargo: "cargo".into(), terminal }
    }

    fn load(data: &str) -> Result<Corpus> {
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), &Terminal::new(true, true)).load(data, Freshness::CachedWillDo)
    }

    fn load_bytes(bytes: &[u8]) -> Result<Corpus> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poems.txt");
        std::fs::write(&path, bytes).unwrap();
        load(path.to_str().unwrap())
    }

    #[test]
    fn a_file_is_read_whole_and_named_by_its_stem() {
        let corpus = load_bytes("Füße\n".as_bytes()).unwrap();
        assert_eq!((corpus.name.as_str(), corpus.text.as_str()), ("poems", "Füße\n"));
        assert_eq!(corpus.source, Source::File);
        assert_eq!(corpus.sha256, "fc0ac437ac2c84d7cd63cc1781ed9dab6d98c44aaa44ee02fb09b488a1b2901e");
    }

    #[test]
    fn unusable_files_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nothing.txt");
        for (result, reason) in [
            (load_bytes(b""), "it is empty"),
            (load_bytes(b"caf\xe9 au lait"), "byte 3 (0xe9) is not UTF-8"),
            (load(folder.path().to_str().unwrap()), "it is a folder"),
            (load(missing.to_str().unwrap()), "there is no such file"),
            (load(""), "there is no such file"),
            (load("ftp://host/poems.txt"), "start with ftp:// are not supported"),
        ] {
            let error = result.unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(error.exit_code(), 2);
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn a_path_through_a_file_is_an_error_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert!(load(folder.path().join("file/below").to_str().unwrap()).is_err());
    }

    #[test]
    fn urls_are_named_by_their_last_segment() {
        assert_eq!(url_name("https://host/a/poems.txt?raw=1#top"), "poems");
        assert_eq!(url_name("https://host/a/poems/"), "poems");
        assert_eq!(scheme("HTTPS://host/x").as_deref(), Some("https"));
        assert_eq!(scheme("./a://b"), None);
    }

    #[test]
    fn a_url_is_downloaded_once_and_then_served_from_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let terminal = Terminal::new(true, true);
        let library = library(folder.path(), &terminal);
        let server = Server::start(vec![Reply::ok("first"), Reply::ok("second")]);
        let load = |freshness| library.load(&server.url("/poems.txt"), freshness).unwrap();

        let corpus = load(Freshness::CachedWillDo);
        assert_eq!((corpus.text.as_str(), corpus.source), ("first", Source::Download));
        assert_eq!(corpus.name, "poems");
        let corpus = load(Freshness::CachedWillDo);
        assert_eq!((corpus.text.as_str(), corpus.source), ("first", Source::Cache));
        let corpus = load(Freshness::FetchAgain);
        assert_eq!((corpus.text.as_str(), corpus.source), ("second", Source::Download));
        let corpus = load(Freshness::CachedWillDo);
        assert_eq!((corpus.text.as_str(), corpus.source), ("second", Source::Cache));
    }

    #[test]
    fn a_cached_text_that_was_altered_is_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let terminal = Terminal::new(true, true);
        let library = library(folder.path(), &terminal);
        let server = Server::start(vec![Reply::ok("text"), Reply::ok("text")]);
        let load = || library.load(&server.url("/poems.txt"), Freshness::CachedWillDo).unwrap();

        std::fs::write(load().path, "tex").unwrap();
        let corpus = load();
        assert_eq!((corpus.text.as_str(), corpus.source), ("text", Source::Download));
        assert_eq!(load().source, Source::Cache);
    }

    #[test]
    fn a_failed_download_leaves_nothing_in_the_cache() {
        for reply in
            [Reply::cut("half of it", 100), Reply::status(404), Reply::ok("caf\u{e9}").mangled(), Reply::ok("")]
        {
            let folder = tempfile::tempdir().unwrap();
            let terminal = Terminal::new(true, true);
            let server = Server::start(vec![reply]);
            let url = server.url("/poems.txt");
            let error = library(folder.path(), &terminal).load(&url, Freshness::CachedWillDo).unwrap_err();
            assert!(error.to_string().contains(&url), "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
