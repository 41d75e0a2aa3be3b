//! The text that the page's models learn from. It is not in the repository: the trainer knows where to get it. The page asks for it by a name that
//! says its content, and checks it.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::names::name_of;
use super::{hexadecimal, sha256};
use crate::error::{Error, Result};
use crate::process::{capture, cargo, command_line, root};

/// Its name here.
const FILE: &str = "tinyshakespeare.txt";

/// As the trainer has it.
pub const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";

/// What `trainer data fetch --json` says.
#[derive(Deserialize)]
struct Fetched {
    path: PathBuf,
}

/// Where builds of the page take it from.
pub fn place() -> PathBuf {
    root().join("target/page/data").join(FILE)
}

/// Where the page has it.
pub fn name(text: &[u8]) -> String {
    format!("data/{}", name_of(FILE, text))
}

/// The text, if it lies there and is the right one.
pub fn find() -> Option<Vec<u8>> {
    fs::read(place()).ok().filter(|bytes| is_genuine(bytes))
}

/// Puts it there.
///
/// # Errors
/// It is not there and cannot be fetched, unless the page is to be built `without` it then.
pub fn ensure(without: bool) -> Result<()> {
    if find().is_some() {
        return Ok(());
    }
    println!("fetching the corpus with the trainer (which is built first, a few minutes)");
    let mut fetch = cargo();
    fetch.args(["run", "--quiet", "--package", "trainer", "--", "data", "fetch", "--json"]);
    let answer = match capture(&mut fetch) {
        Ok(answer) => answer,
        Err(error) if without => {
            println!(
                "note: {error}; the page is built without its corpus, so it cannot learn characters or byte pairs"
            );
            return Ok(());
        }
        Err(error) => {
            return Err(Error::Usage(format!(
                "the page's corpus could not be fetched ({error}): try again with a connection, put the text into {}, or build a page that cannot \
                 learn characters or byte pairs, `cargo xtask dist --without-corpus`",
                place().display()
            )));
        }
    };
    let wrong = |problem: String| Error::Output { command: command_line(&fetch), problem };
    let fetched: Fetched = serde_json::from_str(&answer).map_err(|error| wrong(error.to_string()))?;
    let unreadable = |source| Error::File { file: fetched.path.display().to_string(), source };
    let bytes = fs::read(&fetched.path).map_err(unreadable)?;
    if !is_genuine(&bytes) {
        return Err(wrong(format!("{} does not have the SHA-256 {SHA256}", fetched.path.display())));
    }
    let unwritable = |source| Error::File { file: place().display().to_string(), source };
    fs::create_dir_all(place().parent().expect("a file in a folder")).map_err(unwritable)?;
    fs::write(place(), bytes).map_err(unwritable)
}

fn is_genuine(bytes: &[u8]) -> bool {
    hexadecimal(&sha256(bytes)) == SHA256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_and_trainer_mean_the_same_text() {
        let trainer = include_str!("../../../trainer/src/corpus/tinyshakespeare.rs");
        let page = include_str!("../../../page/src/worker/fetch/corpus.rs");
        assert!(trainer.contains(SHA256) && page.contains(SHA256));
        if let Some(text) = find() {
            // As the page asks for it.
            assert_eq!(name(&text), format!("data/tinyshakespeare-{}.txt", &SHA256[..16]));
        }
        assert!(!is_genuine(b"ROMEO:"));
    }
}
