//! Bytes and byte pair encoding: identities, merges step by step, the size of a vocabulary.

use inkling_core::tokenizer::pieces::pieces;
use inkling_core::tokenizer::{
    BpeTokenizer, BpeTraining, ByteTokenizer, Tokenizer, TokenizerKind, Utf8Stream, WordCounts, words,
};
use proptest::prelude::*;

use crate::{PROSE, learn, texts};

#[test]
fn a_byte_is_its_own_id() {
    let tokenizer = Tokenizer::from(ByteTokenizer);
    assert_eq!(tokenizer.encode("aé").unwrap(), [0x61, 0xc3, 0xa9]);
    assert_eq!(tokenizer.decode(&[0x61, 0xc3]).unwrap(), "a\u{fffd}");
    assert_eq!(tokenizer.decode_bytes(&[0x61, 0xc3]).unwrap(), b"a\xc3");
    assert_eq!((tokenizer.vocab_size(), tokenizer.token_bytes(256)), (256, None));
    assert!(tokenizer.decode(&[0, 256]).unwrap_err().to_string().contains("id 256 at position 1"));
}

#[test]
fn tokens_that_are_no_text_are_shown_byte_by_byte() {
    let tokenizer = Tokenizer::from(ByteTokenizer);
    assert_eq!(tokenizer.token_text(0xe2).as_deref(), Some("\\xE2"));
    assert_eq!(tokenizer.token_text(0x0a).as_deref(), Some("\n"));
    let tokenizer = Tokenizer::from(learn(&" 🦀".repeat(9), 259));
    assert_eq!(tokenizer.token_text(258).as_deref(), Some(" \\xF0\\x9F"));
}

#[test]
fn kinds_have_names_and_are_read_again() {
    for (tokenizer, name) in [
        (Tokenizer::from(ByteTokenizer), "byte"),
        (learn("aab", 257).into(), "bpe"),
        (crate::char_level::tokenizer("ab"), "char"),
    ] {
        assert_eq!(tokenizer.kind().name(), name);
        let json = serde_json::to_string(&tokenizer.kind()).unwrap();
        assert_eq!(serde_json::from_str::<TokenizerKind>(&json).unwrap(), tokenizer.kind());
    }
    assert_eq!(Tokenizer::from(learn("aab", 257)).kind(), TokenizerKind::Bpe { vocab_size: 257 });
}

#[test]
fn merges_are_shown_one_by_one() {
    let tokenizer = learn("low low low lower lower newest newest newest widest", 270);
    let steps: Vec<_> = tokenizer.merge_steps(" lowest").collect();
    let spelt = |ids: &[u32]| -> Vec<String> {
        ids.iter().map(|&id| String::from_utf8(tokenizer.token_bytes(id).unwrap().to_vec()).unwrap()).collect()
    };
    assert_eq!((steps[0].merge, spelt(&steps[0].ids)), (None, " lowest".chars().map(String::from).collect()));
    for pair in steps.windows(2) {
        let merge = pair[1].merge.unwrap();
        let joined = [tokenizer.token_bytes(merge.left).unwrap(), tokenizer.token_bytes(merge.right).unwrap()].concat();
        assert_eq!(tokenizer.token_bytes(merge.result).unwrap(), joined);
        assert_eq!(pair[1].ids.len() + 1, pair[0].ids.len());
        assert_eq!(tokenizer.merges().nth(merge.rank as usize), Some(merge));
    }
    assert_eq!(steps.last().unwrap().ids, tokenizer.encode(" lowest"));
    assert_eq!(spelt(&steps.last().unwrap().ids), [" lo", "we", "st"]);
}

#[test]
fn the_first_merges_are_a_shorter_training() {
    let all = learn(PROSE, 900);
    for merges in [0, 1, 44, 300] {
        assert!(all.truncated(merges) == learn_merges(merges), "{merges}");
    }
    assert!(all.truncated(all.merges().count()) == all && all.truncated(usize::MAX) == all);
    let with_end = learn("one one one<|endoftext|>two", 300);
    assert_eq!(with_end.truncated(1).encode("<|endoftext|>one").len(), 3);
    assert_eq!(with_end.truncated(1).vocab_size(), 258);
}

/// Of [`PROSE`]; 257 ids are the fewest that a training takes.
fn learn_merges(merges: usize) -> BpeTokenizer {
    if merges == 0 { learn("", 257) } else { learn(PROSE, 256 + merges) }
}

