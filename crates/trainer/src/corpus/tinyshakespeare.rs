//! Tiny Shakespeare: 40,000 lines of his plays, 1,115,394 bytes, 65 distinct characters. Collected by Andrej Karpathy for
//! char-rnn (2015), the usual first corpus of a small language model.
//!
//! Looked for in this order: the cache; its public home; the package `femto-gpt` 0.2.0 in cargo's registry, whose
//! `dataset.txt` is the same text with the trailing blanks of two lines trimmed. Wherever it comes from, it is accepted
//! only if its SHA-256 is the real one.

use std::path::Path;

use inkling_core::hash::sha256;

use super::cargo_package::Package;
use super::{Corpus, Freshness, Library, Source, corpus, download, read};
use crate::atomic_file;
use crate::error::{Error, Result};
use crate::format;

/// Its name for `--data`.
pub const NAME: &str = "tinyshakespeare";
/// Its public home.
pub const HOME: &str = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt";
/// Its SHA-256.
pub const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
/// Its size.
const BYTES: u64 = 1_115_394;

/// The package that carries a trimmed copy.
const PACKAGE: Package = Package { name: "femto-gpt", version: "0.2.0" };
const PACKAGE_FILE: &str = "dataset.txt";
/// The lines (from 1) that lost two trailing blanks there, and what is left of them.
const TRIMMED: [(usize, &str); 2] = [(2478, "And"), (2479, "Twice being")];

/// The corpus by the first way that works.
///
/// # Errors
/// [`Error::Unobtainable`] tells how each way failed and where to put the file by hand.
pub fn load(library: &Library, freshness: Freshness) -> Result<Corpus> {
    let path = library.cache.join(NAME).with_extension("txt");
    if freshness == Freshness::CachedWillDo && path.exists() {
        let bytes = read(&path)?;
        match sha256(&bytes) {
            found if found == SHA256 => return corpus(NAME.into(), bytes, path, Source::Cache),
            found => library.warn_altered(&path, found, SHA256.into()),
        }
    }
    let (bytes, source) = fetch(library, &path)?;
    atomic_file::write(&path, &bytes)?;
    corpus(NAME.into(), bytes, path, source)
}

fn fetch(library: &Library, path: &Path) -> Result<(Vec<u8>, Source)> {
    let mut attempts = Vec::new();
    let from_home = || genuine(download::download(&library.home, library.terminal)?, &library.home);
    match from_home() {
        Ok(bytes) => return Ok((bytes, Source::Download)),
        Err(error) => attempts.push(error),
    }
    library.terminal.note(&format!("{}; trying the package {} in cargo's registry", attempts[0], PACKAGE.name));
    let from_package = || {
        let trimmed = PACKAGE.read(PACKAGE_FILE, &library.cargo, library.terminal)?;
        genuine(restore(&trimmed), &format!("{PACKAGE_FILE} of the package {} {}", PACKAGE.name, PACKAGE.version))
    };
    match from_package() {
        Ok(bytes) => return Ok((bytes, Source::CargoPackage)),
        Err(error) => attempts.push(error),
    }
    let hint = format!(
        "put the file ({} bytes, SHA-256 {SHA256}) at {}, or train on a text of your own with --data PATH",
        format::count(BYTES),
        path.display()
    );
    Err(Error::Unobtainable { name: NAME.into(), attempts, hint })
}

/// Accepts only the real text.
fn genuine(bytes: Vec<u8>, origin: &str) -> Result<Vec<u8>> {
    let found = sha256(&bytes);
    if found == SHA256 {
        return Ok(bytes);
    }
    Err(Error::Altered { origin: origin.into(), found, expected: SHA256.into() })
}

/// Gives the trimmed lines their trailing blanks back. Other texts pass through; their SHA-256 gives them away.
fn restore(trimmed: &[u8]) -> Vec<u8> {
    let mut restored = Vec::with_capacity(trimmed.len() + 2 * TRIMMED.len());
    for (number, line) in (1..).zip(trimmed.split_inclusive(|&byte| byte == b'\n')) {
        match TRIMMED.iter().find(|(at, text)| *at == number && line == format!("{text}\n").as_bytes()) {
            Some((_, text)) => restored.extend_from_slice(format!("{text}  \n").as_bytes()),
            None => restored.extend_from_slice(line),
        }
    }
    restored
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::http::test_server::{Reply, Server, refusing_url};
    use crate::terminal::Terminal;

    fn load_with(cache: &Path, home: String, cargo: impl Into<OsString>) -> Result<Corpus> {
        let terminal = Terminal::new(true, true);
        let library = Library { cache: cache.into(), home, cargo: cargo.into(), terminal: &terminal };
        load(&library, Freshness::CachedWillDo)
    }

    #[test]
    fn without_its_home_it_comes_out_of_the_package_then_the_cache_then_the_home() {
        let folder = tempfile::tempdir().unwrap();
        let packaged = load_with(folder.path(), refusing_url(), env!("CARGO")).unwrap();
        assert_eq!((packaged.sha256.as_str(), packaged.source), (SHA256, Source::CargoPackage));
        assert_eq!((packaged.name.as_str(), packaged.text.len() as u64), (NAME, BYTES));

        let cached = load_with(folder.path(), refusing_url(), "no-such-cargo").unwrap();
        assert_eq!((cached.sha256.as_str(), cached.source), (SHA256, Source::Cache));

        let fresh = tempfile::tempdir().unwrap();
        let server = Server::start(vec![Reply::ok(&packaged.text)]);
        let downloaded = load_with(fresh.path(), server.url("/input.txt"), "no-such-cargo").unwrap();
        assert_eq!((downloaded.sha256.as_str(), downloaded.source), (SHA256, Source::Download));

        // Damage on the disk is noticed, and healed from wherever it can be.
        std::fs::write(&downloaded.path, &packaged.text[..1000]).unwrap();
        let server = Server::start(vec![Reply::ok(&packaged.text)]);
        let healed = load_with(fresh.path(), server.url("/input.txt"), "no-such-cargo").unwrap();
        assert_eq!((healed.sha256.as_str(), healed.source), (SHA256, Source::Download));
        assert_eq!(std::fs::read(&healed.path).unwrap(), packaged.text.as_bytes());
    }

    #[test]
    fn when_every_way_fails_each_is_told_and_nothing_is_kept() {
        for (reply, problem) in [
            (Reply::ok("First Citizen:\nBefore we proceed"), "was altered: its SHA-256 is"),
            (Reply::cut("First Citizen:\n", BYTES), "cut after 15 of 1,115,394 bytes"),
            (Reply::status(404), "status 404"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let url = Server::start(vec![reply]).url("/input.txt");
            let error = load_with(folder.path(), url.clone(), "no-such-cargo").unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&url) && text.contains(problem), "{text}");
            assert!(text.contains("cannot run no-such-cargo"), "{text}");
            let hint = error.hint().unwrap();
            assert!(hint.contains("tinyshakespeare.txt") && hint.contains("--data PATH"), "{hint}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn only_the_two_trimmed_lines_are_restored() {
        let mut lines = vec!["And"; 2477];
        lines.extend(["And", "Twice being", "Twice being", "And"]);
        let restored = String::from_utf8(restore((lines.join("\n") + "\n").as_bytes())).unwrap();
        let blanks: Vec<usize> = restored.lines().zip(1..).filter(|(l, _)| l.ends_with("  ")).map(|(_, n)| n).collect();
        assert_eq!(blanks, [2478, 2479]);
    }
}
