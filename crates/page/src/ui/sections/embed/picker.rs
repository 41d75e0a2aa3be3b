//! The text's tokens in a row, to pick one.

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::Place;
use crate::ui::number::{count, visible};
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// Tokens that are shown at a time: the block with the picked one.
const BLOCK: usize = 128;

/// Where a key leads from the picked token; `None` if it leads nowhere. Among radio buttons, down is the next one.
pub fn step(key: &str, at: usize, len: usize) -> Option<usize> {
    let last = len.checked_sub(1)?;
    Some(match key {
        "ArrowRight" | "ArrowDown" => (at + 1).min(last),
        "ArrowLeft" | "ArrowUp" => at.saturating_sub(1),
        "PageDown" => (at + 8).min(last),
        "PageUp" => at.saturating_sub(8),
        "Home" => 0,
        "End" => last,
        _ => return None,
    })
}

/// Puts the focus on the element of this id, once it is drawn.
pub fn focus_later(id: String) {
    request_animation_frame(move || {
        let element =
            document().get_element_by_id(&id).and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok());
        if let Some(element) = element {
            // Fails only for what is not in the document any more.
            let _ = element.focus();
        }
    });
}

/// Chips of the text's tokens; the picked one is shared with all figures.
#[component]
pub fn TextTokens(
    /// What all figures share.
    store: Store,
    /// The picked token.
    place: Memo<Option<Place>>,
) -> impl IntoView {
    let picked = memo(move || place.get().map(|place| place.index));
    let len = move || store.tokens.get().map_or(0, |tokens| tokens.tokens.len());
    let first = memo(move || picked.get().unwrap_or(0) / BLOCK * BLOCK);
    let chips = move || {
        let (first, tokens) = (first.get(), store.tokens.get());
        let tokens = tokens.iter().flat_map(|tokens| tokens.tokens.iter().enumerate().skip(first).take(BLOCK));
        tokens.map(|(index, token)| (index, token.id, token.text.clone())).collect::<Vec<_>>()
    };
    let pick = move |index: usize| store.view.query.set(Some(index));
    let on_key = move |event: web_sys::KeyboardEvent| {
        let Some(at) = picked.get_untracked() else { return };
        if let Some(to) = step(&event.key(), at, untrack(len)) {
            event.prevent_default();
            pick(to);
            focus_later(format!("embed-token-{to}"));
        }
    };
    let block = move || {
        let (first, len) = (first.get(), len());
        (len > BLOCK).then(|| {
            let last = (first + BLOCK).min(len);
            view! {
                <div class="controls small">
                    <button type="button" disabled={first == 0} on:click=move |_| pick(first.saturating_sub(BLOCK))>"Earlier tokens"</button>
                    <button type="button" disabled={last == len} on:click=move |_| pick(last)>"Later tokens"</button>
                    <span class="soft">{count(first as u64)} " to " {count(last as u64 - 1)} " of " {count(len as u64)}</span>
                </div>
            }
        })
    };
    view! {
        <div class="embed-tokens" role="radiogroup" aria-label="A token of the text" on:keydown=on_key>
            <For each=chips key=|chip| (chip.0, chip.1) let((index, _, text))>
                <button
                    type="button"
                    role="radio"
                    class="embed-token"
                    id=format!("embed-token-{index}")
                    aria-checked=move || (picked.get() == Some(index)).to_string()
                    aria-label=format!("{}, token {index}", if text == " " { "space".into() } else { visible(&text) })
                    tabindex=move || if picked.get() == Some(index) { "0" } else { "-1" }
                    on:click=move |_| pick(index)
                >
                    {visible(&text)}
                </button>
            </For>
        </div>
        {live(block)}
    }
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn keys_stay_inside() {
        for (key, at, to) in [
            ("ArrowRight", 4, 5),
            ("ArrowRight", 9, 9),
            ("ArrowLeft", 0, 0),
            ("PageDown", 5, 9),
            ("PageUp", 3, 0),
            ("Home", 3, 0),
            ("End", 3, 9),
        ] {
            assert_eq!(step(key, at, 10), Some(to), "{key}");
        }
        assert_eq!(step("a", 3, 10), None);
        assert_eq!(step("End", 0, 0), None);
    }
}
