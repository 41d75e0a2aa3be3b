//! Radio buttons that look like one button in segments.

use leptos::prelude::*;

/// One of them, of those that share a name.
pub fn segment(
    name: &'static str,
    value: impl Into<String>,
    word: &'static str,
    chosen: impl Fn() -> bool + Send + 'static,
    choose: impl Fn() + 'static,
) -> AnyView {
    view! {
        <label class="segment">
            <input type="radio" name=name value=value.into() prop:checked=chosen on:change=move |_| choose() />
            <span>{word}</span>
        </label>
    }
    .into_any()
}
