//! Hugging Face's `tokenizer.json`, both ways.
//!
//! Every tokenizer of ours is a BPE model there:
//!
//! | | pre-tokenizer | merges | decoder |
//! |---|---|---|---|
//! | char | none | none: each character stays its own token | `Fuse` (the default would insert spaces) |
//! | byte | `ByteLevel` | none: each byte stays its own token | `ByteLevel` |
//! | BPE | `ByteLevel` | by rank | `ByteLevel` |
//!
//! The reader accepts what encodes and decodes exactly so, and names anything else. `truncation` and `padding` are
//! settings of batching, not of the vocabulary, and are ignored.
//! Source: the crate `tokenizers`, `src/tokenizer/serialization.rs` and `src/models/bpe/serialization.rs`.

mod byte_level;
mod char_level;
mod file;
mod write;

use super::Tokenizer;
use file::File;

pub(super) use write::write;

/// Reads a tokenizer; the error is a sentence about this file.
pub(super) fn read(json: &[u8]) -> Result<Tokenizer, String> {
    if json.len() > Tokenizer::MAX_JSON {
        return Err(format!("the file has {} bytes; the largest accepted is {}", json.len(), Tokenizer::MAX_JSON));
    }
    let file: File = serde_json::from_slice(json).map_err(|e| format!("this is not a tokenizer.json: {e}"))?;
    file.check_common()?;
    if file.is_byte_level() { byte_level::read(file) } else { char_level::read(file).map(Tokenizer::Char) }
}

/// What is refused, in one sentence.
fn refuse<T>(what: impl std::fmt::Display) -> Result<T, String> {
    Err(format!(
        "this is {what}, which is not supported: character tokenizers (BPE without merges) and byte-level BPE as GPT-2's are"
    ))
}

/// Orders tokens by id: every id from 0 exactly once.
fn by_id<T: std::fmt::Debug>(entries: Vec<(T, u64)>) -> Result<Vec<T>, String> {
    let count = entries.len();
    let mut slots: Vec<Option<T>> = Vec::new();
    slots.resize_with(count, || None);
    for (token, id) in entries {
        let Some(slot) = usize::try_from(id).ok().and_then(|id| slots.get_mut(id)) else {
            return Err(format!(
                "the token {token:?} has the id {id}, but {count} tokens have the ids 0 to {}",
                count - 1
            ));
        };
        if let Some(other) = slot {
            return Err(format!("the id {id} belongs to two tokens, {other:?} and {token:?}"));
        }
        *slot = Some(token);
    }
    // `count` ids below `count`, no two alike: none is absent.
    Ok(slots.into_iter().flatten().collect())
}
