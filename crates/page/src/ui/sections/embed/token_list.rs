//! Choosing any token of the vocabulary: buttons where it is small, a search where it is large.

use leptos::prelude::*;

use super::picker::{focus_later, step};
use super::{SHOWN_WHOLE, named, spoken};
use crate::ui::number::visible;
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// Search results.
const RESULTS: usize = 12;

/// Tokens that a text leads to: the token of exactly that text first, then those that begin with it, then those that contain it. `·` stands
/// for a space.
pub fn search(vocabulary: &[String], text: &str) -> Vec<u32> {
    let text = text.replace('·', " ");
    if text.is_empty() {
        return Vec::new();
    }
    let mut found: [Vec<u32>; 3] = Default::default();
    for (id, token) in (0..).zip(vocabulary) {
        let rank = if *token == text {
            0
        } else if token.starts_with(&text) || token.trim_start().starts_with(&text) {
            1
        } else if token.contains(&text) {
            2
        } else {
            continue;
        };
        if found[rank].len() < RESULTS {
            found[rank].push(id);
        }
    }
    let mut found = found.concat();
    found.truncate(RESULTS);
    found
}

/// Whether the loaded vocabulary is shown whole.
pub fn whole(store: Store) -> bool {
    store.model.get().is_some_and(|model| model.vocabulary.len() <= SHOWN_WHOLE)
}

/// Buttons for every token, or a search.
#[component]
pub fn TokenList(
    /// What all figures share.
    store: Store,
    /// The chosen token.
    chosen: Memo<Option<u32>>,
    /// Called with the one that is chosen here.
    pick: Callback<u32>,
) -> impl IntoView {
    let small = memo(move || whole(store));
    move || if small.get() { all(store, chosen, pick) } else { searching(store, "Find a token", pick) }
}

fn all(store: Store, chosen: Memo<Option<u32>>, pick: Callback<u32>) -> AnyView {
    let len = move || store.model.get().map_or(0, |model| model.vocabulary.len());
    let on_key = move |event: web_sys::KeyboardEvent| {
        let Some(at) = chosen.get_untracked() else { return };
        if let Some(to) = step(&event.key(), at as usize, untrack(len)) {
            event.prevent_default();
            pick.run(to as u32);
            focus_later(format!("embed-vocabulary-{to}"));
        }
    };
    let button = move |id: u32| {
        let model = store.model.get_untracked();
        view! {
            <button
                type="button"
                role="radio"
                class="embed-token"
                id=format!("embed-vocabulary-{id}")
                aria-label=spoken(model.as_ref(), id)
                aria-checked=move || (chosen.get() == Some(id)).to_string()
                tabindex=move || if chosen.get() == Some(id) { "0" } else { "-1" }
                on:click=move |_| pick.run(id)
            >
                {named(model.as_ref(), id)}
            </button>
        }
    };
    view! {
        <div class="embed-tokens" role="radiogroup" aria-label="A token of the vocabulary" on:keydown=on_key>
            {move || (0..len() as u32).map(button).collect_view()}
        </div>
    }
    .into_any()
}

/// A field and what it finds.
pub fn searching(store: Store, label: &'static str, pick: Callback<u32>) -> AnyView {
    let text = RwSignal::new(String::new());
    let results = move || {
        let model = store.model.get()?;
        let button = |id: u32| {
            let name = model.vocabulary.get(id as usize).map(|token| visible(token));
            view! { <button type="button" class="embed-token" on:click=move |_| pick.run(id)>{name}</button> }
        };
        Some(search(&model.vocabulary, &text.get()).into_iter().map(button).collect_view())
    };
    view! {
        <div class="embed-search">
            <label>{label} " " <input type="search" prop:value=text on:input=move |event| text.set(event_target_value(&event)) /></label>
            <div class="embed-tokens">{live(results)}</div>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::search;

    #[test]
    fn the_exact_token_is_found_first() {
        let vocabulary = ["other", "there", " the", "the", "The"].map(String::from);
        assert_eq!(search(&vocabulary, "the"), [3, 1, 2, 0]);
        assert_eq!(search(&vocabulary, "·the"), [2]);
        assert_eq!(search(&vocabulary, ""), [] as [u32; 0]);
        assert_eq!(search(&vec!["a".to_owned(); 50], "a").len(), 12);
    }
}
