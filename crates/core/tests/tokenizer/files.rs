//! `tokenizer.json` of byte-level tokenizers: what is read, and every refusal.

use inkling_core::tokenizer::{ByteTokenizer, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{changed, check_refused, learn};

/// With three merges (`ab`, ` ab`, ` abc`) and `<|endoftext|>` as the token 0.
fn tokenizer() -> Tokenizer {
    learn("ab ab ab abc<|endoftext|>", 260).into()
}

fn file(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    changed(&tokenizer(), change)
}

#[test]
fn what_is_written_is_read_again() {
    for tokenizer in [tokenizer(), learn("", 257).into(), ByteTokenizer.into()] {
        assert_eq!(Tokenizer::from_json(&tokenizer.to_json()).unwrap(), tokenizer);
    }
}

/// As in GPT-2's file: the last id, pairs as strings, options of a dozen years.
#[test]
fn the_file_of_gpt2_is_read() {
    let expected = learn("ab ab ab abc", 259);
    let gpt2 = changed(&expected.clone().into(), |file| {
        file["model"]["vocab"]["<|endoftext|>"] = json!(259);
        file["added_tokens"] = json!([{"id": 259, "special": true, "content": "<|endoftext|>", "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": true}]);
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            file["model"][key] = json!("");
        }
        file["model"]["unk_token"] = json!("<|endoftext|>");
        for part in ["pre_tokenizer", "decoder", "post_processor"] {
            file[part] = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false});
        }
    });
    let Tokenizer::Bpe(gpt2) = Tokenizer::from_json(&gpt2).unwrap() else { panic!("it is BPE") };
    assert_eq!((gpt2.vocab_size(), gpt2.end_of_text()), (260, Some(259)));
    assert_eq!(gpt2.encode("abc ab<|endoftext|>"), [&expected.encode("abc ab")[..], &[259]].concat());
    assert!(gpt2.merges().eq(expected.merges()));
}

#[test]
fn merges_may_be_pairs_and_the_token_only_added() {
    let pairs = file(|file| {
        for merge in file["model"]["merges"].as_array_mut().unwrap() {
            *merge = merge.as_str().unwrap().split(' ').collect();
        }
        file["post_processor"] = json!(null);
    });
    assert_eq!(Tokenizer::from_json(&pairs).unwrap(), tokenizer());
    let added = changed(&learn("", 257).into(), |file| {
        file["added_tokens"] = json!([{"id": 256, "content": "<|endoftext|>"}]);
    });
    assert_eq!(Tokenizer::from_json(&added).unwrap().encode("<|endoftext|>a").unwrap()[0], 256);
}

