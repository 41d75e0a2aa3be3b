//! What all figures share: the settings, the loaded model, the text as tokens.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::reactive::signal;

use super::announce::Announcer;
use super::client::Client;
use super::learner::Learner;
use super::model::Opening;
use super::reading::Reading;
use super::remote::{Remote, remote};
use crate::protocol::Failure;
use crate::protocol::model::{EngineChosen, LoadProgress, ModelCard};
use crate::protocol::tokenize::{Tokenize, Tokenized, Vocabulary};
use crate::view::{View, ViewState};

/// Handles of everything shared.
#[derive(Clone, Copy)]
pub struct Store {
    /// The worker.
    pub client: Client,
    /// The other worker, which trains.
    pub learner: Learner,
    /// The settings, which are also in the address.
    pub view: View,
    /// The loaded model.
    pub model: RwSignal<Option<Arc<ModelCard>>>,
    /// Of the model that is being loaded.
    pub loading: RwSignal<Option<LoadProgress>>,
    /// Why a model could not be loaded.
    pub load_failure: RwSignal<Option<Failure>>,
    /// What became of a file that is no model.
    pub note: RwSignal<Option<String>>,
    /// What computes.
    pub engine: RwSignal<Option<EngineChosen>>,
    /// [`View::text`] in the loaded model's tokens.
    pub tokens: Remote<Tokenized>,
    /// What the model makes of them.
    pub reading: Reading,
    /// Light or dark, for who paints pixels.
    pub dark: RwSignal<bool>,
    /// What readers hear.
    pub announcer: Announcer,
    /// A text that was dropped: figures read its beginning, training can read it all.
    pub dropped_text: signal::RwSignal<Option<web_sys::File>, LocalStorage>,
    /// What is to be loaded beside what the address says.
    pub opening: Opening,
}

impl Store {
    /// A page without a model yet.
    pub fn new(client: Client, state: ViewState, dark: RwSignal<bool>) -> Self {
        let view = View::new(state);
        let model = RwSignal::new(None);
        let tokens = remote(client, move || {
            model.get().map(|_: Arc<ModelCard>| Tokenize { text: view.text.get(), by: Vocabulary::Model })
        });
        Self {
            client,
            learner: Learner::new(view),
            view,
            model,
            loading: RwSignal::new(None),
            load_failure: RwSignal::new(None),
            note: RwSignal::new(None),
            engine: RwSignal::new(None),
            tokens,
            reading: Reading::new(client, view, model, tokens),
            dark,
            announcer: Announcer::default(),
            dropped_text: signal::RwSignal::new_local(None),
            opening: Opening::default(),
        }
    }

    /// Tells readers what happened, in a sentence; at most one in ten seconds is heard, the last one.
    pub fn announce(self, message: impl Into<String>) {
        self.announcer.say(message.into());
    }

    /// The picked token of the text: the last one where none is picked or the text has become shorter. `None` without tokens.
    pub fn query(self) -> Option<usize> {
        let last = self.tokens.get()?.tokens.len().checked_sub(1)?;
        Some(self.view.query.get().map_or(last, |query| query.min(last)))
    }
}
