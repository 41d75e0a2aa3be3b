//! `manifest.json`, beside the models that come with the page: what their files must be.
//!
//! ```text
//! {"name": "Shakespeare", "val_loss": 1.49, "command": "trainer train …", "files": {"config.json": {"bytes": 1108, "sha256": "…"}, …}}
//! ```

use std::collections::BTreeMap;

use inkling_core::hash::sha256;
use serde::Deserialize;

use crate::protocol::Failure;

/// The file's name.
pub const MANIFEST_FILE: &str = "manifest.json";

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Manifest {
    /// What to call the model.
    pub name: String,
    /// What it scored.
    pub val_loss: Option<f64>,
    /// What made it.
    pub command: Option<String>,
    /// By name.
    pub files: BTreeMap<String, Listed>,
}

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// Its size.
    pub bytes: u64,
    /// Of its bytes, lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Reads the file.
    ///
    /// # Errors
    /// What is no manifest.
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(json).map_err(|problem| Failure::input(format!("{MANIFEST_FILE}: {problem}")))
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}

impl Listed {
    /// Whether these are the file's bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        matches(bytes, self.bytes, &self.sha256)
    }
}

/// Whether these bytes are so many, with this checksum.
pub fn matches(bytes: &[u8], size: u64, checksum: &str) -> bool {
    size == bytes.len() as u64 && sha256(bytes).eq_ignore_ascii_case(checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_files_are_what_their_manifest_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/models/shakespeare/");
        let manifest = Manifest::parse(&std::fs::read(format!("{folder}{MANIFEST_FILE}")).unwrap()).unwrap();
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            let bytes = std::fs::read(format!("{folder}{name}")).unwrap();
            assert!(manifest.files[name].is(&bytes), "{name} is not what the manifest says: write the manifest anew");
        }
    }

    #[test]
    fn other_bytes_are_told_apart() {
        let listed = Listed { bytes: 3, sha256: sha256(b"abc") };
        assert!(listed.is(b"abc"));
        assert!(!listed.is(b"abd"));
        assert!(!listed.is(b"abcd"));
    }
}
