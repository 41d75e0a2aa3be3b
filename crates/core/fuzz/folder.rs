//! A checkpoint folder as one string of bytes, so that a fuzzer can change any of its files:
//!
//! ```text
//! [length: u16, little-endian][that many bytes] for each of FILES but the last, which is the rest
//! ```
//!
//! An empty file stands for an absent one.

use inkling_core::checkpoint::{CONFIG_FILE, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, TOKENIZER_FILE};

/// The files that loaders read, in the order of the string.
pub const FILES: [&str; 5] = [CONFIG_FILE, TOKENIZER_FILE, STATE_FILE, OPTIMIZER_FILE, MODEL_FILE];

/// Cuts the string into the files of [`FILES`]. Any string is some folder.
pub fn split(mut bytes: &[u8]) -> [&[u8]; FILES.len()] {
    let mut files = [&[][..]; FILES.len()];
    let (last, framed) = files.split_last_mut().expect("there are files");
    for file in framed {
        let Some((length, rest)) = bytes.split_first_chunk() else { break };
        (*file, bytes) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    }
    *last = bytes;
    files
}

/// The string of a folder, `None` if a file is too long for it.
pub fn join(files: [&[u8]; FILES.len()]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (last, framed) = files.split_last()?;
    for file in framed {
        bytes.extend(u16::try_from(file.len()).ok()?.to_le_bytes());
        bytes.extend(*file);
    }
    bytes.extend(*last);
    Some(bytes)
}
