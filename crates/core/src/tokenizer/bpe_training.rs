//! Learning merges: the commonest pair of neighbouring tokens becomes a token, again and again.
//!
//! ```text
//! repeat: (a, b) = the pair of the largest count, of equals the one with the smallest ids;  ab becomes a token;  (a, b) -> ab in every word
//! ```
//!
//! Counts are kept up to date word by word: a pair knows in which words it came up, a heap finds the commonest, and an entry whose count has
//! changed since is put back with the new one. This is the algorithm of `tokenizers`, to the merge: where one token can be made of two pairs,
//! its counts and its places run apart, and so do these.
//! Source: the crate `tokenizers`, `models/bpe/trainer.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::bpe::{BpeTokenizer, END_OF_TEXT};
use super::byte_alphabet;
use super::word_counts::WordCounts;
use crate::error::{Error, Result};

/// What to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BpeTraining {
    /// Tokens wanted, the 256 bytes included (and `<|endoftext|>` where the text has it). A short text gives fewer.
    pub vocab_size: usize,
    /// Pairs that occur less often are not merged.
    pub min_frequency: u64,
}

/// Smallest vocabulary.
const LEAST_TOKENS: usize = 257;
/// Largest vocabulary: larger ones are in no use, and ids stay far from 32 bits.
const MOST_TOKENS: usize = 1 << 20;

impl BpeTraining {
    /// When nobody says: pairs that occur only once are not merged. Default of `ByteLevelBPETokenizer.train` in `tokenizers`.
    pub const MIN_FREQUENCY: u64 = 2;

    /// Fails when the vocabulary is too small for what every text may need, or too large.
    pub fn validate(self) -> Result<()> {
        if (LEAST_TOKENS..=MOST_TOKENS).contains(&self.vocab_size) {
            return Ok(());
        }
        Err(Error::Tokenizer(format!(
            "a vocabulary of {} tokens cannot be learnt: it must have {LEAST_TOKENS} (256 bytes and {END_OF_TEXT}) to {MOST_TOKENS}",
            self.vocab_size
        )))
    }

    /// Learns a tokenizer; `progress` is told the number of tokens after each merge. A text with `<|endoftext|>` gives a tokenizer that has
    /// it, with the id 0.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn train(self, counts: WordCounts, mut progress: impl FnMut(usize)) -> Result<BpeTokenizer> {
        self.validate()?;
        let mut tokens: Vec<Vec<u8>> = Vec::new();
        let end_of_text = counts.has_end_of_text().then_some(0);
        if end_of_text.is_some() {
            tokens.push(END_OF_TEXT.into());
        }
        tokens.extend(byte_alphabet::in_order().into_iter().map(|byte| vec![byte]));
        let mut ids: HashMap<Vec<u8>, u32> = (0..).zip(&tokens).map(|(id, token)| (token.clone(), id)).collect();
        let mut words = Words::new(counts, &ids);
        let mut pairs = Pairs::of(&words);
        let mut merges = Vec::new();
        while tokens.len() < self.vocab_size
            && let Some((pair, places)) = pairs.pop_commonest(self.min_frequency)
        {
            let merged = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize]].concat();
            // The same bytes may be there already, made of another pair.
            let id = *ids.entry(merged).or_insert_with_key(|merged| {
                tokens.push(merged.clone());
                tokens.len() as u32 - 1
            });
            merges.push(pair);
            for &word in &places {
                words.merge(word, pair, id, |changed, change| pairs.change(changed, change, word));
            }
            pairs.requeue();
            progress(tokens.len());
        }
        BpeTokenizer::new(&tokens, &last_of_each(&merges), end_of_text).map_err(Error::Tokenizer)
    }
}

/// A pair that was merged again counts where it was merged last, as in the map that `tokenizers` makes of its list.
fn last_of_each(merges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let last: HashMap<(u32, u32), usize> = merges.iter().enumerate().map(|(at, &pair)| (pair, at)).collect();
    merges.iter().enumerate().filter(|(at, pair)| last[pair] == *at).map(|(_, &pair)| pair).collect()
}

