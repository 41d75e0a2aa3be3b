//! Memos and effects. An effect's closure is put into a box: that makes the page's program smaller, and costs a call through a pointer.

use leptos::Run;
pub use leptos::live;
use leptos::prelude::*;

/// A value that is computed anew when something that it reads has changed. Its readers hear of it only if it is another value then.
pub fn memo<T: PartialEq + Send + Sync + 'static>(value: impl Fn() -> T + Send + Sync + 'static) -> Memo<T> {
    Memo::new(move |_| value())
}

/// A memo that knows its last value.
pub fn memo_from_last<T>(value: impl Fn(Option<&T>) -> T + Send + Sync + 'static) -> Memo<T>
where
    T: PartialEq + Send + Sync + 'static,
{
    Memo::new(value)
}

/// Does something, and again whenever something that it reads has changed.
pub fn effect(run: impl FnMut() + 'static) {
    boxed(Box::new(run));
}

fn boxed(mut run: Box<dyn Run<()>>) {
    Effect::new(move || run.run());
}

/// An effect that knows what it returned the last time.
pub fn effect_from_last<T: 'static>(mut run: impl FnMut(Option<T>) -> T + 'static) {
    let mut last = None;
    effect(move || last = Some(run(last.take())));
}
