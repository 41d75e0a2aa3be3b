//! The text itself: a slider whose thumb is a character, the query. Its keys are tinted by their weights.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{KeyboardEvent, PointerEvent};

use super::state::State;
use crate::ui::color::{css, ink_on, sequential};
use crate::ui::keys::slide;
use crate::ui::number::three;
use crate::ui::reactive::{live, memo};

/// The text.
#[component]
pub fn TextLine(
    /// Of the figure.
    state: State,
) -> impl IntoView {
    let dark = state.store.dark;
    let tints = memo(move || {
        let Some(row) = state.row.get() else { return Vec::new() };
        let (scale, most) = (state.scale.get(), row.most());
        let tint = |(&weight, &masked): (&f32, &bool)| {
            let color = sequential(scale.share(weight, row.query, most), dark.get());
            (!masked).then(|| (css(color), ink_on(color)))
        };
        row.weights.iter().zip(&row.masked).map(tint).collect()
    });
    let query = memo(move || state.row.get().map_or(0, |row| row.query));
    let tokens = memo(move || state.view.get().map(|view| view.tokens.clone()).unwrap_or_default());
    let skipped = move || state.view.get().map_or(0, |view| view.skipped);
    let count = move || tokens.with(Vec::len);
    let spoken = move || {
        let Some(row) = state.row.get() else { return String::new() };
        let query = format!("query {}, '{}'", row.query + skipped(), state.glyph_at(row.query));
        row.top(1).first().map_or_else(String::new, |&key| {
            let weight = three(f64::from(row.weights[key]));
            format!("{query}; top key {}, '{}', {weight}", key + skipped(), state.glyph_at(key))
        })
    };
    let on_key = move |event: KeyboardEvent| {
        if let Some(query) = slide(&event.key(), query.get_untracked(), tokens.with_untracked(Vec::len)) {
            event.prevent_default();
            state.set_query(query);
        }
    };
    let at = move |event: &PointerEvent| {
        let under = document().element_from_point(event.client_x() as f32, event.client_y() as f32)?;
        under.get_attribute("data-token")?.parse::<usize>().ok()
    };
    let move_to = move |event: &PointerEvent| {
        if let Some(query) = at(event) {
            state.set_query(query);
        }
    };
    let dragging = RwSignal::new(false);
    let on_down = move |event: PointerEvent| {
        if event.button() == 0 {
            if let Some(element) = event.current_target().and_then(|target| target.dyn_into::<web_sys::Element>().ok())
            {
                // A pointer that is gone cannot be captured; then there is nothing to drag either.
                let _ = element.set_pointer_capture(event.pointer_id());
            }
            dragging.set(true);
            move_to(&event);
        }
    };
    let on_move = move |event: PointerEvent| {
        if dragging.get_untracked() {
            move_to(&event);
        } else {
            let key = at(&event);
            if state.pointed.get_untracked() != key {
                state.pointed.set(key);
            }
        }
    };
    let characters = move || {
        tokens
            .get()
            .into_iter()
            .enumerate()
            .map(|(at, id)| {
                let text = state.glyph(id);
                let ends_line = text.ends_with('↵');
                let tint = move || tints.with(|tints| tints.get(at).cloned().flatten());
                view! {
                    <span
                        data-token=at
                        class="attn-token"
                        class:query=move || query.get() == at
                        class:masked=move || tints.with(|tints| tints.get(at).is_some_and(Option::is_none))
                        style:background-color=move || tint().map(|(color, _)| color)
                        style:color=move || tint().map(|(_, ink)| ink)
                    >{text}</span>
                    {ends_line.then(|| view! { <br/> })}
                }
            })
            .collect::<Vec<_>>()
    };
    view! {
        <div
            id="attention-query"
            class="attn-line mono"
            role="slider"
            tabindex="0"
            aria-label="Query: the character that looks"
            aria-orientation="horizontal"
            aria-valuemin=live(skipped)
            aria-valuemax=move || (count() + skipped()).saturating_sub(1)
            aria-valuenow=move || query.get() + skipped()
            aria-valuetext=live(spoken)
            on:keydown=on_key
            on:pointerdown=on_down
            on:pointermove=on_move
            on:pointerup=move |_| dragging.set(false)
            on:pointercancel=move |_| dragging.set(false)
            on:pointerleave=move |_| state.pointed.set(None)
        >{live(characters)}</div>
    }
}
