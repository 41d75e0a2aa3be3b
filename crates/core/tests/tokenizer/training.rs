//! Training, beside `BpeTrainer` of the crate `tokenizers`: the same merges in the same order.

use inkling_core::tokenizer::{BpeTraining, END_OF_TEXT, Tokenizer, WordCounts};
use proptest::prelude::*;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::AddedToken;

use crate::{PROSE, texts};

fn ours(text: &str, training: BpeTraining) -> Tokenizer {
    let mut counts = WordCounts::default();
    counts.add(text).unwrap();
    training.train(counts, |_| {}).unwrap().into()
}

/// A text between `<|endoftext|>`s, which become no words.
fn theirs(text: &str, training: BpeTraining) -> Tokenizer {
    let byte_level = ByteLevel::new(false, true, true);
    let mut tokenizer = tokenizers::Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level)).with_post_processor(Some(byte_level)).with_decoder(Some(byte_level));
    let special = text.contains(END_OF_TEXT).then(|| AddedToken::from(END_OF_TEXT, true));
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(training.vocab_size)
        .min_frequency(training.min_frequency)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special.into_iter().collect())
        .build();
    tokenizer.train(&mut TrainerWrapper::from(trainer), text.split(END_OF_TEXT)).unwrap();
    Tokenizer::from_json(tokenizer.to_string(false).unwrap().as_bytes()).unwrap()
}

#[test]
fn the_merges_are_theirs_on_a_real_text() {
    for (text, vocab_size, min_frequency) in [
        (PROSE.to_owned(), 4000, 0),
        (PROSE.to_owned(), 100_000, 3),
        (format!("{PROSE}<|endoftext|>{PROSE} more"), 1500, 2),
        ("<|endoftext|>".to_owned(), 1000, 0),
    ] {
        let training = BpeTraining { vocab_size, min_frequency };
        let (ours, theirs) = (ours(&text, training), theirs(&text, training));
        assert!(ours == theirs, "{training:?}");
    }
}

proptest! {
    /// Few letters: counts tie, pairs overlap, and tokens come about in more than one way.
    #[test]
    fn the_merges_are_theirs_where_counts_tie(text in "[ab ]{0,200}|[abc\n ]{0,400}", min_frequency in 0..4_u64) {
        let training = BpeTraining { vocab_size: 400, min_frequency };
        prop_assert_eq!(ours(&text, training), theirs(&text, training));
    }

    #[test]
    fn the_merges_are_theirs_on_any_text(parts in prop::collection::vec(texts(), 0..8), vocab_size in 257..500_usize) {
        let training = BpeTraining { vocab_size, min_frequency: 0 };
        let text = parts.concat();
        prop_assert_eq!(ours(&text, training), theirs(&text, training));
    }
}
