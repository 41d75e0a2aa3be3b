//! The second worker, which trains: started when it is first needed, and again after it broke down. How fast it is says how long runs take.

use futures_channel::oneshot;
use futures_util::future::AbortHandle;
use leptos::prelude::*;

use crate::protocol::Failure;
use crate::protocol::model::{EngineChoice, EngineChosen, UseEngine};
use crate::protocol::stack::{Probe, Probed};
use crate::ui::client::{Client, Heard};
use crate::ui::reactive::effect;
use crate::ui::task;
use crate::view::View;

/// A handle of it.
#[derive(Clone, Copy)]
pub struct Learner {
    view: View,
    client: RwSignal<Option<Client>>,
    /// What trains.
    pub engine: RwSignal<Option<EngineChosen>>,
    /// Why it broke down.
    pub broken: RwSignal<Option<String>>,
    /// How fast, and which engine.
    measured: RwSignal<Option<(String, Probed)>>,
    /// While that is being measured.
    pub measuring: RwSignal<bool>,
    /// Why it could not be.
    pub unmeasured: RwSignal<Option<Failure>>,
    watching: StoredValue<Option<AbortHandle>>,
    /// Who waits for its engine.
    waiting: StoredValue<Vec<oneshot::Sender<()>>>,
}

impl Learner {
    /// None is started yet.
    pub fn new(view: View) -> Self {
        let learner = Self {
            view,
            client: RwSignal::new(None),
            engine: RwSignal::new(None),
            broken: RwSignal::new(None),
            measured: RwSignal::new(None),
            measuring: RwSignal::new(false),
            unmeasured: RwSignal::new(None),
            watching: StoredValue::new(None),
            waiting: StoredValue::new(Vec::new()),
        };
        effect(move || {
            view.engine.track();
            view.threads.track();
            if let Some(client) = learner.client.get_untracked() {
                learner.choose_engine(client);
            }
        });
        learner
    }

    /// The worker, started if need be, once it has its engine: what is opened before would be on another one.
    pub async fn ready(self) -> Client {
        if let Some(client) = self.client.get_untracked().or_else(|| self.start()) {
            if self.engine.with_untracked(Option::is_none) {
                let (sender, receiver) = oneshot::channel();
                self.waiting.update_value(|waiting| waiting.push(sender));
                if receiver.await.is_ok() {
                    return client;
                }
            } else {
                return client;
            }
        }
        // It broke down, and the figure says so.
        std::future::pending().await
    }

    fn engine_name(self) -> String {
        self.engine.with(|engine| engine.as_ref().map(|engine| engine.name.clone())).unwrap_or_default()
    }

    /// How fast this device trains, where that was measured: another engine has another speed.
    pub fn speed(self) -> Option<Probed> {
        let (name, probed) = self.measured.get()?;
        (name == self.engine_name()).then_some(probed)
    }

    /// Measures it.
    pub fn measure(self) {
        if self.measuring.get_untracked() {
            return;
        }
        self.measuring.set(true);
        task::start(async move {
            let client = self.ready().await;
            let name = untrack(|| self.engine_name());
            let answer = client.ask(Probe).answer().await;
            self.measuring.set(false);
            match answer {
                Ok(probed) => {
                    self.measured.set(Some((name, probed)));
                    self.unmeasured.set(None);
                }
                Err(failure) => self.unmeasured.set(Some(failure)),
            }
        });
    }

    fn start(self) -> Option<Client> {
        // It lives as long as the page, whoever asks first.
        let owner = Owner::new();
        let client = owner.with(|| Client::learner(move |why| self.fail(why)));
        std::mem::forget(owner);
        let Some(client) = client else {
            self.fail("this browser starts no second worker".into());
            return None;
        };
        self.broken.set(None);
        self.client.set(Some(client));
        self.choose_engine(client);
        Some(client)
    }

    /// Asks for the engine that the visitor chose, and hears which it is.
    fn choose_engine(self, client: Client) {
        let choice = EngineChoice::of(self.view.engine.get_untracked().as_deref());
        let threads = self.view.threads.get_untracked();
        let watching = task::start_stoppable(async move {
            let mut conversation = client.ask(UseEngine { choice, threads });
            while let Some(heard) = conversation.next().await {
                match heard {
                    Heard::Part(chosen) => {
                        self.engine.set(Some(chosen));
                        for waiting in self.waiting.try_update_value(std::mem::take).unwrap_or_default() {
                            // Who has stopped waiting needs no answer.
                            let _ = waiting.send(());
                        }
                    }
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
        self.measuring.set(false);
        self.waiting.set_value(Vec::new());
        self.broken.set(Some(why));
    }
}
