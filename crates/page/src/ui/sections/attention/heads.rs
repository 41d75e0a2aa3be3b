//! All heads side by side: pointing at one looks into it, a click or Enter stays there.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::KeyboardEvent;

use super::naming::Habit;
use super::state::State;
use crate::protocol::attention::Pattern;
use crate::ui::canvas::{Picture, Pixels};
use crate::ui::color::sequential;
use crate::ui::reactive::{live, memo};

/// Layers × heads.
#[component]
pub fn Heads(
    /// Of the figure.
    state: State,
) -> impl IntoView {
    let size = memo(move || state.store.model.get().map(|model| (model.config.n_layer, model.config.n_head)));
    let grid = NodeRef::<leptos::html::Div>::new();
    let shown = move || state.preview.get().or_else(|| state.picked());
    let focus = move |layer: usize, head: usize| {
        let Some(grid) = grid.get_untracked() else { return };
        let cell = grid.query_selector(&format!("[data-head='{layer}.{head}']")).ok().flatten();
        if let Some(cell) = cell.and_then(|cell| cell.dyn_into::<web_sys::HtmlElement>().ok()) {
            // Fails for no element of a page.
            let _ = cell.focus();
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let Some((layers, heads)) = size.get_untracked() else { return };
        let Some((layer, head)) = untrack(shown) else { return };
        let (layer, head) = match event.key().as_str() {
            "ArrowLeft" => (layer, head.saturating_sub(1)),
            "ArrowRight" => (layer, (head + 1).min(heads - 1)),
            "ArrowUp" => (layer.saturating_sub(1), head),
            "ArrowDown" => ((layer + 1).min(layers - 1), head),
            "Home" => (layer, 0),
            "End" => (layer, heads - 1),
            "Enter" | " " => {
                event.prevent_default();
                return state.pick(layer, head);
            }
            "Escape" => {
                if let Some((layer, head)) = untrack(move || state.picked()) {
                    focus(layer, head);
                }
                return state.preview.set(None);
            }
            _ => return,
        };
        event.prevent_default();
        // Focus first: to leave a head is to look no longer into it.
        focus(layer, head);
        state.preview.set(Some((layer, head)));
    };
    let rows = move || {
        let (layers, heads) = size.get()?;
        let row = |layer| {
            let cells = (0..heads).map(|head| view! { <Cell state layer head/> }).collect::<Vec<_>>();
            view! {
                <div role="row" class="attn-layer">
                    <span role="rowheader" class="attn-layer-name">{layer}</span>
                    {cells}
                </div>
            }
        };
        Some((0..layers).map(row).collect::<Vec<_>>())
    };
    view! {
        <div
            node_ref=grid
            class="attn-heads"
            class:many=move || size.get().is_some_and(|(_, heads)| heads > 6)
            role="grid"
            aria-label="Heads: a row per layer"
            on:keydown=on_key
            on:pointerleave=move |_| state.preview.set(None)
            on:focusout=move |_| state.preview.set(None)
        >{live(rows)}</div>
    }
}

/// One head.
#[component]
fn Cell(state: State, layer: usize, head: usize) -> impl IntoView {
    let at = (layer, head);
    let is_picked = memo(move || state.picked() == Some(at));
    let is_shown = memo(move || state.preview.get().or_else(|| state.picked()) == Some(at));
    let is_zeroed = memo(move || state.experiment.get().ablated.contains(&at));
    let label = memo(move || habit(state, layer, head).map(|habit| habit.label()).unwrap_or_default());
    let picture = Signal::derive(move || thumbnail(state, layer, head).unwrap_or_default());
    let name = move || {
        let zeroed = if is_zeroed.get() { ", zeroed" } else { "" };
        format!("layer {layer}, head {head}: {}{zeroed}", label.get())
    };
    view! {
        <div
            role="gridcell"
            class="attn-head"
            class:shown=is_shown
            class:zeroed=is_zeroed
            data-head=format!("{layer}.{head}")
            tabindex=move || if is_shown.get() { "0" } else { "-1" }
            aria-selected=move || is_picked.get().to_string()
            aria-label=live(name)
            title=live(name)
            on:pointerenter=move |event: web_sys::PointerEvent| {
                if event.pointer_type() == "mouse" {
                    state.preview.set(Some(at));
                }
            }
            on:click=move |_| state.pick(layer, head)
        >
            <div class="masked attn-thumb"><Pixels picture/></div>
            <span class="attn-habit">{label}</span>
        </div>
    }
}

/// What a head does on this text.
pub fn habit(state: State, layer: usize, head: usize) -> Option<Habit> {
    let heads = state.store.model.get()?.config.n_head;
    let (plain, changed) = state.passes.get()?;
    let pass = changed.unwrap_or(plain);
    let at = layer * heads + head;
    let patterns = pass.patterns.chunks_exact(Pattern::ALL.len()).nth(at)?;
    Some(Habit::new(patterns, &pass.chance, *pass.entropies.get(at)?))
}

/// Always √w of the largest weight in a cell: rows are pooled, and have no one query or largest of their own.
fn thumbnail(state: State, layer: usize, head: usize) -> Option<Picture> {
    let heads = state.store.model.get()?.config.n_head;
    let (plain, changed) = state.passes.get()?;
    let pass = changed.unwrap_or(plain);
    let (dark, size) = (state.store.dark.get(), pass.thumbnail_size);
    let weights = pass.thumbnails.chunks_exact(size * size).nth(layer * heads + head)?;
    let is_masked = |row: usize, column: usize| !pass.experiment.unmasked && column > row;
    Some(Picture::new(size, size, |row, column| {
        (!is_masked(row, column)).then(|| sequential(weights[row * size + column].sqrt(), dark))
    }))
}
