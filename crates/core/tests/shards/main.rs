//! Token shards: what is written is read, what is damaged is refused by name, and training on them is training on the text.

mod hostile;
mod training;

use std::sync::Arc;

use inkling_core::Result;
use inkling_core::train::dataset::{tokens_within, train_share};
use inkling_core::train::shards::{Shard, ShardHeader, Shards, TokenWidth, TokenizerIdentity};
use inkling_core::train::{Dataset, Split};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A vocabulary whose tokens have none, one or two characters.
fn letters(vocab_size: u64) -> Vec<u32> {
    (0..vocab_size as u32).map(|token| token % 3).collect()
}

/// A shard of a text of `total` tokens, without its siblings.
fn header(tokens: &[u32], vocab_size: u64, total: u64) -> ShardHeader {
    let dtype = TokenWidth::of_vocabulary(vocab_size);
    let mut data = Vec::new();
    dtype.encode(tokens, &mut data);
    ShardHeader {
        name: "poems".into(),
        split: Split::Train,
        index: 0,
        count: 1,
        dtype,
        tokens: tokens.len() as u64,
        characters: tokens.iter().map(|&token| u64::from(token % 3)).sum(),
        total_tokens: total,
        vocab_size,
        tokenizer: TokenizerIdentity { kind: "char".into(), sha256: sha256(b"tokenizer") },
        data_sha256: sha256(&data),
        text_sha256: sha256(b"text"),
    }
}

fn file(header: &ShardHeader, tokens: &[u32]) -> Vec<u8> {
    let mut bytes = header.to_bytes();
    header.dtype.encode(tokens, &mut bytes);
    bytes
}

/// How many tokens are for training.
fn train_tokens(tokens: &[u32], val_share: f64) -> usize {
    let characters = || tokens.iter().map(|&token| u64::from(token % 3));
    tokens_within(train_share(characters().sum(), val_share), characters()) as usize
}

/// The files of a text, by name.
fn files(tokens: &[u32], vocab_size: u64, shard_tokens: usize, val_share: f64) -> Vec<(String, Vec<u8>)> {
    let (train, val) = tokens.split_at(train_tokens(tokens, val_share));
    let of_split = |split: Split, part: &[u32]| {
        let count = part.len().div_ceil(shard_tokens) as u32;
        let shard = |(index, tokens): (usize, &[u32])| {
            let all = header(tokens, vocab_size, (train.len() + val.len()) as u64);
            let header = ShardHeader { split, index: index as u32, count, ..all };
            (format!("{split}-{index}"), file(&header, tokens))
        };
        part.chunks(shard_tokens).enumerate().map(shard).collect::<Vec<_>>()
    };
    [of_split(Split::Train, train), of_split(Split::Val, val)].concat()
}

fn parse((name, bytes): (String, Vec<u8>)) -> Result<Shard> {
    Shard::parse(name, Arc::new(bytes))
}

fn shards(files: Vec<(String, Vec<u8>)>) -> Result<Shards> {
    Shards::new(files.into_iter().map(parse).collect::<Result<_>>()?)
}

fn dataset(tokens: &[u32], vocab_size: u64, shard_tokens: usize) -> Dataset {
    let shards = shards(files(tokens, vocab_size, shard_tokens, 0.1)).unwrap();
    shards.all().iter().for_each(|shard| shard.verify(&letters(vocab_size), |_| {}).unwrap());
    Dataset::from_shards(shards, &letters(vocab_size)).unwrap()
}

#[test]
fn tokens_lie_aligned_behind_a_readable_header() {
    for (vocab_size, dtype, width) in [(65_536, TokenWidth::U16, 2), (65_537, TokenWidth::U32, 4)] {
        let tokens = [1, 258, 65_535];
        let bytes = file(&header(&tokens, vocab_size, 3), &tokens);
        let begin = bytes.len() - 3 * width;
        assert!(bytes.starts_with(b"INKTOKEN\x01\0\0\0") && begin.is_multiple_of(64));
        assert_eq!(bytes[begin + width..][..2], [2, 1]);
        let json: serde_json::Value = serde_json::from_slice(&bytes[16..begin]).unwrap();
        assert_eq!((&json["tokens"], &json["split"]), (&3.into(), &"train".into()));
        let shard = parse(("a".into(), bytes)).unwrap();
        assert_eq!((shard.file(), shard.header().dtype), ("a", dtype));
        shard.verify(&letters(vocab_size), |bytes| assert_eq!(bytes, 3 * width as u64)).unwrap();
    }
}

proptest! {
    #[test]
    fn any_window_of_any_shards_is_that_of_the_text(
        tokens in prop::collection::vec(0u32..65_536, 20..300),
        shard_tokens in 1usize..120,
        vocab_size in prop::sample::select(vec![65_536u64, 70_000]),
        windows in prop::collection::vec((0usize..300, 0usize..300), 8),
    ) {
        let (shards, memory) = (dataset(&tokens, vocab_size, shard_tokens), Dataset::new(tokens, &letters(vocab_size)).unwrap());
        for split in [Split::Train, Split::Val, Split::All] {
            let (shards, memory) = (shards.split(split), memory.split(split));
            prop_assert_eq!(shards.len(), memory.len());
            for &(start, length) in &windows {
                let start = start as u64 % (memory.len() + 1);
                let length = length.min((memory.len() - start) as usize);
                let (mut a, mut b) = (vec![0; length], vec![1; length]);
                shards.read(start, &mut a).unwrap();
                memory.read(start, &mut b).unwrap();
                prop_assert_eq!(a, b);
            }
        }
    }
}

#[test]
fn characters_per_token_are_those_of_the_text_in_memory() {
    let tokens: Vec<u32> = (0..500).map(|i| i * i % 7 + 1).collect();
    let (shards, memory) = (dataset(&tokens, 8, 60), Dataset::new(tokens, &letters(8)).unwrap());
    for split in [Split::Train, Split::Val, Split::All] {
        assert_ne!(memory.characters_per_token(split), 1.0);
        assert_eq!(shards.characters_per_token(split), memory.characters_per_token(split));
    }
}