#[test]
fn end_of_text_is_one_token_where_the_text_had_it_and_thirteen_where_not() {
    let tokenizer = learn("one<|endoftext|>two", 300);
    assert_eq!(tokenizer.end_of_text(), Some(0));
    assert_eq!(tokenizer.encode("<|endoftext|><|endoftext|>"), [0, 0]);
    assert_eq!(tokenizer.token_bytes(0), Some(&b"<|endoftext|>"[..]));
    assert!(!tokenizer.encode("<|endoftext|").contains(&0));
    assert_eq!(learn("", 257).encode("<|endoftext|>").len(), 13);
}

#[test]
fn a_vocabulary_has_the_bytes_and_an_end() {
    let train = |text: &str, vocab_size: usize| {
        let mut counts = WordCounts::default();
        counts.add(text).unwrap();
        BpeTraining { vocab_size, min_frequency: 0 }.train(counts, |_| {}).map_err(|error| error.to_string())
    };
    for size in [0, 256, 1 << 21] {
        let message = train("", size).unwrap_err();
        assert!(
            message.contains(&format!("{size} tokens")) && message.contains("257") && message.contains("1048576"),
            "{message}"
        );
    }
    assert_eq!(train("abab", 1000).unwrap().vocab_size(), 258);
    let mut told = Vec::new();
    let mut counts = WordCounts::default();
    counts.add("abab").unwrap();
    assert_eq!(counts.distinct(), 1);
    BpeTraining { vocab_size: 1000, min_frequency: 1 }.train(counts, |tokens| told.push(tokens)).unwrap();
    assert_eq!(told, [257, 258]);
}

/// A heap, not a scan per merge: this would take hours.
#[test]
fn a_word_of_a_megabyte_is_encoded() {
    let tokenizer = learn(&format!("{} {PROSE}", "ab".repeat(64)), 600);
    for word in ["ab", "a", "zq"] {
        let text = word.repeat((1 << 20) / word.len());
        assert_eq!(Tokenizer::from(tokenizer.clone()).decode(&tokenizer.encode(&text)).unwrap(), text);
    }
}

proptest! {
    #[test]
    fn words_are_the_text_again(text in texts()) {
        prop_assert!(words(&text).all(|word| !word.is_empty()));
        prop_assert_eq!(words(&text).collect::<String>(), text);
    }

    #[test]
    fn decoding_undoes_encoding(text: String) {
        for tokenizer in [Tokenizer::from(ByteTokenizer), learn(&text, 300).into()] {
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text.as_str());
            let mut stream = Utf8Stream::default();
            let mut streamed: String = ids.iter().map(|&id| stream.push(&tokenizer.token_bytes(id).unwrap())).collect();
            streamed += &stream.finish();
            prop_assert_eq!(streamed, text.as_str());
        }
    }

    /// Whatever tokens a character's bytes lie in, it is counted once.
    #[test]
    fn ranks_tell_the_length_after_any_number_of_merges(text in texts(), merges in 0..600_usize) {
        let all = learn(PROSE, 856);
        let below = |word: &str| all.merge_ranks(word).take_while(|&rank| (rank as usize) < merges).count();
        let merged: usize = words(&text).map(below).sum();
        prop_assert_eq!(all.truncated(merges).encode(&text).len(), text.len() - merged);
    }

    #[test]
    fn a_part_of_the_merges_decodes_to_the_text(text in "[ab ]{0,60}", merges in 0..20_usize) {
        let tokenizer = Tokenizer::from(learn(&text, 400).truncated(merges));
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn tokens_are_worth_the_characters_of_their_text(text in texts()) {
        for tokenizer in [Tokenizer::from(ByteTokenizer), learn(&text, 300).into()] {
            let worth = tokenizer.characters();
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(ids.iter().map(|&id| worth[id as usize]).sum::<u32>() as usize, text.chars().count());
        }
    }

    #[test]
    fn pieces_encoded_one_by_one_are_the_whole(text in texts(), size in 0..20_usize) {
        let tokenizer = learn(&format!("{text}<|endoftext|>{text}"), 320);
        let by_piece: Vec<u32> = pieces(&text, size).flat_map(|piece| tokenizer.encode(piece)).collect();
        prop_assert_eq!(by_piece, tokenizer.encode(&text));
    }

    #[test]
    fn counting_by_pieces_is_counting_the_whole(text in texts(), size in 0..20_usize) {
        let mut counts = WordCounts::default();
        for piece in pieces(&text, size) {
            counts.add(piece).unwrap();
        }
        let training = BpeTraining { vocab_size: 300, min_frequency: 0 };
        prop_assert_eq!(training.train(counts, |_| {}).unwrap(), learn(&text, 300));
    }
}
