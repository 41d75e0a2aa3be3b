//! Text to tokens, by any vocabulary.

use inkling_core::tokenizer::Tokenizer;

use super::Workshop;
use crate::protocol::Failure;
use crate::protocol::tokenize::{Tokenize, Tokenized};

/// Vocabularies that are not the model's, as they are asked for.
#[derive(Default)]
pub struct Tokenizers;

/// A token as text; bytes that are no text alone as `\xNN`.
pub fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.token_bytes(id).unwrap_or_default();
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|byte| format!("\\x{byte:02X}")).collect())
}

impl Workshop {
    pub(super) async fn tokenize(&mut self, call: Tokenize) -> Result<Tokenized, Failure> {
        let tokenizer = &self.loaded()?.checkpoint.tokenizer;
        let ids = tokenizer.encode(&call.text)?;
        let mut start = 0;
        let tokens = ids.iter().map(|&id| {
            let text = shown(tokenizer, id);
            let end = start + text.encode_utf16().count();
            let token = crate::protocol::tokenize::Token { id, text, start, end };
            start = end;
            token
        });
        Ok(Tokenized { tokens: tokens.collect(), vocab_size: tokenizer.vocab_size(), unknown: None, round_trip: true })
    }
}
