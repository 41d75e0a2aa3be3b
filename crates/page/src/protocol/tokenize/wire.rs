//! Tokens in a message: all texts end to end, and four numbers of each token. An object for each would cost the page milliseconds per thousand.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Token;
use crate::protocol::Counts;

#[derive(Serialize, Deserialize)]
struct Wire {
    texts: String,
    /// Id, start, end and bytes of the text, of each.
    numbers: Counts,
}

/// Tokens into a message.
pub fn serialize<S: Serializer>(tokens: &[Token], serializer: S) -> Result<S::Ok, S::Error> {
    let numbers = tokens.iter().flat_map(|token| {
        let Token { id, text, start, end } = token;
        [*id, *start as u32, *end as u32, text.len() as u32]
    });
    let texts = tokens.iter().map(|token| token.text.as_str()).collect();
    Wire { texts, numbers: Counts(numbers.collect()) }.serialize(serializer)
}

/// Tokens out of a message.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Token>, D::Error> {
    let Wire { texts, numbers } = Wire::deserialize(deserializer)?;
    let mut rest = texts.as_str();
    let mut read = |numbers: &[u32]| {
        let (text, remainder) = rest.split_at_checked(numbers[3] as usize)?;
        rest = remainder;
        Some(Token { id: numbers[0], text: text.to_owned(), start: numbers[1] as usize, end: numbers[2] as usize })
    };
    let tokens: Option<Vec<Token>> = numbers.chunks_exact(4).map(&mut read).collect();
    tokens.ok_or_else(|| D::Error::custom("texts of tokens are shorter than their lengths say"))
}
