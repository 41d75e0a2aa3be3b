//! Text to tokens.

mod wire;

use serde::{Deserialize, Serialize};

use super::Counts;

/// Splits a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokenize {
    /// Any text.
    pub text: String,
    /// By which rule.
    pub by: Vocabulary,
}

/// A rule of splitting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vocabulary {
    /// The loaded model's own.
    #[default]
    Model,
    /// Every character that the corpus has.
    Char,
    /// UTF-8.
    Byte,
    /// Byte pairs learnt from the corpus, after so many merges.
    Bpe {
        /// 0 is bytes.
        merges: usize,
    },
}

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokenized {
    /// In the text's order. Where a character is unknown, the tokens before it.
    #[serde(with = "wire")]
    pub tokens: Vec<Token>,
    /// Rows of the token table.
    pub vocab_size: usize,
    /// The first character that the vocabulary does not have.
    pub unknown: Option<Unknown>,
    /// Whether the ids decode to exactly the text; with an unknown character, to exactly what is before it.
    pub round_trip: bool,
}

/// A token in its text. One that cuts a character covers all of it, so that neighbours may overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its row.
    pub id: u32,
    /// What it stands for; bytes that are no text alone as `\xNN`.
    pub text: String,
    /// Where it begins in the text, in UTF-16 units as a text field counts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// A character without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// The character.
    pub character: char,
    /// Where it is, in UTF-16 units.
    pub at: usize,
    /// Characters before it.
    pub place: usize,
}

/// Most merges that are learnt.
pub const MOST_MERGES: usize = 1000;

/// Asks for what the corpus teaches: its characters, and [`MOST_MERGES`] byte pairs. The corpus is fetched if it is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learn;

/// What the corpus teaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// Every character that it has, by code point.
    pub characters: String,
    /// The merges, earliest first.
    pub merges: Vec<Merged>,
    /// How long learning took, in milliseconds.
    pub milliseconds: u32,
    /// Characters that were read.
    pub read: usize,
}

/// Two tokens that become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// As [`Token::text`].
    pub left: String,
    /// As [`Token::text`].
    pub right: String,
    /// As [`Token::text`].
    pub token: String,
    /// Row of the new token.
    pub id: u32,
}

/// Asks how a text shrinks with every merge of [`Learnt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grow {
    /// Any text.
    pub text: String,
}

/// How a text shrinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Its tokens after `i` merges: first its bytes.
    pub lengths: Counts,
}
