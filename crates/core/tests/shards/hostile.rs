//! Files that are not what they should be: named, never a panic.

use std::sync::{Arc, Mutex};

use inkling_core::Error;
use inkling_core::train::shards::{Shard, ShardHeader, Shards, TokenWidth};
use inkling_core::train::{Dataset, Split};
use proptest::prelude::*;

use crate::{file, files, header, letters, parse, sha256, shards};

const TOKENS: [u32; 6] = [3, 1, 4, 1, 5, 9];

fn good() -> ShardHeader {
    header(&TOKENS, 10, 8)
}

fn refusal(bytes: Vec<u8>) -> String {
    let error = parse(("train-0".into(), bytes)).unwrap_err();
    assert!(matches!(&error, Error::Shard { file, .. } if file == "train-0"), "{error:?}");
    error.to_string()
}

fn check(bytes: Vec<u8>, reason: &str) {
    let message = refusal(bytes);
    assert!(message.contains(reason), "{message}");
}

#[test]
fn other_files_and_other_versions_are_told_apart() {
    let bytes = file(&good(), &TOKENS);
    check(b"First Citizen:\n".to_vec(), "not a token shard");
    check(b"INKTOKIN, more than a prefix".to_vec(), "not a token shard");
    check(Vec::new(), "it has 0 bytes, too few for a token shard");
    check(bytes[..15].to_vec(), "it has 15 bytes, too few for a token shard");
    let with = |at: usize, value: u32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    check(with(8, 2), "version 2 of the format; 1 is read");
    check(with(12, u32::MAX), "claims 4294967295 bytes and at most 65536");
    check(with(12, 65_520), "too few for its header");
    check(with(12, 100), "no multiple of 64");
    check(with(12, 48), "its header is not valid: EOF");
}