/// Every distinct word as symbols, end to end.
struct Words {
    symbols: Vec<u32>,
    words: Vec<Word>,
}

struct Word {
    start: usize,
    /// Symbols left.
    length: usize,
    count: i64,
}

impl Words {
    fn new(counts: WordCounts, ids: &HashMap<Vec<u8>, u32>) -> Self {
        let id_of_byte: Vec<u32> = (0..=u8::MAX).map(|byte| ids[&[byte][..]]).collect();
        let (mut symbols, mut words) = (Vec::new(), Vec::new());
        for (word, count) in counts.into_sorted() {
            words.push(Word { start: symbols.len(), length: word.len(), count: count as i64 });
            symbols.extend(word.iter().map(|&byte| id_of_byte[usize::from(byte)]));
        }
        Self { symbols, words }
    }

    fn symbols(&self, word: &Word) -> &[u32] {
        &self.symbols[word.start..word.start + word.length]
    }

    /// Replaces a pair in a word from left to right and tells what became of its neighbours: (pair, change of its count).
    fn merge(&mut self, word: u32, (left, right): (u32, u32), merged: u32, mut tell: impl FnMut((u32, u32), i64)) {
        let Word { start, length, count } = &mut self.words[word as usize];
        let symbols = &mut self.symbols[*start..*start + *length];
        let (mut read, mut write) = (0, 0_usize);
        while read < symbols.len() {
            if symbols[read] == left && symbols.get(read + 1) == Some(&right) {
                if let Some(&before) = write.checked_sub(1).and_then(|before| symbols.get(before)) {
                    tell((before, left), -*count);
                    tell((before, merged), *count);
                }
                if let Some(&after) = symbols.get(read + 2) {
                    tell((right, after), -*count);
                    tell((merged, after), *count);
                }
                symbols[write] = merged;
                read += 2;
            } else {
                symbols[write] = symbols[read];
                read += 1;
            }
            write += 1;
        }
        *length = write;
    }
}

/// The pairs of neighbours: how often each occurs, where it came up, and which is the commonest.
#[derive(Default)]
struct Pairs {
    counts: HashMap<(u32, u32), i64>,
    /// Words in which a pair came up since the last [`Self::requeue`].
    places: HashMap<(u32, u32), Vec<u32>>,
    queue: BinaryHeap<Candidate>,
    requeued: u32,
}

/// A pair with its count when it was queued; the largest is the next to be merged. Two of one pair differ in the time they were queued.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    count: i64,
    pair: Reverse<(u32, u32)>,
    queued: Reverse<u32>,
    places: Vec<u32>,
}

impl Pairs {
    fn of(words: &Words) -> Self {
        let mut pairs = Self::default();
        for (at, word) in (0..).zip(&words.words) {
            for pair in words.symbols(word).windows(2) {
                pairs.change((pair[0], pair[1]), word.count, at);
            }
        }
        pairs.requeue();
        pairs
    }

    /// Adds to a pair's count; more of it means that it came up in this word.
    fn change(&mut self, pair: (u32, u32), change: i64, word: u32) {
        *self.counts.entry(pair).or_default() += change;
        if change > 0 {
            let places = self.places.entry(pair).or_default();
            if places.last() != Some(&word) {
                places.push(word);
            }
        }
    }

    /// Queues what came up.
    fn requeue(&mut self) {
        self.requeued += 1;
        for (pair, places) in self.places.drain() {
            let count = self.counts[&pair];
            if count > 0 {
                self.queue.push(Candidate { count, pair: Reverse(pair), queued: Reverse(self.requeued), places });
            }
        }
    }

    /// The commonest pair and the words it is in; `None` when none is common enough.
    fn pop_commonest(&mut self, min_frequency: u64) -> Option<((u32, u32), Vec<u32>)> {
        loop {
            let mut top = self.queue.pop()?;
            let pair = top.pair.0;
            let count = self.counts[&pair];
            if top.count != count {
                top.count = count;
                self.queue.push(top);
            } else if count < 1 || (count as u64) < min_frequency {
                return None;
            } else {
                return Some((pair, top.places));
            }
        }
    }
}
