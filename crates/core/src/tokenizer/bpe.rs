//! Byte-level byte pair encoding, GPT-2's tokenizer.
//!
//! ```text
//! encode: text -> special tokens and what is between them -> words -> bytes -> merges by rank -> ids
//! decode: ids -> bytes
//! ```
//!
//! All 256 bytes are tokens, so that every text has an encoding. A token is a byte string, not always of whole characters.
//! Source: Radford et al. 2019 (GPT-2), section 2.2; Sennrich et al. 2016.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::byte_alphabet::{quote, spell};
use super::merging::Merging;
use super::words::words;

/// Stands between documents, and in front of a text that begins from nothing. Source: GPT-2.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// A byte-level BPE tokenizer: a vocabulary, the merges by rank, and whether `<|endoftext|>` is a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BpeTokenizer {
    tokens: Tokens,
    byte_ids: Box<[u32; 256]>,
    merges: Merges,
    end_of_text: Option<u32>,
    unused: usize,
}

/// A merge rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Its place among the rules: lower ones come first.
    pub rank: u32,
    /// The left token.
    pub left: u32,
    /// The right token.
    pub right: u32,
    /// What they become.
    pub result: u32,
}

/// A word after a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeStep {
    /// The rule that was applied; `None` at the start, where every byte is a token.
    pub merge: Option<Merge>,
    /// The word's tokens.
    pub ids: Vec<u32>,
}

impl BpeTokenizer {
    /// A vocabulary (token `i` has the id `i`) with the pairs that merge, earliest first; `end_of_text` is the id of [`END_OF_TEXT`] if it
    /// is a token that texts are searched for.
    pub(super) fn new(tokens: &[Vec<u8>], merges: &[(u32, u32)], end_of_text: Option<u32>) -> Result<Self, String> {
        let ids = ids_by_token(tokens)?;
        let mut byte_ids = Box::new([0; 256]);
        for (byte, slot) in (0..=u8::MAX).zip(byte_ids.iter_mut()) {
            *slot = *ids.get(&[byte][..]).ok_or_else(|| {
                let c = spell(&[byte]);
                format!(
                    "the vocabulary has no token for the byte 0x{byte:02x} ({c:?}): texts with it could not be encoded"
                )
            })?;
        }
        let merges = Merges::new(tokens, &ids, merges)?;
        Ok(Self { tokens: Tokens::new(tokens), byte_ids, merges, end_of_text, unused: 0 })
    }

    /// Text to ids.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut encoder = Encoder { tokenizer: self, merging: Merging::default(), seen: HashMap::new() };
        let Some(end_of_text) = self.end_of_text else {
            encoder.encode(text, &mut ids);
            return ids;
        };
        for (i, document) in text.split(END_OF_TEXT).enumerate() {
            if i > 0 {
                ids.push(end_of_text);
            }
            encoder.encode(document, &mut ids);
        }
        ids
    }

    /// The bytes of a token; none of an unused one; `None` outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id).or_else(|| ((id as usize) < self.vocab_size()).then_some(&[]))
    }

    /// Number of ids, unused ones among them.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len() + self.unused
    }

    /// Number of ids that stand for something.
    pub fn used_ids(&self) -> usize {
        self.tokens.len()
    }

    /// For a model with more rows than this has tokens: the ids above stand for no text. Models are padded so, mostly to a multiple of 64, to be
    /// faster (`resize_token_embeddings(pad_to_multiple_of=64)` in `transformers`).
    #[must_use]
    pub fn padded(self, vocab_size: usize) -> Self {
        Self { unused: vocab_size.saturating_sub(self.tokens.len()), ..self }
    }

    /// The id of [`END_OF_TEXT`], where texts are searched for it.
    pub fn end_of_text(&self) -> Option<u32> {
        self.end_of_text
    }

    /// The merge rules by rank.
    pub fn merges(&self) -> impl Iterator<Item = Merge> {
        (0..).zip(&self.merges.pairs).map(|(rank, &(left, right))| Merge {
            rank,
            left,
            right,
            result: self.merges.by_pair[&(left, right)].result,
        })
    }

    /// One of the [`words`] of a text, merge by merge: first its bytes, last its tokens. All n steps of a word of n bytes hold O(n²) ids:
    /// take as many as can be shown.
    pub fn merge_steps(&self, word: &str) -> impl Iterator<Item = MergeStep> {
        let mut merging = Merging::default();
        merging.start(self.byte_ids(word), &self.merges);
        let start = MergeStep { merge: None, ids: merging.ids().collect() };
        let merges = std::iter::from_fn(move || {
            let rank = merging.step(&self.merges)?;
            Some(MergeStep { merge: self.merges.of_rank(rank), ids: merging.ids().collect() })
        });
        std::iter::once(start).chain(merges)
    }

    /// The ranks of the merges of one of the [`words`] of a text, in the order they are applied: as [`Self::merge_steps`], without the tokens.
    ///
    /// They need not increase: a token that can be made in two ways may bring up an earlier rule. With the first `k` rules alone the word is
    /// merged in the same order as far as all ranks are below `k`, and no further.
    pub fn merge_ranks(&self, word: &str) -> impl Iterator<Item = u32> {
        let mut merging = Merging::default();
        merging.start(self.byte_ids(word), &self.merges);
        std::iter::from_fn(move || merging.step(&self.merges))
    }

    /// The tokenizer of the first `merges` rules: without the tokens that only later rules make, the others keeping their order. Of a learnt
    /// one it is what a shorter training would have given (but for a pair that was merged twice: it counts where it was merged last).
    #[must_use]
    pub fn truncated(&self, merges: usize) -> Self {
        let made = |ranks: &[(u32, u32)]| -> HashSet<u32> {
            ranks.iter().map(|pair| self.merges.by_pair[pair].result).collect()
        };
        let (kept, dropped) = self.merges.pairs.split_at(merges.min(self.merges.pairs.len()));
        let gone = &made(dropped) - &made(kept);
        let ids: Vec<u32> = (0..self.used_ids() as u32).filter(|id| !gone.contains(id)).collect();
        let renumbered: HashMap<u32, u32> = ids.iter().copied().zip(0..).collect();
        let tokens: Vec<Vec<u8>> = ids.iter().filter_map(|&id| self.tokens.get(id)).map(<[u8]>::to_vec).collect();
        let pairs: Vec<(u32, u32)> = kept.iter().map(|(left, right)| (renumbered[left], renumbered[right])).collect();
        let end_of_text = self.end_of_text.map(|id| renumbered[&id]);
        Self::new(&tokens, &pairs, end_of_text).expect("a part of a vocabulary and its rules is one")
    }

    fn byte_ids(&self, word: &str) -> impl Iterator<Item = u32> {
        word.bytes().map(|byte| self.byte_ids[usize::from(byte)])
    }
}

