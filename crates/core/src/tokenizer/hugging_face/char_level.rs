//! Reading a character tokenizer: BPE without merges.

use super::file::File;
use super::{by_id, refuse};
use crate::tokenizer::CharTokenizer;
use crate::tokenizer::byte_alphabet::quote;

/// The vocabulary of a file that is not byte-level.
pub(super) fn read(file: File) -> Result<CharTokenizer, String> {
    check(&file)?;
    let chars = file.model.vocab.entries()?.into_iter().map(|(token, id)| match one_char(&token) {
        Some(c) => Ok((c, id)),
        None => {
            let (start, count) = (quote(&token), token.chars().count());
            Err(format!(
                "the token {start} (id {id}) has {count} characters; each token of a character tokenizer is one"
            ))
        }
    });
    CharTokenizer::from_chars(by_id(chars.collect::<Result<_, _>>()?)?)
}

fn one_char(token: &str) -> Option<char> {
    let mut chars = token.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// Refuses every pipeline that is not one token per character, most telling difference first.
fn check(file: &File) -> Result<(), String> {
    let merges = file.model.merges.len();
    if merges > 0 {
        return refuse(format!("a BPE tokenizer with {merges} merges that is not byte-level"));
    }
    if let Some(part) = &file.pre_tokenizer {
        return refuse(format!("a tokenizer that splits the text first (pre-tokenizer {})", part.r#type));
    }
    if let Some(token) = file.added_tokens.first() {
        let (count, first) = (file.added_tokens.len(), quote(&token.content));
        return refuse(format!("a character tokenizer with {count} added tokens (the first is {first})"));
    }
    if let Some(part) = file.post_processor.as_ref().filter(|part| !part.is_empty_template()) {
        return refuse(format!("a tokenizer that adds tokens to the text (post-processor {})", part.r#type));
    }
    if let Some(token) = &file.model.unk_token {
        return refuse(format!("a tokenizer that replaces unknown characters (unk_token {token:?})"));
    }
    match &file.decoder {
        Some(part) if part.r#type == "Fuse" => Ok(()),
        Some(part) => refuse(format!("a tokenizer with the decoder {}", part.r#type)),
        None => Err("no decoder: tokens would be joined with spaces; set it to {\"type\": \"Fuse\"}".into()),
    }
}
