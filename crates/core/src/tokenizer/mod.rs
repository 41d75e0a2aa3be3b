//! Tokenizers: text to ids and back, as Hugging Face `tokenizer.json` files.
//!
//! ```text
//! encode: text -> [id; n], each id in 0..vocab_size
//! decode: [id; n] -> bytes -> text
//! decode(encode(text)) = text
//! ```
//!
//! Nothing is ever replaced or dropped in encoding: a text that the vocabulary cannot spell is an error that says which character,
//! and where. Ids that a model made up may be no UTF-8 together: then [`Tokenizer::decode`] replaces, and [`Tokenizer::decode_bytes`] does
//! not.

mod bpe;
mod bpe_training;
mod byte_alphabet;
mod byte_level;
mod char_level;
mod characters;
mod hugging_face;
mod kind;
mod merging;
pub mod pieces;
mod utf8_stream;
mod word_counts;
mod words;

use std::fmt::Write as _;

pub use bpe::{BpeTokenizer, END_OF_TEXT, Merge, MergeStep};
pub use bpe_training::BpeTraining;
pub use byte_level::ByteTokenizer;
pub use char_level::CharTokenizer;
pub use kind::TokenizerKind;
pub use utf8_stream::Utf8Stream;
pub use word_counts::WordCounts;
pub use words::words;

use crate::error::{Error, Result};

/// Any tokenizer that a checkpoint can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tokenizer {
    /// One token per character.
    Char(CharTokenizer),
    /// One token per byte.
    Byte(ByteTokenizer),
    /// Byte-level byte pair encoding.
    Bpe(BpeTokenizer),
}

impl Tokenizer {
    /// Bytes of the largest `tokenizer.json` read. GPT-2's has 2 MB, and the largest in use under 40 MB.
    pub const MAX_JSON: usize = 64 << 20;

    /// Text to ids. The error names the first character that the vocabulary lacks and where it stands.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Char(tokenizer) => tokenizer.encode(text),
            Self::Byte(tokenizer) => Ok(tokenizer.encode(text)),
            Self::Bpe(tokenizer) => Ok(tokenizer.encode(text)),
        }
    }

    /// Ids to text; bytes that are not UTF-8 become U+FFFD. The error names the first id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.decode_bytes(ids)?).into_owned())
    }

    /// Ids to the bytes of a text. The error names the first id outside the vocabulary.
    pub fn decode_bytes(&self, ids: &[u32]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (position, &id) in ids.iter().enumerate() {
            if !self.push_token(id, &mut bytes) {
                let last = self.vocab_size() - 1;
                let problem = format!("the id {id} at position {position} is outside the vocabulary, 0 to {last}");
                return Err(Error::Tokenizer(problem));
            }
        }
        Ok(bytes)
    }

    /// Number of ids, at least 1.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Char(tokenizer) => tokenizer.vocab_size(),
            Self::Byte(_) => ByteTokenizer::VOCAB_SIZE,
            Self::Bpe(tokenizer) => tokenizer.vocab_size(),
        }
    }

    /// The bytes that one id stands for; `None` outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.push_token(id, &mut bytes).then_some(bytes)
    }

    /// The text that one id stands for, with bytes that are no text as `\xE2`; `None` outside the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<String> {
        let mut text = String::new();
        for chunk in self.token_bytes(id)?.utf8_chunks() {
            text += chunk.valid();
            for byte in chunk.invalid() {
                write!(text, "\\x{byte:02X}").expect("a string takes everything");
            }
        }
        Some(text)
    }

    /// The id of `<|endoftext|>`, if texts are searched for it: what follows it is the beginning of a text.
    pub fn end_of_text(&self) -> Option<u32> {
        match self {
            Self::Char(_) | Self::Byte(_) => None,
            Self::Bpe(tokenizer) => tokenizer.end_of_text(),
        }
    }

    /// Writes a `tokenizer.json` that `tokenizers` and `transformers` load.
    pub fn to_json(&self) -> Vec<u8> {
        hugging_face::write(self)
    }

    /// Reads a `tokenizer.json`. A kind of tokenizer that Inkling does not support is named in the error.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        hugging_face::read(json).map_err(Error::Tokenizer)
    }

    /// Appends the bytes of an id; `false` outside the vocabulary.
    fn push_token(&self, id: u32, bytes: &mut Vec<u8>) -> bool {
        let token = match self {
            Self::Char(tokenizer) => {
                let Some(c) = tokenizer.char(id) else { return false };
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return true;
            }
            Self::Byte(tokenizer) => tokenizer.token_bytes(id),
            Self::Bpe(tokenizer) => tokenizer.token_bytes(id),
        };
        token.inspect(|token| bytes.extend_from_slice(token)).is_some()
    }
}
