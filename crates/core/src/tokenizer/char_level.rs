//! One token per character (Unicode scalar value), the vocabulary being the sorted set of a text's characters.
//!
//! Source: nanoGPT, `data/shakespeare_char/prepare.py` (`chars = sorted(list(set(data)))`).

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Result};

/// Characters of the vocabulary that an error message shows.
const SHOWN: usize = 100;

/// A character tokenizer: id `i` is the `i`-th character of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharTokenizer {
    chars: Vec<char>,
    ids: HashMap<char, u32>,
}

impl CharTokenizer {
    /// The vocabulary of `text`: its distinct characters by code point. Fails on an empty text.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut chars = BTreeSet::new();
        chars.extend(text.chars());
        Self::from_chars(chars.into_iter().collect())
            .map_err(|_| Error::Tokenizer("an empty text has no characters to build a vocabulary from".into()))
    }

    /// A vocabulary in the given order. Fails, saying why, if it is empty or names a character twice.
    pub(super) fn from_chars(chars: Vec<char>) -> std::result::Result<Self, String> {
        if chars.is_empty() {
            return Err("the vocabulary is empty".into());
        }
        let mut ids = HashMap::with_capacity(chars.len());
        // There are fewer than 2^21 characters, so that ids of distinct ones fit 32 bits.
        for (id, &c) in (0..).zip(&chars) {
            if let Some(first) = ids.insert(c, id) {
                return Err(format!("the character {} has two ids, {first} and {id}", describe(c)));
            }
        }
        Ok(Self { chars, ids })
    }

    /// Text to ids. The error names the first character that the vocabulary lacks and where it stands.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len());
        for (position, (byte, c)) in text.char_indices().enumerate() {
            let Some(&id) = self.ids.get(&c) else {
                return Err(Error::Tokenizer(format!(
                    "the character {} at position {position} (byte {byte}) is not in the vocabulary of {} characters: {}",
                    describe(c),
                    self.vocab_size(),
                    self.summary()
                )));
            };
            ids.push(id);
        }
        Ok(ids)
    }

    /// The first character of a text that the vocabulary lacks, and the byte at which it stands.
    pub fn first_unknown(&self, text: &str) -> Option<(usize, char)> {
        text.char_indices().find(|(_, c)| !self.ids.contains_key(c))
    }

    /// Number of ids, at least 1.
    pub fn vocab_size(&self) -> usize {
        self.chars.len()
    }

    /// The character of an id; `None` outside the vocabulary.
    pub fn char(&self, id: u32) -> Option<char> {
        self.chars.get(id as usize).copied()
    }

    /// The vocabulary in the order of its ids.
    pub fn chars(&self) -> &[char] {
        &self.chars
    }

    /// The vocabulary as a quoted string, cut after the first [`SHOWN`] characters.
    fn summary(&self) -> String {
        let shown: String = self.chars.iter().take(SHOWN).collect();
        match self.chars.len().checked_sub(SHOWN) {
            None | Some(0) => format!("{shown:?}"),
            Some(more) => format!("{shown:?} and {more} more"),
        }
    }
}

/// `'é' (U+00E9)`: look-alikes and invisible characters are told apart by their code point.
fn describe(c: char) -> String {
    format!("{c:?} (U+{:04X})", u32::from(c))
}
