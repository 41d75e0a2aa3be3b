//! A text as tokens, each with the place that it has in the text.

use inkling_core::tokenizer::Tokenizer;

use crate::protocol::Failure;
use crate::protocol::tokenize::{Token, Tokenized, Unknown};

/// Tokens of a text, up to the first character that has none.
pub fn split(tokenizer: &Tokenizer, text: &str) -> Result<Tokenized, Failure> {
    let unknown = match tokenizer {
        Tokenizer::Char(tokenizer) => tokenizer.first_unknown(text),
        _ => None,
    };
    let known = unknown.map_or(text, |(at, _)| &text[..at]);
    let ids = tokenizer.encode(known)?;
    let unknown = unknown.map(|(_, character)| Unknown {
        character,
        at: known.encode_utf16().count(),
        place: known.chars().count(),
    });
    let round_trip = tokenizer.decode_bytes(&ids)? == known.as_bytes();
    Ok(Tokenized { tokens: places(tokenizer, known, &ids), vocab_size: tokenizer.vocab_size(), unknown, round_trip })
}

/// Ids with the characters that they cover: a token may begin or end within one.
fn places(tokenizer: &Tokenizer, text: &str, ids: &[u32]) -> Vec<Token> {
    let mut characters = text.chars();
    // The character under way: where it begins and ends, and how many of its bytes are still to come.
    let (mut begins, mut ends, mut left) = (0, 0, 0);
    let token = |&id: &u32| {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default().len();
        let mut start = None;
        for _ in 0..bytes {
            if left == 0 {
                let next = characters.next().map_or((0, 1), |c| (c.len_utf16(), c.len_utf8()));
                (begins, ends, left) = (ends, ends + next.0, next.1);
            }
            left -= 1;
            start.get_or_insert(begins);
        }
        Token { id, text: tokenizer.token_text(id).unwrap_or_default(), start: start.unwrap_or(ends), end: ends }
    };
    ids.iter().map(token).collect()
}
