//! One row in its four stages, drawn on one axis: a column per key.

use std::sync::Arc;

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{KeyboardEvent, MouseEvent, PointerEvent};

use super::paint::width_of;
use super::row::Row;
use super::state::State;
use super::strip::{Axis, COLUMN, Plot, Strip};
use crate::ui::keys::slide;
use crate::ui::number::three;
use crate::ui::reactive::{effect, live, memo};

/// The stages, and a slider for the key.
#[component]
pub fn Stages(
    /// Of the figure.
    state: State,
) -> impl IntoView {
    let window = NodeRef::<Div>::new();
    let width = width_of(window);
    let count = memo(move || state.row.get().map_or(0, |row| row.weights.len()));
    let column = memo(move || (width.get() / count.get().max(1) as f64).clamp(COLUMN, 28.0));
    let key = memo(move || state.shown_key());
    let skipped = move || state.view.get().map_or(0, |view| view.skipped);
    let factor = move || {
        let view = state.view.get()?;
        Some(if view.factor == 1.0 {
            "not scaled".to_owned()
        } else {
            format!("× 1/√{} = × {}", view.head_dim, three(f64::from(view.factor)))
        })
    };
    let spoken = move || {
        let (Some(row), Some(key)) = (state.row.get(), key.get()) else { return String::new() };
        format!("key {}, '{}': {}", key + skipped(), state.glyph_at(key), chain(&row, key).join(" → "))
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            return state.key.set(None);
        }
        let now = untrack(move || state.shown_key()).unwrap_or(0);
        if let Some(key) = slide(&event.key(), now, count.get_untracked()) {
            event.prevent_default();
            state.pointed.set(None);
            state.key.set(Some(key));
        }
    };
    let under = move |event: &MouseEvent| {
        let element: web_sys::Element = event.current_target()?.dyn_into().ok()?;
        let x = f64::from(event.client_x()) - element.get_bounding_client_rect().left();
        let at = (x / column.get_untracked()).max(0.0) as usize;
        (at < count.get_untracked()).then_some(at)
    };
    let on_move = move |event: PointerEvent| {
        let key = if event.pointer_type() == "mouse" { under(&event) } else { None };
        if state.pointed.get_untracked() != key {
            state.pointed.set(key);
        }
    };
    // Where not all columns fit, those around the query are in sight, then those around the key that is moved.
    effect(move || {
        let at = state.key.get().or_else(|| state.row.get().map(|row| row.query));
        let (Some(window), Some(at)) = (window.get(), at) else { return };
        let (x, width) = (at as f64 * column.get(), width.get());
        // Where all fit there is nowhere to go, and to ask for the place would be to lay out the page at once.
        if width + 0.5 > column.get() * count.get() as f64 {
            return;
        }
        let left = f64::from(window.scroll_left());
        if x < left + 24.0 || x > left + width - 40.0 {
            window.set_scroll_left((x - width * 0.7) as i32);
        }
    });
    let number = move |stage: usize| {
        let (row, key) = (state.row.get()?, key.get()?);
        Some(chain(&row, key)[stage].clone())
    };
    let stage = move |at: usize, plot: Plot, name: &'static str, note: Signal<String>| {
        view! {
            <div class="attn-stage-head" style:width=move || pixels(width.get())>
                <span class="attn-stage-name"><b>{at + 1}</b>" "{name}</span>
                <span class="soft attn-stage-note">{note}</span>
                <span class="attn-stage-number mono" data-stage=at>{move || number(at)}</span>
            </div>
            <Strip state plot column key/>
        }
    };
    let range = move |values: fn(&Row) -> &[f32]| {
        let row = state.row.get()?;
        let (least, most) = Axis::of(values(&row)).ends();
        Some(format!("{} … {}", three(f64::from(least)), three(f64::from(most))))
    };
    let scores = Signal::derive(move || {
        range(|row| &row.scores).map(|range| range + ", blue below zero, orange above").unwrap_or_default()
    });
    let scaled = Signal::derive(move || {
        let range = range(|row| &row.scaled).unwrap_or_default();
        format!("{}; {range}", factor().unwrap_or_default())
    });
    let mask = Signal::derive(move || {
        let Some(row) = state.row.get() else { return String::new() };
        let hidden = row.masked.iter().filter(|&&masked| masked).count();
        if hidden == 0 {
            "nothing is hidden".into()
        } else {
            format!("{hidden} of {} keys are hidden", row.masked.len())
        }
    });
    let lines = Signal::derive(move || {
        let [_, a, b, c, d] = state.scale.get().ticks();
        format!("e to the score, over the sum of all; lines at {a}, {b}, {c}, {d}")
    });
    let total = move || state.row.get().map(|row| format!("{:.3}", row.sum()));
    let entropy = move || {
        let bits = state.row.get()?.entropy();
        let keys = three(bits.exp2());
        let noun = if keys == "1.00" { "key" } else { "keys alike" };
        Some((three(bits), format!("as many as {keys} {noun}")))
    };
    let which = move || {
        let key = key.get()?;
        Some(format!("key {} ‘{}’", key + skipped(), state.glyph_at(key)))
    };
    let steps = move || {
        let (row, key) = (state.row.get()?, key.get()?);
        Some(chain(&row, key).join(" → "))
    };
    view! {
        <div class="attn-chain" data-chain="">
            <span class="attn-which">{live(which)}</span>
            <span class="mono">{live(steps)}</span>
            <span class="attn-sums">
                "row sum " <b id="attention-sum">{live(total)}</b>
                " · entropy " <b id="attention-entropy">{move || entropy().map(|(bits, _)| bits)}</b> " bits, "
                {move || entropy().map(|(_, alike)| alike)}
            </span>
        </div>
        <div class="attn-window" node_ref=window>
            <div
                id="attention-key"
                class="attn-stages"
                role="slider"
                tabindex="0"
                aria-label="Key: the character that is looked at"
                aria-orientation="horizontal"
                aria-valuemin=live(skipped)
                aria-valuemax=move || (count.get() + skipped()).saturating_sub(1)
                aria-valuenow=move || key.get().map(|key| key + skipped())
                aria-valuetext=live(spoken)
                style:width=move || pixels(column.get() * count.get() as f64)
                on:keydown=on_key
                on:pointermove=on_move
                on:pointerleave=move |_| state.pointed.set(None)
                on:click=move |event| if let Some(key) = under(&event) { state.key.set(Some(key)) }
            >
                <Strip state plot=Plot::Tokens column key/>
                {stage(0, Plot::Scores, "query · key", scores)}
                {stage(1, Plot::Scaled, "scaled", scaled)}
                {stage(2, Plot::Masked, "masked", mask)}
                {stage(3, Plot::Weights, "softmax", lines)}
                <Strip state plot=Plot::Tokens column key/>
            </div>
        </div>
    }
}

/// A key's number in every stage.
pub fn chain(row: &Arc<Row>, key: usize) -> [String; 4] {
    let value = |values: &[f32]| values.get(key).map_or_else(String::new, |&value| three(f64::from(value)));
    let masked = row.masked.get(key).copied().unwrap_or_default();
    let seen = if masked { "masked".into() } else { value(&row.scaled) };
    [value(&row.scores), value(&row.scaled), seen, value(&row.weights)]
}

fn pixels(width: f64) -> String {
    let mut text = width.to_string();
    text.push_str("px");
    text
}
