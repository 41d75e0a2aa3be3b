//! What the parts of the figure share: the text's tokens by the chosen vocabulary, and which of them is pointed at and picked.

use std::sync::Arc;

use leptos::prelude::*;

use crate::protocol::Failure;
use crate::protocol::tokenize::{Grow, Grown, Learn, Learnt, MOST_MERGES, Token, Tokenize, Tokenized, Vocabulary};
use crate::ui::reactive::memo;
use crate::ui::remote::{Remote, remote};
use crate::ui::store::Store;

/// Handles of all that.
#[derive(Clone, Copy)]
pub struct Splitting {
    /// What all figures share.
    pub store: Store,
    /// The chosen vocabulary.
    pub by: Memo<Vocabulary>,
    /// The text's tokens by it.
    pub tokens: Signal<Option<Arc<Tokenized>>>,
    /// Why there are none.
    pub failure: Signal<Option<Failure>>,
    /// What the corpus teaches, once somebody wants to know.
    pub learnt: Remote<Learnt>,
    /// How the text shrinks with every merge.
    pub grown: Remote<Grown>,
    /// Whether what is learnt from the corpus is on screen.
    pub near: RwSignal<bool>,
    /// Counts the times that the corpus was asked for.
    pub attempt: RwSignal<u32>,
    /// The chip under the pointer or with the focus.
    pub hovered: RwSignal<Option<usize>>,
    /// Where the caret is in the text, in UTF-16 units.
    pub caret: RwSignal<Option<usize>>,
    /// The chip to be marked: that under the pointer, else that before the caret.
    pub pointed: Memo<Option<usize>>,
    /// The chip that has the first character of the picked token.
    pub picked: Memo<Option<usize>>,
}

impl Splitting {
    /// Follows the shared text and settings.
    pub fn new(store: Store) -> Self {
        let Store { client, view, .. } = store;
        let by = memo(move || match view.vocabulary.get().as_str() {
            "char" => Vocabulary::Char,
            "byte" => Vocabulary::Byte,
            "bpe" => Vocabulary::Bpe { merges: view.merges.get().min(MOST_MERGES) },
            _ => Vocabulary::Model,
        });
        let of_corpus = move || matches!(by.get(), Vocabulary::Char | Vocabulary::Bpe { .. });
        let (near, attempt) = (RwSignal::new(false), RwSignal::new(0));
        let wanted = memo(move || near.get() || of_corpus());
        let learnt = remote(client, move || {
            attempt.get();
            wanted.get().then_some(Learn)
        });
        let is_learnt = memo(move || learnt.value.with(Option::is_some));
        let grown = remote(client, move || is_learnt.get().then(|| Grow { text: view.text.get() }));
        let other = remote(client, move || {
            let by = by.get();
            let possible = by != Vocabulary::Model && (!of_corpus() || is_learnt.get());
            possible.then(|| Tokenize { text: view.text.get(), by })
        });
        let tokens = Signal::derive(move || match by.get() {
            Vocabulary::Model => store.tokens.get(),
            _ if of_corpus() && !is_learnt.get() => None,
            _ => other.get(),
        });
        let failure = Signal::derive(move || match by.get() {
            Vocabulary::Model => store.tokens.failure.get(),
            _ if of_corpus() && !is_learnt.get() => learnt.failure.get(),
            _ => other.failure.get(),
        });
        let (hovered, caret) = (RwSignal::new(None), RwSignal::new(None));
        let pointed = memo(move || {
            let tokens = tokens.get()?;
            let of_caret = || caret.get().and_then(|caret| before(&tokens.tokens, caret));
            hovered.get().filter(|&index| index < tokens.tokens.len()).or_else(of_caret)
        });
        let picked = memo(move || {
            let query = store.query()?;
            if by.get() == Vocabulary::Model {
                return Some(query);
            }
            let start = store.tokens.get()?.tokens.get(query)?.start;
            tokens.get().and_then(|tokens| covering(&tokens.tokens, start))
        });
        Self { store, by, tokens, failure, learnt, grown, near, attempt, hovered, caret, pointed, picked }
    }

    /// Number of tokens.
    pub fn count(self) -> usize {
        self.tokens.with(|tokens| tokens.as_ref().map_or(0, |tokens| tokens.tokens.len()))
    }

    /// Picks the model's token that has the first character of a chip.
    pub fn pick(self, chip: usize) {
        let start = self.tokens.with_untracked(|tokens| Some(tokens.as_ref()?.tokens.get(chip)?.start));
        let Some(start) = start else { return };
        let query = match self.by.get_untracked() {
            Vocabulary::Model => Some(chip),
            _ => self.store.tokens.value.with_untracked(|own| covering(&own.as_ref()?.tokens, start)),
        };
        if query.is_some() {
            self.store.view.query.set(query);
        }
    }

    /// Picks nothing (which is the last token) and points at nothing.
    pub fn clear(self) {
        self.store.view.query.set(None);
        self.hovered.set(None);
    }
}

/// The token before a caret; the first where there is none before it.
fn before(tokens: &[Token], caret: usize) -> Option<usize> {
    let after = tokens.partition_point(|token| token.start < caret);
    (!tokens.is_empty()).then(|| after.saturating_sub(1))
}

/// The first token that has the character at a place.
fn covering(tokens: &[Token], place: usize) -> Option<usize> {
    let index = tokens.partition_point(|token| token.end <= place);
    tokens.get(index).filter(|token| token.start <= place).map(|_| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ranges: &[(usize, usize)]) -> Vec<Token> {
        ranges.iter().map(|&(start, end)| Token { id: 0, text: String::new(), start, end }).collect()
    }

    #[test]
    fn carets_and_places_find_their_tokens() {
        let tokens = tokens(&[(0, 3), (1, 3), (3, 4)]);
        for (caret, token) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (9, 2)] {
            assert_eq!(before(&tokens, caret), Some(token), "{caret}");
        }
        assert_eq!((covering(&tokens, 0), covering(&tokens, 2), covering(&tokens, 3)), (Some(0), Some(0), Some(2)));
        assert_eq!((covering(&tokens, 4), before(&[], 0)), (None, None));
    }
}
