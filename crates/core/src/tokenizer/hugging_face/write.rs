//! Writing a `tokenizer.json`. Merges are written as `"a b"`, which every version of `tokenizers` reads.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::tokenizer::bpe::END_OF_TEXT;
use crate::tokenizer::byte_alphabet::spell;
use crate::tokenizer::{BpeTokenizer, Tokenizer};

/// Writes a tokenizer, ids counting from 0.
pub(in crate::tokenizer) fn write(tokenizer: &Tokenizer) -> Vec<u8> {
    let size = tokenizer.vocab_size() as u32;
    let file = match tokenizer {
        Tokenizer::Char(tokenizer) => File {
            decoder: Some(json!({"type": "Fuse"})),
            ..File::of(tokenizer.chars().iter().map(char::to_string).collect(), Vec::new())
        },
        Tokenizer::Byte(tokenizer) => {
            let tokens = (0..size).filter_map(|id| tokenizer.token_bytes(id)).map(spell).collect();
            File::of(tokens, Vec::new()).byte_level()
        }
        Tokenizer::Bpe(tokenizer) => File {
            added_tokens: tokenizer.end_of_text().map(end_of_text).into_iter().collect(),
            ..File::of(
                (0..tokenizer.used_ids() as u32).map(|id| spell_token(tokenizer, id)).collect(),
                merges(tokenizer),
            )
            .byte_level()
        },
    };
    let mut json = serde_json::to_vec_pretty(&file).expect("strings and numbers can be written");
    json.push(b'\n');
    json
}

fn spell_token(tokenizer: &BpeTokenizer, id: u32) -> String {
    spell(tokenizer.token_bytes(id).expect("rules and ids are of the vocabulary"))
}

fn merges(tokenizer: &BpeTokenizer) -> Vec<String> {
    let words = |id| spell_token(tokenizer, id);
    tokenizer.merges().map(|merge| format!("{} {}", words(merge.left), words(merge.right))).collect()
}

fn end_of_text(id: u32) -> Value {
    json!({
        "id": id,
        "content": END_OF_TEXT,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": true,
    })
}

/// The stages in the order in which `tokenizers` writes them.
#[derive(Serialize)]
struct File {
    version: &'static str,
    truncation: Option<Value>,
    padding: Option<Value>,
    added_tokens: Vec<Value>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Model,
}

#[derive(Serialize)]
struct Model {
    r#type: &'static str,
    dropout: Option<f64>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    #[serde(serialize_with = "ids_by_token")]
    vocab: Vec<String>,
    merges: Vec<String>,
}

impl File {
    fn of(vocab: Vec<String>, merges: Vec<String>) -> Self {
        let model = Model {
            r#type: "BPE",
            dropout: None,
            unk_token: None,
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: false,
            vocab,
            merges,
        };
        Self {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: Vec::new(),
            normalizer: None,
            pre_tokenizer: None,
            post_processor: None,
            decoder: None,
            model,
        }
    }

    fn byte_level(self) -> Self {
        let part = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        Self { pre_tokenizer: Some(part.clone()), post_processor: Some(part.clone()), decoder: Some(part), ..self }
    }
}

/// A list of tokens as a map to their places in it, in that order.
fn ids_by_token<S: Serializer>(tokens: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tokens.iter().zip(0_u32..))
}
