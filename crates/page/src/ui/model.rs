//! Which model is loaded and which engine computes: what the visitor asked for last, and nothing older.

use std::sync::Arc;

use futures_util::future::AbortHandle;
use leptos::prelude::*;
use leptos::reactive::signal;

use super::client::Heard;
use super::number::count;
use super::reactive::{effect, effect_from_last};
use super::store::Store;
use super::task;
use crate::protocol::Failure;
use crate::protocol::model::{
    CurrentModel, EngineChoice, EngineKind, GivenFile, Load, LoadProgress, ModelCard, UseEngine,
};
use crate::protocol::train::Files;

/// The shipped model's folder.
pub const SHIPPED: &str = "models/shakespeare";

/// What is to be loaded beside what the address says.
#[derive(Clone, Copy)]
pub struct Opening {
    /// Files that the visitor gave, or a model that is being trained here; they come before the address.
    pub given: signal::RwSignal<Option<Load>, LocalStorage>,
    /// Counts tries.
    attempt: RwSignal<u32>,
    stop: StoredValue<Option<AbortHandle>>,
}

impl Default for Opening {
    fn default() -> Self {
        Self { given: signal::RwSignal::new_local(None), attempt: RwSignal::new(0), stop: StoredValue::new(None) }
    }
}

impl Store {
    /// Opens the visitor's files.
    pub fn open_files(self, files: Vec<GivenFile>) {
        self.view.model.set(None);
        self.opening.given.set(Some(Load::Files { files }));
    }

    /// Shows a model that is being trained here in all figures.
    pub fn look_through(self, name: String, files: Files) {
        self.opening.given.set(Some(Load::Snapshot { name, files }));
    }

    /// Shows the address's model again, in place of one that is being trained.
    pub fn look_away(self) {
        if self.looks_through() {
            self.opening.given.set(None);
        }
    }

    /// Whether the figures show, or are about to show, a model that is being trained here.
    pub fn looks_through(self) -> bool {
        self.opening.given.with(|given| matches!(given, Some(Load::Snapshot { .. })))
    }

    /// Opens a folder at an address; none is the shipped model's.
    pub fn open_address(self, address: Option<String>) {
        self.opening.given.set(None);
        self.view.model.set(address.filter(|address| address != SHIPPED));
        self.retry();
    }

    /// Tries once more.
    pub fn retry(self) {
        self.opening.attempt.update(|attempt| *attempt += 1);
    }

    /// Stops what is being loaded.
    pub fn stop_loading(self) {
        if let Some(stop) = self.opening.stop.try_update_value(Option::take).flatten() {
            stop.abort();
            self.loading.set(None);
            self.load_failure.set(Some(Failure::input("You stopped the download.")));
            task::start(agree(self));
        }
    }
}

/// Loads the model, and another one whenever another one is asked for; chooses the engine likewise.
pub fn follow(store: Store) {
    // The download comes first: it goes on while the adapter is asked for.
    effect(move || {
        store.opening.attempt.track();
        let what = match store.opening.given.get() {
            Some(given) => given,
            None => Load::Url { folder: store.view.model.get().unwrap_or_else(|| SHIPPED.into()) },
        };
        let stop = task::start_stoppable(load(store, what));
        if let Some(older) = store.opening.stop.try_update_value(|slot| slot.replace(stop)).flatten() {
            older.abort();
        }
    });
    effect_from_last(move |older: Option<AbortHandle>| {
        older.inspect(AbortHandle::abort);
        let choice = EngineChoice::of(store.view.engine.get().as_deref());
        task::start_stoppable(watch(store, choice))
    });
}

/// Hears which engine computes, until another one is chosen.
async fn watch(store: Store, choice: EngineChoice) {
    let mut conversation = store.client.ask(UseEngine { choice, threads: None });
    while let Some(heard) = conversation.next().await {
        match heard {
            Heard::Part(chosen) => {
                let engine = if chosen.kind == EngineKind::Cpu { "the CPU" } else { "WebGPU" };
                // What is expected needs no words.
                if chosen.instead || store.engine.with_untracked(Option::is_some) {
                    store.announce(format!("Now computing: {engine}. {}", chosen.reason));
                }
                store.engine.set(Some(chosen));
            }
            Heard::Answer(never) => match never {},
            Heard::Failed(failure) => store.load_failure.set(Some(failure)),
        }
    }
}

async fn load(store: Store, what: Load) {
    store.load_failure.set(None);
    // A snapshot is there at once: a bar would only make the page jump.
    if !matches!(what, Load::Snapshot { .. }) {
        store.loading.set(Some(LoadProgress { name: String::new(), received: 0, total: None, again: None }));
    }
    let mut conversation = store.client.ask(what);
    while let Some(heard) = conversation.next().await {
        match heard {
            Heard::Part(progress) => store.loading.set(Some(progress)),
            Heard::Answer(card) => {
                store.loading.set(None);
                show(store, card).await;
                settled();
            }
            Heard::Failed(failure) => {
                store.loading.set(None);
                store.announce(failure.message.clone());
                store.load_failure.set(Some(failure));
                agree(store).await;
                settled();
            }
        }
    }
}

/// Tells web/start.js that the visitor waits for nothing any more: what can be done later may be done now.
fn settled() {
    #[cfg(target_family = "wasm")]
    if let (Some(window), Ok(event)) = (web_sys::window(), web_sys::Event::new("inkling-settled")) {
        let _ = window.dispatch_event(&event);
    }
}

/// Shows what the worker has, if it is something else than the page believes: an answer may have been on its way when the page stopped listening.
async fn agree(store: Store) {
    let Ok(card) = store.client.ask(CurrentModel).answer().await else { return };
    let shown = store.model.with_untracked(|model| model.as_ref().map(|model| model.number));
    if shown != Some(card.number) {
        show(store, card).await;
    }
}

/// Puts a model into all figures. First they forget the older one, so that none of its numbers is drawn by the new one's shape; unless both
/// are of one shape, when what the older one gave stays on screen until the new one has answered.
async fn show(store: Store, card: ModelCard) {
    let other = |old: &Arc<ModelCard>| old.config != card.config || old.vocabulary != card.vocabulary;
    if store.model.with_untracked(|model| model.as_ref().is_some_and(other)) {
        store.model.set(None);
        for _ in 0..2 {
            any_spawner::Executor::tick().await;
        }
    }
    let (layers, heads) = (card.config.n_layer, card.config.n_head);
    let view = store.view;
    if view.layer.with_untracked(|&layer| layer >= layers) {
        view.layer.set(0);
    }
    if view.head.with_untracked(|&head| head >= heads) {
        view.head.set(0);
    }
    if view.ablated.with_untracked(|ablated| !all_within(ablated, layers, heads)) {
        view.ablated.set(String::new());
    }
    let parameters = card.config.num_parameters();
    store.announce(format!("{} is loaded: {} parameters.", card.name, count(parameters)));
    store.model.set(Some(Arc::new(card)));
}

/// Whether all of `layer.head,…` are the model's.
fn all_within(ablated: &str, layers: usize, heads: usize) -> bool {
    ablated.split(',').filter(|pair| !pair.is_empty()).all(|pair| {
        let pair = pair.split_once('.').and_then(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?)));
        pair.is_some_and(|(layer, head): (usize, usize)| layer < layers && head < heads)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_the_model_has_not_are_seen() {
        assert!(all_within("", 1, 1));
        assert!(all_within("0.1,3.0", 4, 4));
        for outside in ["4.0", "0.4", "x", "1", "0.0,9.9"] {
            assert!(!all_within(outside, 4, 4), "{outside}");
        }
    }
}
