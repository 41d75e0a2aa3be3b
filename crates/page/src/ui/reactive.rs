//! Leptos' memos and effects on closures in boxes: they are compiled once for each type of value, not once for each closure. That makes
//! the page's program smaller, and costs a call through a pointer.

pub use leptos::live;
use leptos::prelude::*;

/// Computes a value from the last one.
type Value<T> = dyn Fn(Option<&T>) -> T + Send + Sync;

/// A value that is computed anew when something that it reads has changed. Its readers hear of it only if it is another value then.
pub fn memo<T: PartialEq + Send + Sync + 'static>(value: impl Fn() -> T + Send + Sync + 'static) -> Memo<T> {
    memo_from_last(move |_| value())
}

/// A memo that knows its last value.
pub fn memo_from_last<T>(value: impl Fn(Option<&T>) -> T + Send + Sync + 'static) -> Memo<T>
where
    T: PartialEq + Send + Sync + 'static,
{
    let value: Box<Value<T>> = Box::new(value);
    Memo::new(value)
}

/// Does something, and again whenever something that it reads has changed.
pub fn effect(run: impl FnMut() + 'static) {
    let run: Box<dyn FnMut()> = Box::new(run);
    Effect::new(run);
}

/// An effect that knows what it returned the last time.
pub fn effect_from_last<T: 'static>(mut run: impl FnMut(Option<T>) -> T + 'static) {
    let mut last = None;
    effect(move || last = Some(run(last.take())));
}
