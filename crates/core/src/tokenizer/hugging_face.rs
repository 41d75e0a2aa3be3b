//! A character vocabulary as a Hugging Face `tokenizer.json`.
//!
//! A character tokenizer is a BPE model with no merges: without merges each character stays its own token, and the
//! decoder `Fuse` joins tokens with nothing in between (the default would insert spaces).
//!
//! ```text
//! {"version": "1.0", "decoder": {"type": "Fuse"}, "model": {"type": "BPE", "vocab": {"a": 0, …}, "merges": []}, …}
//! ```
//!
//! The reader accepts what encodes and decodes exactly so, and names anything else. `truncation` and `padding` are
//! settings of batching, not of the vocabulary, and are ignored.
//! Source: the crate `tokenizers`, `src/tokenizer/serialization.rs` and `src/models/bpe/serialization.rs`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::CharTokenizer;

/// Largest file read. GPT-2's tokenizer takes 2 MB, and the largest in use under 40 MB.
const MAX_BYTES: usize = 64 << 20;

/// Writes the vocabulary, ids counting from 0.
pub(super) fn write(chars: &[char]) -> Vec<u8> {
    let vocab: Map<String, Value> = chars.iter().enumerate().map(|(id, c)| (c.to_string(), id.into())).collect();
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocab,
            "merges": [],
        },
    });
    format!("{file:#}\n").into_bytes()
}

/// Reads a vocabulary; the error is a sentence about this file.
pub(super) fn read(json: &[u8]) -> Result<CharTokenizer, String> {
    if json.len() > MAX_BYTES {
        return Err(format!("the file has {} bytes; the largest accepted is {MAX_BYTES}", json.len()));
    }
    let file: File = serde_json::from_slice(json).map_err(|e| format!("this is not a tokenizer.json: {e}"))?;
    file.check_kind()?;
    let Vocab::ByToken(entries) = file.model.vocab else {
        return Err("`model.vocab` is a list; a BPE model maps each token to its id".into());
    };
    CharTokenizer::from_chars(by_id(entries)?)
}

#[derive(Deserialize)]
struct File {
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<Value>,
    normalizer: Option<Part>,
    pre_tokenizer: Option<Part>,
    post_processor: Option<PostProcessor>,
    decoder: Option<Part>,
    model: Model,
}

/// A pipeline stage of which only the kind matters.
#[derive(Deserialize)]
struct Part {
    r#type: String,
}

#[derive(Deserialize)]
struct PostProcessor {
    r#type: String,
    special_tokens: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Model {
    r#type: Option<String>,
    vocab: Vocab,
    #[serde(default)]
    merges: Vec<IgnoredAny>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
}

impl File {
    /// Refuses every pipeline that is not one token per character, most telling difference first.
    fn check_kind(&self) -> Result<(), String> {
        let refuse = |what: String| {
            Err(format!("this is {what}, which is not supported: only character tokenizers (BPE without merges) are"))
        };
        let is = |part: &Option<Part>, kind: &str| part.as_ref().is_some_and(|part| part.r#type == kind);
        match self.model.r#type.as_deref() {
            None | Some("BPE") => {}
            Some(kind) => return refuse(format!("a {kind} tokenizer")),
        }
        let merges = self.model.merges.len();
        if is(&self.pre_tokenizer, "ByteLevel") || is(&self.decoder, "ByteLevel") {
            return refuse(format!("a byte-level BPE tokenizer (as GPT-2's) with {merges} merges"));
        }
        if merges > 0 {
            return refuse(format!("a BPE tokenizer with {merges} merges"));
        }
        if let Some(part) = &self.normalizer {
            return refuse(format!("a tokenizer that changes the text first (normalizer {})", part.r#type));
        }
        if let Some(part) = &self.pre_tokenizer {
            return refuse(format!("a tokenizer that splits the text first (pre-tokenizer {})", part.r#type));
        }
        if let Some(token) = self.added_tokens.first() {
            let (count, first) = (self.added_tokens.len(), token["content"].to_string());
            return refuse(format!("a tokenizer with {count} added tokens (the first is {first})"));
        }
        // `transformers` adds an empty template when it saves, which changes nothing.
        if let Some(part) = &self.post_processor {
            let empty = part.r#type == "TemplateProcessing" && part.special_tokens.as_ref().is_some_and(Map::is_empty);
            if !empty {
                return refuse(format!("a tokenizer that adds tokens to the text (post-processor {})", part.r#type));
            }
        }
        let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if set(&self.model.continuing_subword_prefix) || set(&self.model.end_of_word_suffix) {
            return refuse(
                "a tokenizer that marks word pieces (continuing_subword_prefix or end_of_word_suffix)".into(),
            );
        }
        if let Some(token) = &self.model.unk_token {
            return refuse(format!("a tokenizer that replaces unknown characters (unk_token {token:?})"));
        }
        if self.model.byte_fallback {
            return refuse("a tokenizer that spells unknown characters in bytes (byte_fallback)".into());
        }
        match &self.decoder {
            Some(part) if part.r#type == "Fuse" => {}
            Some(part) => return refuse(format!("a tokenizer with the decoder {}", part.r#type)),
            None => return Err("no decoder: tokens would be joined with spaces; set it to {\"type\": \"Fuse\"}".into()),
        }
        match self.version.as_deref() {
            Some("1.0") => Ok(()),
            Some(other) => Err(format!("version {other:?} of the format is unknown: \"1.0\" is read")),
            None => Err("`version` is missing: \"1.0\" is read".into()),
        }
    }
}

/// Orders tokens by id: every id from 0 exactly once, every token one character.
fn by_id(entries: Vec<(String, u64)>) -> Result<Vec<char>, String> {
    let count = entries.len();
    let mut slots: Vec<Option<char>> = vec![None; count];
    for (token, id) in entries {
        let mut chars = token.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else {
            let start: String = token.chars().take(32).collect();
            return Err(format!(
                "the token {start:?} (id {id}) has {} characters; each token of a character tokenizer is one",
                token.chars().count()
            ));
        };
        let Some(slot) = usize::try_from(id).ok().and_then(|id| slots.get_mut(id)) else {
            return Err(format!("the token {c:?} has the id {id}, but {count} tokens have the ids 0 to {}", count - 1));
        };
        if let Some(other) = slot.replace(c) {
            return Err(format!("the id {id} belongs to two tokens, {other:?} and {c:?}"));
        }
    }
    // `count` ids below `count`, no two alike: none is absent.
    Ok(slots.into_iter().flatten().collect())
}

/// `model.vocab` with repeated keys kept, which a map would hide.
enum Vocab {
    /// BPE, WordLevel, WordPiece.
    ByToken(Vec<(String, u64)>),
    /// Unigram's list of scores.
    List,
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VocabVisitor;
        impl<'de> Visitor<'de> for VocabVisitor {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from tokens to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Vocab::ByToken(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocab, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Vocab::List)
            }
        }
        deserializer.deserialize_any(VocabVisitor)
    }
}
