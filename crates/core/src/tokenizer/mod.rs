//! Tokenizers: text to ids and back, as Hugging Face `tokenizer.json` files.
//!
//! ```text
//! encode: text -> [id; n], each id in 0..vocab_size
//! decode: [id; n] -> text
//! decode(encode(text)) = text
//! ```
//!
//! Nothing is ever replaced or dropped: a text that the vocabulary cannot spell is an error that says which character,
//! and where.

mod char_level;
mod characters;
mod hugging_face;
pub mod pieces;

pub use char_level::CharTokenizer;

use crate::error::{Error, Result};

/// Any tokenizer that a checkpoint can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tokenizer {
    /// One token per character.
    Char(CharTokenizer),
}

impl Tokenizer {
    /// Text to ids. The error names the first character that the vocabulary lacks and where it stands.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Char(tokenizer) => tokenizer.encode(text),
        }
    }

    /// Ids to text. The error names the first id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        match self {
            Self::Char(tokenizer) => tokenizer.decode(ids),
        }
    }

    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Char(tokenizer) => tokenizer.vocab_size(),
        }
    }

    /// The text that one id stands for; `None` outside the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<String> {
        match self {
            Self::Char(tokenizer) => tokenizer.char(id).map(String::from),
        }
    }

    /// Writes a `tokenizer.json` that `tokenizers` and `transformers` load.
    pub fn to_json(&self) -> Vec<u8> {
        match self {
            Self::Char(tokenizer) => hugging_face::write(tokenizer.chars()),
        }
    }

    /// Reads a `tokenizer.json`. A kind of tokenizer that Inkling does not support is named in the error.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        hugging_face::read(json).map(Self::Char).map_err(Error::Tokenizer)
    }
}

impl From<CharTokenizer> for Tokenizer {
    fn from(tokenizer: CharTokenizer) -> Self {
        Self::Char(tokenizer)
    }
}
