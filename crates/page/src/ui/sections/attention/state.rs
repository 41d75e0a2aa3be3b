//! What the parts of the figure share: the passes, the picked head, query and key.

use std::sync::Arc;

use leptos::prelude::*;

use super::row::Row;
use super::scale::Scale;
use crate::protocol::attention::{Experiment, Head, HeadView, Inspect, Inspected};
use crate::ui::number::visible;
use crate::ui::reactive::{memo, memo_from_last};
use crate::ui::remote::{Remote, remote};
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
    /// Asks for the passes and the picked head from now on.
    pub fn new(store: Store) -> Self {
        let settings = store.view;
        let experiment = memo(move || Experiment {
            unscaled: settings.unscaled.get(),
            unmasked: settings.unmasked.get(),
            ablated: parse_heads(&settings.ablated.get()),
        });
        let tokens = memo(move || {
            let model = store.model.get()?;
            let ids: Vec<u32> = store.tokens.get()?.tokens.iter().map(|token| token.id).collect();
            // Tokens of the model before are on the way out.
            let known = ids.iter().all(|&id| (id as usize) < model.config.vocab_size);
            (known && !ids.is_empty()).then_some(ids)
        });
        let inspect = move |experiment| tokens.get().map(|tokens| Inspect { tokens, experiment });
        let is_changed = move || experiment.get() != Experiment::default();
        let preview = RwSignal::new(None);
        // Asked for first, since it is what is looked at: the same pass then serves the second question.
        let view = remote(store.client, move || {
            let (layer, head) = preview.get().or_else(|| picked(store))?;
            Some(Head { inspect: inspect(experiment.get())?, layer, head })
        });
        let changed = remote(store.client, move || is_changed().then(|| inspect(experiment.get())).flatten());
        let plain = remote(store.client, move || inspect(Experiment::default()));
        let passes = memo_from_last(move |earlier: Option<&Option<Passes>>| {
            let plain = plain.get()?;
            if !is_changed() {
                return Some((plain, None));
            }
            let now = changed.get().filter(|pass| pass.tokens == plain.tokens && pass.experiment == experiment.get());
            match now {
                Some(changed) => Some((plain, Some(changed))),
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
        picked(self.store)
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

/// The head that the settings name, as far as the model has it.
fn picked(store: Store) -> Option<(usize, usize)> {
    let model = store.model.get()?;
    let within = |value: usize, count: usize| value.min(count.saturating_sub(1));
    Some((within(store.view.layer.get(), model.config.n_layer), within(store.view.head.get(), model.config.n_head)))
}

/// The picked query among the tokens that a head read.
fn query_of(store: Store, view: &HeadView) -> usize {
    let last = view.tokens.len().saturating_sub(1);
    store.view.query.get().map_or(last, |query| query.saturating_sub(view.skipped).min(last))
}

/// `2.1,3.0` as layers and heads, each once, in order.
pub fn parse_heads(text: &str) -> Vec<(usize, usize)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('.'));
    let mut heads = Vec::new();
    for at in pairs.filter_map(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?))) {
        if let Err(place) = heads.binary_search(&at) {
            heads.insert(place, at);
        }
    }
    heads
}

/// The other way.
pub fn format_heads(heads: &[(usize, usize)]) -> String {
    let heads: Vec<String> = heads.iter().map(|(layer, head)| format!("{layer}.{head}")).collect();
    heads.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_survive_the_address() {
        assert_eq!(parse_heads("2.1,0.3,x,2.1,1"), [(0, 3), (2, 1)]);
        assert_eq!(format_heads(&parse_heads("2.1,0.3")), "0.3,2.1");
        assert_eq!(parse_heads(""), []);
    }
}
