//! How many characters a token is worth, so that losses per token can be told per character.

use super::Tokenizer;

impl Tokenizer {
    /// Characters that begin in each token of the vocabulary, by id: a text has as many as its tokens together, also where a character's
    /// bytes lie in several of them.
    pub fn characters(&self) -> Vec<u32> {
        // Every byte of UTF-8 but 10xxxxxx begins a character.
        let begun = |bytes: Vec<u8>| bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() as u32;
        (0..self.vocab_size() as u32).map(|id| self.token_bytes(id).map_or(0, begun)).collect()
    }
}
