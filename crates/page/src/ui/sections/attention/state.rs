//! What the parts of the figure share: the passes, the picked head, query and key.

use std::sync::Arc;

use leptos::prelude::*;

use super::row::Row;
use super::scale::Scale;
use crate::protocol::attention::{Experiment, HeadView, Inspected};
use crate::ui::number::visible;
use crate::ui::reactive::{memo, memo_from_last};
use crate::ui::reading::{Reading, picked};
use crate::ui::remote::Remote;
use crate::ui::store::Store;

/// Two passes over one text: the model's own, and with the experiment, if there is one.
type Passes = (Arc<Inspected>, Option<Arc<Inspected>>);

/// Handles of it.
#[derive(Clone, Copy)]
pub struct State {
    /// What all figures share.
    pub store: Store,
    /// What is done to the model.
    pub experiment: Memo<Experiment>,
    /// The model as it is.
    pub plain: Remote<Inspected>,
    /// With the experiment.
    pub changed: Remote<Inspected>,
    /// Of the same text and the present experiment, or as they last were.
    pub passes: Memo<Option<Passes>>,
    /// The head that is shown.
    pub view: Remote<HeadView>,
    /// A head that is looked at in passing: layer and head.
    pub preview: RwSignal<Option<(usize, usize)>>,
    /// The picked key, among those read; without one the heaviest is meant.
    pub key: RwSignal<Option<usize>>,
    /// A key that is pointed at.
    pub pointed: RwSignal<Option<usize>>,
    /// How weights are drawn.
    pub scale: RwSignal<Scale>,
    /// The picked query's row.
    pub row: Memo<Option<Arc<Row>>>,
}

impl State {
    /// What the figure shows of the reading that all share.
    pub fn new(store: Store) -> Self {
        let Reading { experiment, preview, view, plain, changed } = store.reading;
        let is_changed = move || experiment.get() != Experiment::default();
        let passes = memo_from_last(move |earlier: Option<&Option<Passes>>| {
            let plain = plain.get()?;
            if !is_changed() {
                return Some((plain, None));
            }
            let now = changed.get().filter(|pass| pass.tokens == plain.tokens && pass.experiment == experiment.get());
            match now {
                Some(changed) => Some((plain, Some(changed))),
                None if changed.failure.get().is_some() => Some((plain, None)),
                None => earlier.cloned().flatten().or(Some((plain, None))),
            }
        });
        let row = memo(move || {
            let view = view.get()?;
            Row::new(&view, query_of(store, &view)).map(Arc::new)
        });
        Self {
            store,
            experiment,
            plain,
            changed,
            passes,
            view,
            preview,
            key: RwSignal::new(None),
            pointed: RwSignal::new(None),
            scale: RwSignal::new(Scale::default()),
            row,
        }
    }

    /// The locked head.
    pub fn picked(self) -> Option<(usize, usize)> {
        picked(self.store.view, self.store.model)
    }

    /// Locks a head.
    pub fn pick(self, layer: usize, head: usize) {
        self.store.view.layer.set(layer);
        self.store.view.head.set(head);
        self.preview.set(None);
    }

    /// Picks a query among the tokens read.
    pub fn set_query(self, query: usize) {
        let Some(view) = self.view.value.get_untracked() else { return };
        let query = query.min(view.tokens.len() - 1) + view.skipped;
        if self.store.view.query.get_untracked() != Some(query) {
            self.store.view.query.set(Some(query));
        }
    }

    /// The key whose numbers are shown: pointed at, picked, or the heaviest.
    pub fn shown_key(self) -> Option<usize> {
        let row = self.row.get()?;
        let key = self.pointed.get().or_else(|| self.key.get()).filter(|&key| key < row.weights.len());
        key.or_else(|| row.top(1).first().copied())
    }

    /// A token as it is drawn.
    pub fn glyph(self, id: u32) -> String {
        let model = self.store.model.get();
        model.and_then(|model| model.vocabulary.get(id as usize).map(|text| visible(text))).unwrap_or_default()
    }

    /// A token read, as it is drawn.
    pub fn glyph_at(self, at: usize) -> String {
        self.view.get().and_then(|view| view.tokens.get(at).copied()).map_or_else(String::new, |id| self.glyph(id))
    }
}

/// The picked query among the tokens that a head read.
fn query_of(store: Store, view: &HeadView) -> usize {
    let last = view.tokens.len().saturating_sub(1);
    store.view.query.get().map_or(last, |query| query.saturating_sub(view.skipped).min(last))
}