/// The encoding of one text. Its words repeat: what was encoded once is copied from there.
struct Encoder<'a> {
    tokenizer: &'a BpeTokenizer,
    merging: Merging,
    /// Where in the output a word's tokens are.
    seen: HashMap<&'a str, std::ops::Range<usize>>,
}

impl<'a> Encoder<'a> {
    fn encode(&mut self, text: &'a str, ids: &mut Vec<u32>) {
        for word in words(text) {
            match self.seen.entry(word) {
                Entry::Occupied(entry) => ids.extend_from_within(entry.get().clone()),
                Entry::Vacant(entry) => {
                    let (start, merges) = (ids.len(), &self.tokenizer.merges);
                    self.merging.start(self.tokenizer.byte_ids(word), merges);
                    while self.merging.step(merges).is_some() {}
                    ids.extend(self.merging.ids());
                    entry.insert(start..ids.len());
                }
            }
        }
    }
}

/// The id of every token; the error names one that is empty or there twice.
pub(super) fn ids_by_token(tokens: &[Vec<u8>]) -> Result<HashMap<&[u8], u32>, String> {
    let mut ids: HashMap<&[u8], u32> = HashMap::with_capacity(tokens.len());
    for (id, token) in (0..).zip(tokens) {
        if token.is_empty() {
            return Err(format!("the token with the id {id} is empty"));
        }
        if let Some(first) = ids.insert(token, id) {
            return Err(format!("the token {} has two ids, {first} and {id}", quote(&spell(token))));
        }
    }
    Ok(ids)
}

/// Byte strings by id, end to end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tokens {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Tokens {
    fn new(tokens: &[Vec<u8>]) -> Self {
        let ends = tokens.iter().scan(0, |end, token| {
            *end += token.len();
            Some(*end)
        });
        Self { ends: ends.collect(), bytes: tokens.concat() }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, id: u32) -> Option<&[u8]> {
        let id = usize::try_from(id).ok()?;
        let end = *self.ends.get(id)?;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        Some(&self.bytes[start..end])
    }
}

/// Merge rules by rank and by pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merges {
    pairs: Vec<(u32, u32)>,
    by_pair: HashMap<(u32, u32), Target>,
}

/// What a pair becomes, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    rank: u32,
    result: u32,
}

impl Merges {
    fn new(tokens: &[Vec<u8>], ids: &HashMap<&[u8], u32>, pairs: &[(u32, u32)]) -> Result<Self, String> {
        let mut by_pair = HashMap::with_capacity(pairs.len());
        for (rank, &(left, right)) in (0..).zip(pairs) {
            let (a, b) = (&tokens[left as usize], &tokens[right as usize]);
            let name = || format!("merge {rank} ({} and {})", quote(&spell(a)), quote(&spell(b)));
            let Some(&result) = ids.get(&[&a[..], &b[..]].concat()[..]) else {
                return Err(format!("{} makes a token that is not in the vocabulary", name()));
            };
            if by_pair.insert((left, right), Target { rank, result }).is_some() {
                return Err(format!("{} is there twice", name()));
            }
        }
        Ok(Self { pairs: pairs.to_vec(), by_pair })
    }

    /// The rule for a pair.
    pub fn find(&self, left: u32, right: u32) -> Option<Merge> {
        self.by_pair.get(&(left, right)).map(|&Target { rank, result }| Merge { rank, left, right, result })
    }

    fn of_rank(&self, rank: u32) -> Option<Merge> {
        let &(left, right) = self.pairs.get(usize::try_from(rank).ok()?)?;
        self.find(left, right)
    }
}
