//! Which vocabulary splits the text.

use leptos::prelude::*;

use super::splitting::Splitting;

/// Names in the address, and on screen.
const VOCABULARIES: [(&str, &str); 4] =
    [("model", "the model’s own"), ("char", "characters"), ("byte", "bytes"), ("bpe", "byte pairs")];

/// A choice of four.
#[component]
pub fn Switch(splitting: Splitting) -> impl IntoView {
    let chosen = splitting.store.view.vocabulary;
    let choice = |(name, label): (&'static str, &'static str)| {
        view! {
            <label>
                <input
                    type="radio"
                    name="tokenize-vocabulary"
                    value=name
                    prop:checked=move || chosen.with(|chosen| chosen == name)
                    on:change=move |_| chosen.set(name.into())
                />
                <span>{label}</span>
            </label>
        }
    };
    view! {
        <fieldset class="tk-switch">
            <legend>"Split it by"</legend>
            {VOCABULARIES.map(choice).collect_view()}
        </fieldset>
    }
}
