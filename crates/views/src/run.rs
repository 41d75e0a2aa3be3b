//! Closures in boxes. In a box of `dyn FnMut` there would be code for calling it once too, of each closure.

use leptos::tachys::renderer::types::Event;

use crate::held::Held;

/// Says something.
pub trait Run<T> {
    /// Says it.
    fn run(&mut self) -> T;
}

impl<T, F: FnMut() -> T> Run<T> for F {
    fn run(&mut self) -> T {
        self()
    }
}

/// Computes a value from the last one.
pub(crate) trait Compute: Send + Sync {
    fn compute(&self, last: Option<&Held>) -> Held;
}

impl<F: Fn(Option<&Held>) -> Held + Send + Sync> Compute for F {
    fn compute(&self, last: Option<&Held>) -> Held {
        self(last)
    }
}

/// Listens to events.
pub(crate) trait Hear {
    fn hear(&mut self, event: Event);
}

impl<F: FnMut(Event)> Hear for F {
    fn hear(&mut self, event: Event) {
        self(event);
    }
}