#[test]
fn a_length_that_is_not_the_headers_is_told() {
    let bytes = file(&good(), &TOKENS);
    check(bytes[..bytes.len() - 1].to_vec(), "counts 6 tokens of 2 bytes and 11 bytes follow: it was cut short");
    check([&bytes[..], &[0, 0]].concat(), "take 12 bytes and 14 follow the header: it is too long");
    let huge = ShardHeader { tokens: u64::MAX / 2 + 7, total_tokens: u64::MAX, ..good() };
    check(file(&huge, &TOKENS), "cut short");
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let tokenizer = |sha256: &str| {
        let mut header = good();
        header.tokenizer.sha256 = sha256.into();
        header
    };
    for (header, reason) in [
        (ShardHeader { split: Split::All, ..good() }, "the split all"),
        (ShardHeader { index: 1, ..good() }, "shard 1 of 1"),
        (ShardHeader { index: 0, count: 0, ..good() }, "shard 0 of 0"),
        (ShardHeader { vocab_size: 0, ..good() }, "a vocabulary of 0 entries"),
        (ShardHeader { vocab_size: 1 << 33, ..good() }, "a vocabulary of 8589934592 entries"),
        (
            ShardHeader { dtype: TokenWidth::U32, ..good() },
            "stores tokens as U32; a vocabulary of 10 entries takes U16",
        ),
        (ShardHeader { vocab_size: 70_000, ..good() }, "stores tokens as U16; a vocabulary of 70000 entries takes U32"),
        (ShardHeader { tokens: 0, ..good() }, "counts 0 tokens of 8"),
        (ShardHeader { total_tokens: 5, ..good() }, "counts 6 tokens of 5"),
        (ShardHeader { data_sha256: "0".repeat(63), ..good() }, "data_sha256 is not a SHA-256"),
        (ShardHeader { text_sha256: "A".repeat(64), ..good() }, "text_sha256 is not a SHA-256"),
        (tokenizer("é"), "tokenizer.sha256 is not a SHA-256"),
    ] {
        check(file(&header, &TOKENS), reason);
    }
    let text = String::from_utf8(good().to_bytes()[16..].to_vec()).unwrap();
    for (from, to, reason) in [
        (r#""U16""#, r#""U17""#, "unknown variant `U17`"),
        (r#""tokens":6"#, r#""tokens":-"#, "its header is not valid"),
        (r#""index""#, r#""indix""#, "unknown field `indix`"),
        (r#""count""#, r#""index""#, "duplicate field `index`"),
    ] {
        let json = text.replacen(from, to, 1);
        check([&good().to_bytes()[..16], json.as_bytes(), &[0; 12]].concat(), reason);
    }
}

#[test]
fn every_flipped_byte_of_the_tokens_is_found() {
    let bytes = file(&good(), &TOKENS);
    for at in bytes.len() - 12..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let shard = parse(("train-0".into(), bytes)).unwrap();
        let error = shard.verify(&letters(10), |_| {}).unwrap_err().to_string();
        assert!(error.contains("train-0: its tokens were altered: their SHA-256 is"), "{error}");
    }
}

#[test]
fn tokens_outside_the_vocabulary_and_characters_of_another_tokenizer_are_found() {
    let verify = |header: ShardHeader, tokens: &[u32]| {
        let shard = parse(("train-0".into(), file(&header, tokens))).unwrap();
        shard.verify(&letters(10), |_| {}).unwrap_err().to_string()
    };
    let error = verify(header(&[1, 10, 11], 10, 3), &[1, 10, 11]);
    assert!(error.contains("its token 1 is 10, but the vocabulary has 10 entries"), "{error}");
    let error = verify(header(&TOKENS, 11, 8), &TOKENS);
    assert!(error.contains("its vocabulary has 11 entries and its tokenizer 10"), "{error}");
    let error = verify(ShardHeader { characters: 77, ..good() }, &TOKENS);
    assert!(error.contains("and its header says 77"), "{error}");
}

/// What a mapped file is when somebody writes into it.
struct Changing(Mutex<&'static [u8]>);

impl AsRef<[u8]> for Changing {
    fn as_ref(&self) -> &[u8] {
        *self.0.lock().unwrap()
    }
}

#[test]
fn a_file_that_changes_after_it_was_verified_is_found_where_it_makes_impossible_tokens() {
    let mut files = files(&[1; 20], 10, 100, 0.1);
    let (name, bytes) = files.remove(0);
    let mut damaged = bytes.clone();
    let end = damaged.len();
    damaged[end - 1] = 0xff;
    let file = Arc::new(Changing(Mutex::new(bytes.leak())));
    let shards = Shards::new(vec![Shard::parse(name, file.clone()).unwrap(), parse(files.remove(0)).unwrap()]).unwrap();
    let data = Dataset::from_shards(shards, &letters(10)).unwrap();
    data.split(Split::Train).read(0, &mut [0; 18]).unwrap();
    *file.0.lock().unwrap() = damaged.leak();
    data.split(Split::Train).read(0, &mut [0; 17]).unwrap();
    let error = data.split(Split::Train).read(5, &mut [0; 13]).unwrap_err().to_string();
    assert!(error.contains("train-0: its token 17 is 65281") && error.contains("changed while in use"), "{error}");
}

#[test]
fn shards_that_do_not_belong_together_are_named() {
    let all = || files(&[1; 40], 10, 12, 0.2);
    let names: Vec<String> = all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["train-0", "train-1", "train-2", "val-0"]);
    let backwards: Vec<_> = all().into_iter().rev().collect();
    assert_eq!(shards(backwards).unwrap().all()[1].file(), "train-1");

    let without = |at: usize| {
        let mut files = all();
        files.remove(at);
        shards(files).unwrap_err().to_string()
    };
    assert!(without(1).contains("shard 1 of the split train (0 to 2) is missing"), "{}", without(1));
    assert!(without(2).contains("shard 2 of the split train"), "{}", without(2));
    assert!(without(3).contains("no token shard of the split val"), "{}", without(3));
    assert!(shards(Vec::new()).unwrap_err().to_string().contains("there is no token shard"));

    let with = |at: usize, file: (String, Vec<u8>)| {
        let mut files = all();
        files[at] = file;
        shards(files).unwrap_err().to_string()
    };
    let changed = |change: fn(&mut ShardHeader)| {
        let mut header = parse(all().remove(1)).unwrap().header().clone();
        change(&mut header);
        with(1, ("odd".into(), file(&header, &[1; 12])))
    };
    for (message, reason) in [
        (changed(|header| header.tokenizer.sha256 = sha256(b"other")), "odd: its tokenizer is char "),
        (changed(|header| header.vocab_size = 11), "odd: its vocabulary has 11 entries"),
        (changed(|header| header.text_sha256 = sha256(b"other")), "odd: its text has the SHA-256 "),
        (changed(|header| header.total_tokens = 41), "odd: its text has 41 tokens"),
        (changed(|header| header.count = 4), "odd: its split train has 4 shards"),
        (changed(|header| header.index = 2), "train-2: it is shard 2 of train, as is odd"),
        (with(1, files(&[1; 40], 10, 11, 0.175).remove(1)), "the shards hold 39 tokens and their text has 40"),
    ] {
        assert!(message.contains(reason), "{message}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_whatever_the_bytes(
        edits in prop::collection::vec((0usize..2000, any::<u8>()), 1..6),
        length in 0usize..2000,
    ) {
        let mut bytes = file(&good(), &TOKENS);
        for (at, value) in edits {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(length);
        if let Ok(shard) = parse(("train-0".into(), bytes)) {
            let _ = shard.verify(&letters(10), |_| {});
            let _ = Shards::new(vec![shard]);
        }
    }
}
