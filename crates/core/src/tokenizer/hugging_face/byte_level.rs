//! Reading byte-level BPE: GPT-2's own file, what `tokenizers` trains in its manner, and the byte tokenizer.
//!
//! A vocabulary has all bytes, so that nothing is ever unknown and `unk_token` never used. One added token is known, `<|endoftext|>`.

use super::file::{AddedToken, File, Part};
use super::{by_id, refuse};
use crate::tokenizer::bpe::{END_OF_TEXT, ids_by_token};
use crate::tokenizer::byte_alphabet::{self, quote, spell};
use crate::tokenizer::{BpeTokenizer, ByteTokenizer, Tokenizer};

/// The tokenizer of a file that is byte-level.
pub(super) fn read(file: File) -> Result<Tokenizer, String> {
    check(&file)?;
    let mut vocab = file.model.vocab.entries()?;
    let end_of_text = added(&file.added_tokens, &mut vocab)?;
    let bytes = vocab.into_iter().map(|(token, id)| match byte_alphabet::read(&token) {
        Ok(bytes) => Ok((Token(bytes), id)),
        Err(c) => {
            let start = quote(&token);
            Err(format!(
                "the token {start} (id {id}) has {c:?} (U+{:04X}), which is not of GPT-2's byte alphabet",
                u32::from(c)
            ))
        }
    });
    let tokens: Vec<Vec<u8>> = by_id(bytes.collect::<Result<_, _>>()?)?.into_iter().map(|token| token.0).collect();
    let ids = ids_by_token(&tokens)?;
    let mut merges = Vec::with_capacity(file.model.merges.len());
    for (rank, rule) in file.model.merges.iter().enumerate() {
        let Some((left, right)) = rule.parts() else {
            return Err(format!("merge {rank} is not two tokens with one space between them"));
        };
        let find = |token: &str| {
            let bytes = byte_alphabet::read(token).ok();
            let id = bytes.and_then(|bytes| ids.get(&bytes[..]).copied());
            id.ok_or_else(|| {
                let [left, right, token] = [left, right, token].map(quote);
                format!("merge {rank} ({left} and {right}) is of {token}, which is not in the vocabulary")
            })
        };
        merges.push((find(left)?, find(right)?));
    }
    if merges.is_empty() && end_of_text.is_none() && is_byte_tokenizer(&tokens) {
        return Ok(ByteTokenizer.into());
    }
    Ok(BpeTokenizer::new(&tokens, &merges, end_of_text)?.into())
}

/// Bytes that errors show in the alphabet of the file.
struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(&spell(&self.0)))
    }
}

fn is_byte_tokenizer(tokens: &[Vec<u8>]) -> bool {
    tokens.len() == ByteTokenizer::VOCAB_SIZE && tokens.iter().zip(0..=u8::MAX).all(|(token, byte)| token[..] == [byte])
}

/// The id of `<|endoftext|>` where it is an added token; it enters the vocabulary if it is not there, as in `tokenizers`.
fn added(tokens: &[AddedToken], vocab: &mut Vec<(String, u64)>) -> Result<Option<u32>, String> {
    let Some(token) = tokens.first() else { return Ok(None) };
    if let Some(other) = tokens.iter().find(|token| token.content != END_OF_TEXT) {
        return refuse(format!(
            "a tokenizer with the added token {} (only {END_OF_TEXT} is known)",
            quote(&other.content)
        ));
    }
    if tokens.len() > 1 {
        return Err(format!("the added token {END_OF_TEXT} is there {} times", tokens.len()));
    }
    if token.single_word || token.lstrip || token.rstrip {
        return refuse("a tokenizer whose added token looks at its surroundings (single_word, lstrip or rstrip)");
    }
    match vocab.iter().find(|(content, _)| content == END_OF_TEXT) {
        None => vocab.push((END_OF_TEXT.into(), token.id)),
        Some(&(_, id)) if id == token.id => {}
        Some((_, id)) => {
            let added = token.id;
            return Err(format!("{END_OF_TEXT} has the id {id} in the vocabulary and {added} among the added tokens"));
        }
    }
    match u32::try_from(token.id) {
        Ok(id) => Ok(Some(id)),
        Err(_) => {
            Err(format!("the token {END_OF_TEXT:?} has the id {}, and the vocabulary {} tokens", token.id, vocab.len()))
        }
    }
}

/// Refuses every pipeline that is not GPT-2's, most telling difference first.
fn check(file: &File) -> Result<(), String> {
    let Some(words) = file.pre_tokenizer.as_ref().filter(|part| part.is_byte_level()) else {
        let found = file.pre_tokenizer.as_ref().map_or("none", |part| part.r#type.as_str());
        return refuse(format!("a byte-level tokenizer with another pre-tokenizer ({found})"));
    };
    if words.add_prefix_space != Some(false) {
        return refuse("a byte-level tokenizer that puts a space in front of a text (add_prefix_space is not false)");
    }
    if words.use_regex == Some(false) {
        return refuse("a byte-level tokenizer that does not cut the text into words (use_regex is false)");
    }
    if let Some(part) = &file.post_processor
        && !part.is_byte_level()
        && !part.is_empty_template()
    {
        return refuse(format!("a tokenizer that adds tokens to the text (post-processor {})", part.r#type));
    }
    match file.decoder.as_ref() {
        Some(part) if Part::is_byte_level(part) => Ok(()),
        Some(part) => refuse(format!("a byte-level tokenizer with the decoder {}", part.r#type)),
        None => Err("no decoder: tokens would not become text again; set it to {\"type\": \"ByteLevel\"}".into()),
    }
}
