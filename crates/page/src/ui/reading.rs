//! What the model makes of the text: its passes, and the picked head of one.

use std::sync::Arc;

use leptos::prelude::*;

use super::client::Client;
use super::reactive::memo;
use super::remote::{Remote, remote};
use crate::protocol::attention::{Experiment, Head, HeadView, Inspect, Inspected};
use crate::protocol::model::ModelCard;
use crate::protocol::tokenize::Tokenized;
use crate::view::View;

/// Handles of it.
#[derive(Clone, Copy)]
pub struct Reading {
    /// What is done to the model.
    pub experiment: Memo<Experiment>,
    /// A head that is looked at in passing: layer and head.
    pub preview: RwSignal<Option<(usize, usize)>>,
    /// The head that is looked at.
    pub view: Remote<HeadView>,
    /// The model as it is.
    pub plain: Remote<Inspected>,
    /// With the experiment.
    pub changed: Remote<Inspected>,
}

impl Reading {
    /// Asks from now on, for what is looked at first: the pass that it takes then serves the other questions.
    pub fn new(
        client: Client,
        settings: View,
        model: RwSignal<Option<Arc<ModelCard>>>,
        text: Remote<Tokenized>,
    ) -> Self {
        let experiment = memo(move || Experiment {
            unscaled: settings.unscaled.get(),
            unmasked: settings.unmasked.get(),
            ablated: parse_heads(&settings.ablated.get()),
        });
        let tokens = memo(move || {
            let model = model.get()?;
            let ids: Vec<u32> = text.get()?.tokens.iter().map(|token| token.id).collect();
            // Tokens of the model before are on the way out.
            let known = ids.iter().all(|&id| (id as usize) < model.config.vocab_size);
            // Other weights read the same text anew.
            (known && !ids.is_empty()).then_some((model.number, ids))
        });
        let is_changed = move || experiment.get() != Experiment::default();
        let preview = RwSignal::new(None);
        // What the head is asked about. The other questions follow it, and so come after it.
        let read = RwSignal::new(None);
        let view = remote(client, move || {
            let tokens = tokens.get();
            if read.with_untracked(|read| *read != tokens) {
                read.set(tokens.clone());
            }
            let (layer, head) = preview.get().or_else(|| picked(settings, model))?;
            Some(Head { inspect: Inspect { tokens: tokens?.1, experiment: experiment.get() }, layer, head })
        });
        let inspect = move |experiment| read.get().map(|(_, tokens)| Inspect { tokens, experiment });
        let changed = remote(client, move || is_changed().then(|| inspect(experiment.get())).flatten());
        let plain = remote(client, move || inspect(Experiment::default()));
        Self { experiment, preview, view, plain, changed }
    }
}

/// The head that the settings name, as far as the model has it.
pub fn picked(settings: View, model: RwSignal<Option<Arc<ModelCard>>>) -> Option<(usize, usize)> {
    let model = model.get()?;
    let within = |value: usize, count: usize| value.min(count.saturating_sub(1));
    Some((within(settings.layer.get(), model.config.n_layer), within(settings.head.get(), model.config.n_head)))
}

/// `2.1,3.0` as layers and heads, each once, in order.
fn parse_heads(text: &str) -> Vec<(usize, usize)> {
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
