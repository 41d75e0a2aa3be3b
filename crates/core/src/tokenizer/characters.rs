//! How many characters a token is worth, so that losses per token can be told per character.

use super::Tokenizer;

impl Tokenizer {
    /// Characters that begin in each token of the vocabulary, by id: a text has as many as its tokens together, also where a character's
    /// bytes lie in several of them.
    pub fn characters(&self) -> Vec<u32> {
        let begun = |text: String| text.chars().count() as u32;
        (0..self.vocab_size() as u32).map(|id| self.token_text(id).map_or(0, begun)).collect()
    }
}
