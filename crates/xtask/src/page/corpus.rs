//! The text that the page's models learn from. It is not in the repository: the trainer knows where to get it.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::{hexadecimal, sha256};
use crate::error::{Error, Result};
use crate::process::{capture, cargo, command_line, root};

/// Its name in the page's folder `data`.
pub const FILE: &str = "tinyshakespeare.txt";

/// As the trainer has it.
const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";

/// What `trainer data fetch --json` says.
#[derive(Deserialize)]
struct Fetched {
    path: PathBuf,
}

/// Where builds of the page take it from.
fn place() -> PathBuf {
    root().join("target/page/data").join(FILE)
}

/// The text, if it lies there and is the right one.
pub fn find() -> Option<Vec<u8>> {
    fs::read(place()).ok().filter(|bytes| is_genuine(bytes))
}

/// Puts it there. Without it the page is built all the same, so being offline is a note and no error.
pub fn ensure() -> Result<()> {
    if find().is_some() {
        return Ok(());
    }
    println!("fetching the corpus with the trainer (which is built first, a few minutes)");
    let mut fetch = cargo();
    fetch.args(["run", "--quiet", "--package", "trainer", "--", "data", "fetch", "--json"]);
    let answer = match capture(&mut fetch) {
        Ok(answer) => answer,
        Err(error) => {
            println!("note: {error}; the page is built without its corpus");
            return Ok(());
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
        assert!(trainer.contains(SHA256));
        assert!(!is_genuine(b"ROMEO:"));
    }
}
