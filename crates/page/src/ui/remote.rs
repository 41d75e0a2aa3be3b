//! A figure's data: the worker's answer to a question that changes with the settings.

use std::sync::Arc;

use futures_util::future::AbortHandle;
use leptos::prelude::*;

use super::client::Client;
use super::reactive::effect_from_last;
use super::task;
use crate::protocol::{Ask, Failure};

/// The newest answer, and what has become of the newest question.
pub struct Remote<T: Send + Sync + 'static> {
    /// The newest answer. It stays while the next one is on its way, so that a figure never goes blank; it goes when that one fails, as it
    /// would answer another question than the one that is asked.
    pub value: RwSignal<Option<Arc<T>>>,
    /// Why there is no newer answer, if the newest question failed.
    pub failure: RwSignal<Option<Failure>>,
}

impl<T: Send + Sync + 'static> Clone for Remote<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Remote<T> {}

impl<T: Send + Sync + 'static> Remote<T> {
    /// The newest answer.
    pub fn get(self) -> Option<Arc<T>> {
        self.value.get()
    }

    fn forget(self) {
        if self.value.with_untracked(Option::is_some) {
            self.value.set(None);
        }
    }
}

/// Asks whenever a signal that `question` reads changes; an answer to an older question is cancelled and never shown. While `question` is
/// `None` nothing is asked, and nothing is known: there is no model, or another one takes its place.
pub fn remote<A>(client: Client, question: impl Fn() -> Option<A> + 'static) -> Remote<A::Answer>
where
    A: Ask + 'static,
    A::Answer: Send + Sync + 'static,
{
    let remote = Remote { value: RwSignal::new(None), failure: RwSignal::new(None) };
    effect_from_last(move |older: Option<Option<AbortHandle>>| {
        if let Some(Some(older)) = older {
            older.abort();
        }
        let Some(question) = question() else {
            remote.forget();
            if remote.failure.with_untracked(Option::is_some) {
                remote.failure.set(None);
            }
            return None;
        };
        let answer = client.ask(question).answer();
        Some(task::start_stoppable(async move {
            match answer.await {
                Ok(answer) => {
                    remote.value.set(Some(Arc::new(answer)));
                    remote.failure.set(None);
                }
                Err(failure) => {
                    remote.forget();
                    remote.failure.set(Some(failure));
                }
            }
        }))
    });
    remote
}
