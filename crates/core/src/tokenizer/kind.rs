//! Which kind of tokenizer a text gets.

use serde::{Deserialize, Serialize};

use super::{BpeTokenizer, ByteTokenizer, CharTokenizer, END_OF_TEXT, Tokenizer};

/// A kind of tokenizer, before there is a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerKind {
    /// One token per character: [`CharTokenizer`].
    #[default]
    Char,
    /// One token per byte: [`ByteTokenizer`].
    Byte,
    /// Byte pair encoding, learnt from the text: [`BpeTokenizer`].
    Bpe {
        /// Number of ids, bytes included; a short text has fewer pairs to merge.
        vocab_size: usize,
    },
}

impl TokenizerKind {
    /// The word for it: `char`, `byte`, `bpe`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Char => "char",
            Self::Byte => "byte",
            Self::Bpe { .. } => "bpe",
        }
    }
}

impl Tokenizer {
    /// Its kind.
    pub fn kind(&self) -> TokenizerKind {
        match self {
            Self::Char(_) => TokenizerKind::Char,
            Self::Byte(_) => TokenizerKind::Byte,
            Self::Bpe(tokenizer) => TokenizerKind::Bpe { vocab_size: tokenizer.vocab_size() },
        }
    }

    /// What a text begins with when nobody says: the end of another, a line break, or the first token of a vocabulary that lacks both.
    pub fn default_prompt(&self) -> String {
        if self.end_of_text().is_some() {
            return END_OF_TEXT.into();
        }
        match self.encode("\n") {
            Ok(_) => "\n".into(),
            Err(_) => self.token_text(0).expect("a vocabulary has at least one token"),
        }
    }
}

impl From<CharTokenizer> for Tokenizer {
    fn from(tokenizer: CharTokenizer) -> Self {
        Self::Char(tokenizer)
    }
}

impl From<ByteTokenizer> for Tokenizer {
    fn from(tokenizer: ByteTokenizer) -> Self {
        Self::Byte(tokenizer)
    }
}

impl From<BpeTokenizer> for Tokenizer {
    fn from(tokenizer: BpeTokenizer) -> Self {
        Self::Bpe(tokenizer)
    }
}
