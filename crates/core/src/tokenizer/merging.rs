//! Byte pair encoding of one word: of all neighbours that a merge rule joins, the earliest rule first, from left to right.
//!
//! The symbols are a linked list, the pairs that can be merged a heap of (rank, position); what a merge made stale is left in the heap and
//! skipped when it surfaces. n bytes cost O(n log n), so that a text without a single space is no attack.
//! Source: Sennrich et al. 2016; the crate `tokenizers`, `models/bpe/word.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bpe::Merges;

/// End of the list.
const NONE: usize = usize::MAX;
/// The id of a symbol that its left neighbour took in; in no merge rule.
const REMOVED: u32 = u32::MAX;

/// A word in the making; its memory serves the next one.
#[derive(Debug, Default)]
pub(super) struct Merging {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<(u32, usize)>>,
}

#[derive(Clone, Copy, Debug)]
struct Symbol {
    id: u32,
    previous: usize,
    next: usize,
}

impl Merging {
    /// Begins a word of these symbols.
    pub fn start(&mut self, ids: impl Iterator<Item = u32>, merges: &Merges) {
        self.symbols.clear();
        self.queue.clear();
        for (at, id) in ids.enumerate() {
            self.symbols.push(Symbol { id, previous: at.wrapping_sub(1), next: at + 1 });
        }
        if let Some(last) = self.symbols.last_mut() {
            last.next = NONE;
        }
        for at in 0..self.symbols.len() {
            self.propose(at, merges);
        }
    }

    /// Applies the next merge and returns its rank; `None` when none applies.
    pub fn step(&mut self, merges: &Merges) -> Option<u32> {
        while let Some(Reverse((rank, at))) = self.queue.pop() {
            let Some(merge) = self.merge_at(at, merges).filter(|merge| merge.rank == rank) else { continue };
            let taken = self.symbols[at].next;
            let next = self.symbols[taken].next;
            self.symbols[taken].id = REMOVED;
            self.symbols[at].id = merge.result;
            self.symbols[at].next = next;
            if next != NONE {
                self.symbols[next].previous = at;
            }
            self.propose(self.symbols[at].previous, merges);
            self.propose(at, merges);
            return Some(rank);
        }
        None
    }

    /// The symbols as they are now.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.symbols.iter().map(|symbol| symbol.id).filter(|&id| id != REMOVED)
    }

    /// Queues the pair that begins at a symbol, if it can be merged.
    fn propose(&mut self, at: usize, merges: &Merges) {
        if let Some(merge) = self.merge_at(at, merges) {
            self.queue.push(Reverse((merge.rank, at)));
        }
    }

    fn merge_at(&self, at: usize, merges: &Merges) -> Option<super::bpe::Merge> {
        let symbol = self.symbols.get(at)?;
        let right = self.symbols.get(symbol.next)?;
        merges.find(symbol.id, right.id)
    }
}
