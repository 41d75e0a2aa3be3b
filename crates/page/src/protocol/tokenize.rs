//! Text to tokens.

use serde::{Deserialize, Serialize};

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
    pub tokens: Vec<Token>,
    /// Rows of the token table.
    pub vocab_size: usize,
    /// The first character that the vocabulary does not have.
    pub unknown: Option<Unknown>,
    /// Whether the ids decode to exactly the text.
    pub round_trip: bool,
}

/// A token in its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}
