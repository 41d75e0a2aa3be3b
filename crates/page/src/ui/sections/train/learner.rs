//! The second worker, which trains: started when it is first needed, and again after it broke down.

use futures_util::future::AbortHandle;
use leptos::prelude::*;

use crate::protocol::model::{EngineChoice, EngineChosen, UseEngine};
use crate::ui::client::{Client, Heard};
use crate::ui::reactive::effect;
use crate::ui::store::Store;
use crate::ui::task;

/// A handle of it.
#[derive(Clone, Copy)]
pub struct Learner {
    store: Store,
    client: RwSignal<Option<Client>>,
    /// What trains.
    pub engine: RwSignal<Option<EngineChosen>>,
    /// Why it broke down.
    pub broken: RwSignal<Option<String>>,
    watching: StoredValue<Option<AbortHandle>>,
}

impl Learner {
    /// None is started yet.
    pub fn new(store: Store) -> Self {
        let learner = Self {
            store,
            client: RwSignal::new(None),
            engine: RwSignal::new(None),
            broken: RwSignal::new(None),
            watching: StoredValue::new(None),
        };
        effect(move || {
            store.view.engine.track();
            if let Some(client) = learner.client.get_untracked() {
                learner.choose_engine(client);
            }
        });
        learner
    }

    /// The worker, started if need be.
    pub fn client(self) -> Client {
        if let Some(client) = self.client.get_untracked() {
            return client;
        }
        // It lives as long as the page, whoever asks first.
        let owner = Owner::new();
        let client = owner.with(|| Client::another(move |why| self.fail(why)));
        std::mem::forget(owner);
        self.broken.set(None);
        self.client.set(Some(client));
        self.choose_engine(client);
        client
    }

    /// Asks for the engine that the visitor chose, and hears which it is.
    fn choose_engine(self, client: Client) {
        let choice = EngineChoice::of(self.store.view.engine.get_untracked().as_deref());
        let watching = task::start_stoppable(async move {
            let mut conversation = client.ask(UseEngine(choice));
            while let Some(heard) = conversation.next().await {
                match heard {
                    Heard::Part(chosen) => self.engine.set(Some(chosen)),
                    Heard::Answer(never) => match never {},
                    Heard::Failed(failure) => self.broken.set(Some(failure.message)),
                }
            }
        });
        if let Some(older) = self.watching.try_update_value(|slot| slot.replace(watching)).flatten() {
            older.abort();
        }
    }

    fn fail(self, why: String) {
        if let Some(client) = self.client.get_untracked() {
            client.end();
        }
        self.client.set(None);
        self.engine.set(None);
        self.broken.set(Some(why));
    }
}
