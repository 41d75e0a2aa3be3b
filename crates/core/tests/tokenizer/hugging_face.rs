//! The crate `tokenizers` as an oracle: whatever the text, it finds the same tokens.

use inkling_core::tokenizer::{ByteTokenizer, CharTokenizer, Tokenizer, words};
use proptest::prelude::*;
use tokenizers::tokenizer::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use crate::{PROSE, learn, texts};

/// Our tokenizer in their hands.
fn theirs(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(tokenizer.to_json()).unwrap()
}

fn check_same(ours: &Tokenizer, theirs: &tokenizers::Tokenizer, text: &str) -> Result<(), TestCaseError> {
    let ids = ours.encode(text).unwrap();
    let encoding = theirs.encode(text, true).unwrap();
    prop_assert_eq!(&ids[..], encoding.get_ids(), "{:?}", text);
    prop_assert_eq!(ours.decode(&ids).unwrap(), text);
    prop_assert_eq!(theirs.decode(&ids, false).unwrap(), text);
    Ok(())
}

#[test]
fn they_find_the_same_tokens_in_any_text() {
    let documents = format!("{PROSE}<|endoftext|>{PROSE}");
    let tokenizers = [
        learn(PROSE, 900).into(),
        learn(&documents, 700).into(),
        learn("", 257).into(),
        Tokenizer::from(ByteTokenizer),
    ];
    let pairs: Vec<_> = tokenizers.into_iter().map(|ours| (theirs(&ours), ours)).collect();
    for (theirs, ours) in &pairs {
        check_same(ours, theirs, PROSE).unwrap();
        assert_eq!(Tokenizer::from_json(theirs.to_string(true).unwrap().as_bytes()).unwrap(), *ours);
    }
    proptest!(|(text in texts())| {
        for (theirs, ours) in &pairs {
            check_same(ours, theirs, &text)?;
        }
    });
    proptest!(|(text: String)| {
        for (theirs, ours) in &pairs {
            check_same(ours, theirs, &text)?;
        }
    });
}

#[test]
fn they_find_the_same_characters() {
    let ours = Tokenizer::from(CharTokenizer::from_text(PROSE).unwrap());
    check_same(&ours, &theirs(&ours), PROSE).unwrap();
}

/// Ids that no text has: tokens may end within characters.
#[test]
fn they_decode_any_ids_to_the_same_text() {
    let ours = Tokenizer::from(learn(PROSE, 600));
    let theirs = theirs(&ours);
    proptest!(|(ids in prop::collection::vec(0..600_u32, 0..40))| {
        prop_assert_eq!(ours.decode(&ids).unwrap(), theirs.decode(&ids, false).unwrap());
    });
}

fn their_words(text: &str) -> Vec<String> {
    let byte_level = tokenizers::pre_tokenizers::byte_level::ByteLevel::new(false, true, true);
    let mut pieces = PreTokenizedString::from(text);
    byte_level.pre_tokenize(&mut pieces).unwrap();
    let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
    splits.iter().map(|(_, (start, end), _)| text[*start..*end].to_owned()).filter(|word| !word.is_empty()).collect()
}

/// Every character, after and before one of each class: the classes are theirs.
#[test]
fn they_cut_the_same_words_at_every_character() {
    for c in '\0'..=char::MAX {
        // Letters join letters, digits join digits; what joins neither is white space or another sign.
        let text = format!("a{c}a1{c}1.{c}. {c}");
        assert_eq!(words(&text).collect::<Vec<_>>(), their_words(&text), "U+{:04X}", u32::from(c));
    }
    proptest!(|(text in texts())| {
        prop_assert_eq!(words(&text).collect::<Vec<_>>(), their_words(&text));
    });
}
