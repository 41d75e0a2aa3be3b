//! Character tokenizers.

use inkling_core::tokenizer::{CharTokenizer, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{changed, check_refused};

pub fn tokenizer(text: &str) -> Tokenizer {
    CharTokenizer::from_text(text).unwrap().into()
}

/// The file of the vocabulary "ab", changed by `change`.
fn file(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    changed(&tokenizer("ab"), change)
}

#[test]
fn ids_are_the_sorted_distinct_characters() {
    let tokenizer = tokenizer("hello world\n");
    assert_eq!(tokenizer.vocab_size(), 9);
    assert_eq!(tokenizer.encode("\n helorwd").unwrap(), [0, 1, 4, 3, 5, 6, 7, 8, 2]);
    assert_eq!(tokenizer.decode(&[4, 3, 5, 5, 6]).unwrap(), "hello");
    assert_eq!(tokenizer.token_text(0).as_deref(), Some("\n"));
    assert_eq!(tokenizer.token_text(9), None);
}

#[test]
fn an_unknown_character_is_named_with_its_place_and_the_vocabulary() {
    let message = tokenizer("aé \n").encode("aéaß").unwrap_err().to_string();
    for words in ["'ß' (U+00DF)", "position 3", "byte 4", "4 characters", r#""\n aé""#] {
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
}

#[test]
fn the_first_unknown_character_is_found() {
    let tokenizer = CharTokenizer::from_text("aé").unwrap();
    assert_eq!(tokenizer.first_unknown("éa"), None);
    assert_eq!(tokenizer.first_unknown("éa🦀b"), Some((3, '🦀')));
}

#[test]
fn a_large_vocabulary_is_not_listed_in_full() {
    let text: String = ('\u{4e00}'..'\u{5e00}').collect();
    let message = tokenizer(&text).encode("a").unwrap_err().to_string();
    assert!(message.contains("and 3996 more"), "{message}");
}

#[test]
fn an_unknown_id_is_named_with_its_place() {
    let message = tokenizer("ab").decode(&[0, 1, 2]).unwrap_err().to_string();
    assert!(message.contains("id 2 at position 2") && message.contains("0 to 1"), "{message}");
}

#[test]
fn an_empty_text_has_no_vocabulary() {
    assert!(CharTokenizer::from_text("").unwrap_err().to_string().contains("empty text"));
}

#[test]
fn the_file_as_transformers_saves_it_again_is_read() {
    let saved = file(|file| {
        file["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {},
        });
    });
    assert_eq!(Tokenizer::from_json(&saved).unwrap(), tokenizer("ab"));
}

#[test]
fn ids_need_not_be_in_order_of_code_points() {
    let tokenizer = Tokenizer::from_json(&file(|file| file["model"]["vocab"] = json!({"a": 1, "b": 0}))).unwrap();
    assert_eq!(tokenizer.encode("ab").unwrap(), [1, 0]);
    assert_eq!(Tokenizer::from_json(&tokenizer.to_json()).unwrap(), tokenizer);
}

#[test]
fn damaged_vocabularies_are_refused() {
    let vocab = |vocab: Value| file(|file| file["model"]["vocab"] = vocab);
    check_refused(&vocab(json!({})), &["empty"]);
    check_refused(&vocab(json!({"a": 0, "b": 2})), &["'b'", "id 2", "0 to 1"]);
    check_refused(&vocab(json!({"a": 0, "b": 0})), &["id 0", "two tokens", "'a'", "'b'"]);
    check_refused(&vocab(json!({"a": 0, "bc": 1})), &["\"bc\"", "2 characters"]);
    check_refused(&vocab(json!({"a": 0, "": 1})), &["\"\"", "0 characters"]);
    check_refused(&vocab(json!({"a": 0, "b": -1})), &["-1"]);
    check_refused(&vocab(json!({"a": 0, "b": u64::MAX})), &["18446744073709551615"]);
    check_refused(&vocab(json!([["a", 0.5]])), &["list"]);
    let twice = String::from_utf8(file(|_| {})).unwrap().replace(r#""b":1"#, r#""a":1"#);
    check_refused(twice.as_bytes(), &["'a' (U+0061)", "two ids"]);
}

#[test]
fn other_kinds_of_tokenizer_are_refused_by_name() {
    let cases: [(&str, Value, &[&str]); 13] = [
        ("/model/type", json!("Unigram"), &["Unigram", "not supported"]),
        ("/model/type", json!("WordPiece"), &["WordPiece"]),
        ("/model/merges", json!(["a b"]), &["BPE", "1 merges", "not byte-level"]),
        ("/decoder", json!({"type": "ByteLevel"}), &["byte-level", "pre-tokenizer", "none"]),
        ("/pre_tokenizer", json!({"type": "Whitespace"}), &["Whitespace"]),
        ("/normalizer", json!({"type": "NFC"}), &["NFC"]),
        ("/post_processor", json!({"type": "BertProcessing"}), &["BertProcessing"]),
        ("/decoder", json!({"type": "WordPiece"}), &["decoder WordPiece"]),
        ("/decoder", json!(null), &["decoder", "spaces", "Fuse"]),
        ("/added_tokens", json!([{"id": 2, "content": "<pad>"}]), &["1 added tokens", "<pad>"]),
        ("/model/unk_token", json!("a"), &["unk_token"]),
        ("/model/byte_fallback", json!(true), &["byte_fallback"]),
        ("/version", json!("2.0"), &["version", "2.0"]),
    ];
    for (key, value, words) in cases {
        check_refused(&file(|file| *file.pointer_mut(key).unwrap() = value), words);
    }
}

#[test]
fn what_is_no_tokenizer_file_is_refused() {
    for json in ["", "null", "[]", "{}", "{\"model\": 3}", "\u{feff}{}", "{\"model\": {\"vocab\": {\"a\": 0}}"] {
        check_refused(json.as_bytes(), &["not a tokenizer.json"]);
    }
    check_refused(
        format!("{{\"decoder\": {{\"special_tokens\": {{\"a\": {}", "[".repeat(100_000)).as_bytes(),
        &["recursion limit"],
    );
    check_refused(&vec![b' '; (64 << 20) + 1], &["67108865 bytes", "67108864"]);
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(text in ".+") {
        let tokenizer = tokenizer(&text);
        let ids = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(ids.len(), text.chars().count());
        prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }

    #[test]
    fn the_file_says_all_of_a_tokenizer(text in any::<String>().prop_filter("not empty", |text| !text.is_empty())) {
        let tokenizer = tokenizer(&text);
        prop_assert_eq!(Tokenizer::from_json(&tokenizer.to_json()).unwrap(), tokenizer);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        prop_assert!(Tokenizer::from_json(&bytes).is_err());
    }

    /// A changed byte gives either an error or a tokenizer that is as good as any.
    #[test]
    fn a_mutated_file_is_refused_or_consistent(at: prop::sample::Index, byte: u8) {
        let mut bytes = tokenizer("ab\n\"é🦀").to_json();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(tokenizer) = Tokenizer::from_json(&bytes) {
            let all: Vec<u32> = (0..tokenizer.vocab_size() as u32).collect();
            prop_assert_eq!(tokenizer.encode(&tokenizer.decode(&all).unwrap()).unwrap(), all);
        }
    }
}
