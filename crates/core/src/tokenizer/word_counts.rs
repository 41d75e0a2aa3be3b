//! How often each word of a text occurs: all that byte pair encoding learns from.

use std::collections::HashMap;

use super::bpe::END_OF_TEXT;
use super::words::words;
use crate::error::{Error, Result};
use crate::order;

/// The words of a text with their numbers, piece by piece.
///
/// Memory grows with the *distinct* words alone: about 60 bytes each and their length. (Natural text of 100 MB has some hundred thousand.)
#[derive(Clone, Debug, Default)]
pub struct WordCounts {
    counts: HashMap<Box<[u8]>, u64>,
    /// Length of all distinct words.
    bytes: usize,
    has_end_of_text: bool,
}

/// Most bytes of distinct words. The training holds each byte as a 32-bit symbol and every pair's places besides: some 10 GB at this size.
const MOST_BYTES: usize = 256 << 20;

impl WordCounts {
    /// Adds a piece of the text: the whole, or one cut as [`pieces`](super::pieces) says. `<|endoftext|>` is no word.
    ///
    /// # Errors
    /// When the text has too many different words.
    pub fn add(&mut self, piece: &str) -> Result<()> {
        for (i, document) in piece.split(END_OF_TEXT).enumerate() {
            self.has_end_of_text |= i > 0;
            for word in words(document) {
                match self.counts.get_mut(word.as_bytes()) {
                    Some(count) => *count += 1,
                    None => self.insert(word)?,
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, word: &str) -> Result<()> {
        self.bytes += word.len();
        if self.bytes > MOST_BYTES {
            return Err(Error::Tokenizer(format!(
                "the text has more than {MOST_BYTES} bytes of different words: train on a part of it"
            )));
        }
        self.counts.insert(word.as_bytes().into(), 1);
        Ok(())
    }

    /// Number of distinct words.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// Whether the text had an `<|endoftext|>`.
    pub(super) fn has_end_of_text(&self) -> bool {
        self.has_end_of_text
    }

    /// The words in an order that depends on nothing but themselves.
    pub(super) fn into_sorted(self) -> Vec<(Box<[u8]>, u64)> {
        let mut words: Vec<_> = self.counts.into_iter().collect();
        order::sort(&mut words);
        words
    }
}
