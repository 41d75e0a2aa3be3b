//! Places of tokens, unknown characters, and what a corpus teaches.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::mpsc::unbounded;
use inkling_core::tokenizer::{BpeTraining, ByteTokenizer, CharTokenizer, Tokenizer, WordCounts};

use super::corpus::Corpus;
use super::split::split;
use crate::protocol::tokenize::{Grow, Learn, MOST_MERGES, Tokenize, Tokenized, Vocabulary};
use crate::protocol::{Answer, Ask, Event, Failure, Request};
use crate::worker::{Incoming, Role, Workshop};

/// Long enough for some hundred merges: this project's own words.
const TEXT: &str = include_str!("../../../../../README.md");

fn by_bytes(text: &str) -> Tokenized {
    split(&ByteTokenizer.into(), text).unwrap()
}

fn ranges(tokens: &Tokenized) -> Vec<(usize, usize)> {
    tokens.tokens.iter().map(|token| (token.start, token.end)).collect()
}

#[test]
fn tokens_that_cut_a_character_cover_all_of_it() {
    let tokens = by_bytes("a🦀é");
    assert_eq!(ranges(&tokens), [(0, 1), (1, 3), (1, 3), (1, 3), (1, 3), (3, 4), (3, 4)]);
    assert_eq!(tokens.tokens[1].text, "\\xF0");
    assert!(tokens.round_trip && tokens.unknown.is_none());
}

#[test]
fn a_pair_may_end_within_a_character() {
    let mut counts = WordCounts::default();
    counts.add(&" 🦀".repeat(9)).unwrap();
    let pairs = BpeTraining { vocab_size: 259, min_frequency: 0 }.train(counts, |_| {}).unwrap();
    let tokens = split(&pairs.into(), " 🦀🦀").unwrap();
    assert_eq!(ranges(&tokens)[..3], [(0, 3), (1, 3), (3, 5)]);
    assert_eq!(tokens.tokens[0].text, " \\xF0\\x9F");
}

#[test]
fn combining_characters_are_characters() {
    let text = "e\u{301}x";
    let tokens = split(&CharTokenizer::from_text(text).unwrap().into(), text).unwrap();
    assert_eq!(ranges(&tokens), [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn what_is_before_an_unknown_character_is_split() {
    let tokenizer = Tokenizer::from(CharTokenizer::from_text("ab🦀").unwrap());
    let tokens = split(&tokenizer, "a🦀éb").unwrap();
    let unknown = tokens.unknown.clone().unwrap();
    assert_eq!((unknown.character, unknown.at, unknown.place), ('é', 3, 2));
    assert_eq!(ranges(&tokens), [(0, 1), (1, 3)]);
    assert!(tokens.round_trip);
    assert_eq!(split(&tokenizer, "").unwrap(), Tokenized { vocab_size: 3, round_trip: true, ..Tokenized::default() });
}

#[test]
fn lengths_are_those_of_every_truncated_vocabulary() {
    let mut corpus = Corpus::learn(TEXT).unwrap();
    let text = "the the loss of a model, aaaa éé 🦀 the end";
    let grown = corpus.grow(text);
    assert_eq!(grown.lengths.len(), corpus.learnt().merges.len() + 1);
    for merges in (0..=MOST_MERGES).step_by(50) {
        let tokens = split(corpus.pairs(merges), text).unwrap();
        assert_eq!(grown.lengths[merges] as usize, tokens.tokens.len(), "{merges}");
        assert_eq!(tokens.vocab_size, 256 + merges);
        assert!(tokens.round_trip);
    }
}

#[test]
fn merges_join_two_tokens_into_a_new_row() {
    let learnt = Corpus::learn(TEXT).unwrap().learnt();
    for (i, merge) in learnt.merges.iter().enumerate() {
        assert_eq!(merge.id as usize, 256 + i);
    }
    let whole = learnt.merges.iter().find(|merge| !merge.token.contains('\\')).unwrap();
    assert_eq!(whole.token, [&whole.left[..], &whole.right].concat());
    assert!(learnt.characters.contains('e') && learnt.read < TEXT.chars().count());
}

/// A worker without a model, and what it has said.
fn workshop() -> (Workshop, Rc<RefCell<Vec<Event>>>) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hearing = heard.clone();
    (Workshop::new(Role::FIGURES, move |event| hearing.borrow_mut().push(event), unbounded().0), heard)
}

fn ask(workshop: &mut Workshop, id: u32, ask: impl Ask) {
    workshop.receive(Incoming::Request(Request::Ask { id, call: ask.call() }));
    while pollster::block_on(workshop.work()) {}
}

#[test]
fn what_needs_the_corpus_waits_for_it() {
    let (mut workshop, heard) = workshop();
    ask(&mut workshop, 1, Learn);
    ask(&mut workshop, 2, Grow { text: "a".into() });
    ask(&mut workshop, 3, Tokenize { text: "of the".into(), by: Vocabulary::Bpe { merges: 300 } });
    ask(&mut workshop, 4, Tokenize { text: "é".into(), by: Vocabulary::Byte });
    assert!(matches!(heard.take()[..], [Event::Done { id: 4, answer: Answer::Tokenize(_) }]));
    workshop.receive(Incoming::Request(Request::Cancel { id: 2 }));
    workshop.receive(Incoming::Corpus(Ok(TEXT.into())));
    while pollster::block_on(workshop.work()) {}
    let heard = heard.take();
    let [Event::Done { id: 1, answer: Answer::Learn(_) }, Event::Done { id: 3, answer: Answer::Tokenize(tokens) }] =
        &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert!(tokens.tokens.len() < 6 && tokens.round_trip);
}

#[test]
fn a_missing_corpus_is_said_and_asked_for_again() {
    let (mut workshop, heard) = workshop();
    ask(&mut workshop, 1, Learn);
    workshop.receive(Incoming::Corpus(Err(Failure::network("no corpus"))));
    ask(&mut workshop, 2, Tokenize { text: "a".into(), by: Vocabulary::Char });
    workshop.receive(Incoming::Corpus(Ok(b"\xff".to_vec())));
    ask(&mut workshop, 3, Tokenize { text: "a".into(), by: Vocabulary::Model });
    let heard = heard.take();
    assert!(
        matches!(&heard[..], [Event::Failed { id: 1, .. }, Event::Failed { id: 2, .. }, Event::Failed { id: 3, .. }]),
        "{heard:?}"
    );
}
