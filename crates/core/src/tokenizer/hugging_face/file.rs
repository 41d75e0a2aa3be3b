//! What a `tokenizer.json` says, as far as it matters here, and what no tokenizer of ours may say.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::refuse;

#[derive(Deserialize)]
pub(super) struct File {
    version: Option<String>,
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    normalizer: Option<Part>,
    pub pre_tokenizer: Option<Part>,
    pub post_processor: Option<Part>,
    pub decoder: Option<Part>,
    pub model: Model,
}

/// A stage of the pipeline.
#[derive(Deserialize)]
pub(super) struct Part {
    pub r#type: String,
    /// Of `TemplateProcessing`.
    special_tokens: Option<Map<String, Value>>,
    /// Of `ByteLevel`.
    pub add_prefix_space: Option<bool>,
    /// Of `ByteLevel`.
    pub use_regex: Option<bool>,
}

/// A token that texts are searched for before anything else.
#[derive(Deserialize)]
pub(super) struct AddedToken {
    pub id: u64,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
}

#[derive(Deserialize)]
pub(super) struct Model {
    r#type: Option<String>,
    pub vocab: Vocab,
    #[serde(default)]
    pub merges: Vec<MergeRule>,
    pub unk_token: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// `["a", "b"]`, or `"a b"` as until 2024.
pub(super) enum MergeRule {
    Pair(String, String),
    Words(String),
}

impl<'de> Deserialize<'de> for MergeRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MergeVisitor;
        impl<'de> Visitor<'de> for MergeVisitor {
            type Value = MergeRule;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a merge: a pair of tokens, or two with a space between")
            }

            fn visit_str<E: Error>(self, words: &str) -> Result<MergeRule, E> {
                Ok(MergeRule::Words(words.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MergeRule, A::Error> {
                let (left, right) = (seq.next_element()?, seq.next_element()?);
                match (left, right, seq.next_element::<IgnoredAny>()?) {
                    (Some(left), Some(right), None) => Ok(MergeRule::Pair(left, right)),
                    _ => Err(A::Error::custom("a merge is of two tokens")),
                }
            }
        }
        deserializer.deserialize_any(MergeVisitor)
    }
}

impl MergeRule {
    /// Left and right.
    pub fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Words(words) => words.split_once(' ').filter(|(_, right)| !right.contains(' ')),
        }
    }
}

impl Part {
    /// `transformers` adds an empty template when it saves, which changes nothing.
    pub fn is_empty_template(&self) -> bool {
        self.r#type == "TemplateProcessing" && self.special_tokens.as_ref().is_some_and(Map::is_empty)
    }

    pub fn is_byte_level(&self) -> bool {
        self.r#type == "ByteLevel"
    }
}

impl File {
    /// Whether texts are spelt in bytes.
    pub fn is_byte_level(&self) -> bool {
        [&self.pre_tokenizer, &self.decoder].into_iter().flatten().any(Part::is_byte_level)
    }

    /// Refuses what changes the tokens of any kind, most telling difference first.
    pub fn check_common(&self) -> Result<(), String> {
        match self.model.r#type.as_deref() {
            None | Some("BPE") => {}
            Some(kind) => return refuse(format!("a {kind} tokenizer")),
        }
        if let Some(part) = &self.normalizer {
            return refuse(format!("a tokenizer that changes the text first (normalizer {})", part.r#type));
        }
        let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if set(&self.model.continuing_subword_prefix) || set(&self.model.end_of_word_suffix) {
            return refuse("a tokenizer that marks word pieces (continuing_subword_prefix or end_of_word_suffix)");
        }
        if self.model.byte_fallback {
            return refuse("a tokenizer that spells unknown characters in bytes (byte_fallback)");
        }
        if self.model.ignore_merges {
            return refuse("a tokenizer that takes whole words before it merges (ignore_merges)");
        }
        if let Some(dropout) = self.model.dropout.filter(|&dropout| dropout != 0.0) {
            return refuse(format!("a tokenizer that leaves out merges at random (dropout {dropout})"));
        }
        match self.version.as_deref() {
            Some("1.0") => Ok(()),
            Some(other) => Err(format!("version {other:?} of the format is unknown: \"1.0\" is read")),
            None => Err("`version` is missing: \"1.0\" is read".into()),
        }
    }
}

/// `model.vocab` with repeated keys kept, which a map would hide.
pub(super) enum Vocab {
    /// BPE, WordLevel, WordPiece.
    ByToken(Vec<(String, u64)>),
    /// Unigram's list of scores.
    List,
}

impl Vocab {
    /// Tokens with their ids.
    pub fn entries(self) -> Result<Vec<(String, u64)>, String> {
        match self {
            Self::ByToken(entries) if entries.is_empty() => Err("the vocabulary is empty".into()),
            Self::ByToken(entries) => Ok(entries),
            Self::List => Err("`model.vocab` is a list; a BPE model maps each token to its id".into()),
        }
    }
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
