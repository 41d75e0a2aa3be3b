//! Tokenizers: text and ids, `tokenizer.json` both ways, every refusal; and that the crate `tokenizers` finds the same.

mod byte_level;
mod char_level;
mod files;
#[cfg(not(target_family = "wasm"))]
mod hugging_face;
#[cfg(not(target_family = "wasm"))]
mod training;

use inkling_core::tokenizer::{BpeTokenizer, BpeTraining, Tokenizer, WordCounts};
use proptest::prelude::*;
use serde_json::Value;

/// English, code and signs: this project's own.
const PROSE: &str = concat!(
    include_str!("../../../../ARCHITECTURE.md"),
    include_str!("../../../../README.md"),
    include_str!("../../src/tokenizer/words.rs"),
);

/// Byte pair encoding learnt from a text.
fn learn(text: &str, vocab_size: usize) -> BpeTokenizer {
    let mut counts = WordCounts::default();
    counts.add(text).unwrap();
    BpeTraining { vocab_size, min_frequency: 0 }.train(counts, |_| {}).unwrap()
}

/// What tokenizers stumble over.
const PARTS: &[&str] = &[
    "the",
    " the",
    "The",
    "'s",
    "'ll",
    "'LL",
    "''",
    "I'm",
    "don't",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{85}",
    "\u{2028}",
    "\u{200b}",
    "\u{feff}",
    "42",
    " 1st",
    "½",
    "Ⅷ",
    "२",
    "é",
    "e\u{301}",
    "ß",
    "日本語",
    "ق",
    "👩\u{200d}👩\u{200d}👧",
    "🏳\u{fe0f}\u{200d}🌈",
    "🇩🇪",
    "<|endoftext|>",
    "<|",
    "|>",
    "endoftext",
    "...",
    " --",
    "(a)",
    "x_y",
    "\0",
    "\u{7f}",
    "\u{e000}",
    "\u{10ffff}",
    "aaaa",
    "ab",
    "ababab",
    "ⓐ",
    "ªº",
    "\u{345}",
    "〇",
];

/// Strings made of these, with any others in between.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(PARTS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z ]{1,8}",
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// The file of a tokenizer, changed by `change`.
fn changed(tokenizer: &Tokenizer, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut file = serde_json::from_slice(&tokenizer.to_json()).unwrap();
    change(&mut file);
    serde_json::to_vec(&file).unwrap()
}

/// Checks that `json` is refused in a message with all `words`.
fn check_refused(json: &[u8], words: &[&str]) {
    let message = Tokenizer::from_json(json).expect_err(&format!("{words:?} expected")).to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}