#[test]
fn damaged_vocabularies_are_refused() {
    let vocab = |token: &str, id: Value| file(|file| file["model"]["vocab"][token] = id);
    check_refused(&vocab("ab", json!(300)), &["\"ab\"", "id 300", "0 to 259"]);
    check_refused(&vocab("ab", json!(1)), &["id 1 belongs to two tokens", "\"!\"", "\"ab\""]);
    check_refused(&vocab("", json!(260)), &["id 260 is empty"]);
    check_refused(&vocab("日本", json!(260)), &["日本", "U+65E5", "byte alphabet"]);
    check_refused(&vocab("a b", json!(260)), &["\"a b\"", "U+0020"]);
    check_refused(&vocab("x", json!(-1)), &["-1"]);
    check_refused(&vocab("x", json!(1e300)), &["not a tokenizer.json"]);
    check_refused(&file(|file| file["model"]["vocab"] = json!({})), &["empty"]);
    check_refused(&file(|file| file["model"]["vocab"] = json!([])), &["list"]);
    let without_e2 = changed(&ByteTokenizer.into(), |file| {
        let vocab = file["model"]["vocab"].as_object_mut().unwrap();
        let last = vocab.remove("â").unwrap();
        *vocab.get_mut("ÿ").unwrap() = last;
    });
    check_refused(&without_e2, &["0xe2", "\"â\""]);
    let twice = String::from_utf8(file(|_| {})).unwrap().replace(r#""ab":"#, r#""b":"#);
    check_refused(twice.as_bytes(), &["\"b\"", "two ids"]);
}

#[test]
fn damaged_merges_are_refused() {
    let merges = |merges: Value| file(|file| file["model"]["merges"] = merges);
    check_refused(&merges(json!(["a b", "a zz"])), &["merge 1", "\"zz\"", "not in the vocabulary"]);
    check_refused(&merges(json!(["a b", ["日", "b"]])), &["merge 1", "\"日\""]);
    check_refused(&merges(json!(["b a"])), &["merge 0", "makes a token that is not in the vocabulary"]);
    check_refused(&merges(json!(["a b", "a b"])), &["merge 1", "twice"]);
    for merge in ["ab", "a b c", "a  b"] {
        check_refused(&merges(json!([merge])), &["merge 0", "two tokens with one space"]);
    }
    for merge in [json!(3), json!(["a"]), json!(["a", "b", "c"]), json!(null)] {
        check_refused(&merges(json!([merge])), &["not a tokenizer.json", "merge"]);
    }
    check_refused(&merges(json!({"a": "b"})), &["not a tokenizer.json"]);
}

/// A message is a sentence, whatever the file.
#[test]
fn long_tokens_are_shown_by_their_beginning() {
    let long = "a".repeat(100_000);
    for file in [
        file(|file| file["model"]["vocab"][&long] = json!(0)),
        file(|file| file["model"]["vocab"][&(long.clone() + "日")] = json!(260)),
        file(|file| file["model"]["merges"] = json!([["a", long]])),
        file(|file| file["added_tokens"][0]["content"] = json!(long)),
    ] {
        let message = Tokenizer::from_json(&file).unwrap_err().to_string();
        assert!(message.contains("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"…") && message.len() < 400, "{}", message.len());
    }
}

#[test]
fn other_pipelines_are_refused_by_name() {
    let byte_level = |key: &str, value: Value| {
        let mut part = json!({"type": "ByteLevel", "add_prefix_space": false});
        part[key] = value;
        part
    };
    let cases: [(&str, Value, &[&str]); 14] = [
        ("/model/type", json!("Unigram"), &["Unigram", "not supported"]),
        ("/normalizer", json!({"type": "NFC"}), &["NFC"]),
        ("/pre_tokenizer", json!(null), &["another pre-tokenizer", "none"]),
        ("/pre_tokenizer", json!({"type": "Sequence"}), &["Sequence"]),
        ("/pre_tokenizer", byte_level("add_prefix_space", json!(true)), &["add_prefix_space"]),
        ("/pre_tokenizer", byte_level("use_regex", json!(false)), &["use_regex"]),
        (
            "/post_processor",
            json!({"type": "TemplateProcessing", "special_tokens": {"<s>": 1}}),
            &["TemplateProcessing"],
        ),
        ("/decoder", json!(null), &["no decoder"]),
        ("/decoder", json!({"type": "Fuse"}), &["decoder Fuse"]),
        ("/added_tokens/0/lstrip", json!(true), &["surroundings"]),
        ("/added_tokens/0/content", json!("<pad>"), &["<pad>", "only <|endoftext|>"]),
        ("/model/ignore_merges", json!(true), &["ignore_merges"]),
        ("/model/dropout", json!(0.1), &["dropout 0.1"]),
        ("/model/end_of_word_suffix", json!("</w>"), &["end_of_word_suffix"]),
    ];
    for (key, value, words) in cases {
        check_refused(&file(|file| *file.pointer_mut(key).unwrap() = value), words);
    }
}

#[test]
fn an_added_token_with_another_id_is_refused() {
    let with_id = |id: Value| file(|file| file["added_tokens"][0]["id"] = id);
    check_refused(&with_id(json!(7)), &["<|endoftext|>", "id 0", "and 7"]);
    check_refused(&with_id(json!(u64::MAX)), &["18446744073709551615"]);
    let absent = |id: u64| {
        changed(&learn("", 257).into(), |file| file["added_tokens"] = json!([{"id": id, "content": "<|endoftext|>"}]))
    };
    check_refused(&absent(3), &["id 3", "two tokens"]);
    check_refused(&absent(300), &["id 300", "0 to 256"]);
    check_refused(&absent(1 << 40), &["1099511627776"]);
    check_refused(
        &file(|file| {
            let token = file["added_tokens"][0].clone();
            file["added_tokens"].as_array_mut().unwrap().push(token);
        }),
        &["2 times"],
    );
}

#[test]
fn deep_nesting_and_giant_files_are_refused() {
    for key in ["added_tokens", "model", "pre_tokenizer"] {
        check_refused(format!("{{\"{key}\": {}", "[".repeat(100_000)).as_bytes(), &["not a tokenizer.json"]);
        check_refused(format!("{{\"{key}\": {}", "{\"a\":".repeat(100_000)).as_bytes(), &["not a tokenizer.json"]);
    }
    check_refused(&vec![b' '; (64 << 20) + 1], &["67108865 bytes"]);
}

/// A tokenizer as good as any: it encodes and decodes, and its file is read again.
fn check_consistent(tokenizer: &Tokenizer) -> Result<(), TestCaseError> {
    let text = "ab abc <|endoftext|> \u{e9}\u{1f980}";
    prop_assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    prop_assert_eq!(&Tokenizer::from_json(&tokenizer.to_json()).unwrap(), tokenizer);
    Ok(())
}

proptest! {
    #[test]
    fn a_mutated_file_is_refused_or_consistent(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = file(|_| {});
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&bytes) {
            check_consistent(&tokenizer)?;
        }
    }

    #[test]
    fn a_file_with_a_piece_cut_out_is_refused_or_consistent(start: prop::sample::Index, length in 0..40_usize) {
        let mut bytes = file(|_| {});
        let start = start.index(bytes.len());
        bytes.drain(start..(start + length).min(bytes.len()));
        if let Ok(tokenizer) = Tokenizer::from_json(&bytes) {
            check_consistent(&tokenizer)?;
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused_or_consistent(
        at in prop::sample::select(vec!["/version", "/added_tokens", "/added_tokens/0", "/added_tokens/0/id", "/pre_tokenizer", "/decoder",
            "/post_processor", "/model", "/model/vocab", "/model/vocab/ab", "/model/merges", "/model/merges/0", "/model/dropout"]),
        value in prop::sample::select(vec![json!(null), json!(true), json!(3), json!(-1.5), json!("a b"), json!(["a", "b"]), json!({"a": 1})]),
    ) {
        let bytes = file(|file| *file.pointer_mut(at).unwrap() = value);
        if let Ok(tokenizer) = Tokenizer::from_json(&bytes) {
            check_consistent(&tokenizer)?;
        }
    }
}
