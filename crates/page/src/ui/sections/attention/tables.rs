//! The row in numbers: the ten heaviest keys, and on request all of them in full.

use std::sync::Arc;

use leptos::prelude::*;

use super::row::Row;
use super::state::State;
use crate::ui::number::three;
use crate::ui::reactive::live;

const HEADINGS: [&str; 4] = ["q·k", "scaled", "masked", "weight"];

/// Both tables.
#[component]
pub fn Tables(
    /// Of the figure.
    state: State,
) -> impl IntoView {
    let open = RwSignal::new(false);
    let top = move || {
        let row = state.row.get()?;
        let keys = row.top(10);
        Some(body(state, &row, &keys, |value| three(f64::from(value))))
    };
    let all = move || {
        let row = open.get().then(|| state.row.get()).flatten()?;
        let keys: Vec<usize> = (0..row.weights.len()).collect();
        // Seven digits: what float32 has.
        Some(body(state, &row, &keys, |value| format!("{value:.6e}")))
    };
    view! {
        <div class="attn-numbers">
        <div class="attn-table">
            <table id="attention-top">
                <caption class="small soft">"The ten heaviest keys of this row"</caption>
                {head()}
                {live(top)}
            </table>
        </div>
        <div class="attn-words">
        <ol class="small">
            <li><b>"query · key"</b>" The query and every key are lists of numbers. Multiplied place by place and summed they say how well the two match."</li>
            <li><b>"scaled"</b>" Long lists make large sums. Dividing by the root of their length keeps the next step from being sure of one key at once."</li>
            <li><b>"masked"</b>" Later characters are what the model has to guess. They are taken out before anything is shared out."</li>
            <li><b>"softmax"</b>" What is left becomes shares of 1: each key says so much of what the head passes on."</li>
        </ol>
        <details
            class="attn-all"
            on:toggle=move |event| {
                open.set(event_target::<web_sys::Element>(&event).has_attribute("open"));
            }
        >
            <summary>"All numbers of this row"</summary>
            <div class="attn-table attn-table-long" tabindex="0" role="group" aria-label="All numbers of this row">
                <table id="attention-all">{head()}{live(all)}</table>
            </div>
        </details>
        </div>
        </div>
    }
}

fn head() -> impl IntoView {
    let cells = HEADINGS.map(|heading| view! { <th scope="col" class="number">{heading}</th> });
    view! { <thead><tr><th scope="col">"key"</th>{cells}</tr></thead> }
}

fn body(state: State, row: &Arc<Row>, keys: &[usize], number: fn(f32) -> String) -> AnyView {
    let skipped = state.view.get().map_or(0, |view| view.skipped);
    let rows: Vec<_> = keys
        .iter()
        .map(|&key| {
            let scaled = number(row.scaled[key]);
            let seen = if row.masked[key] { "masked".to_owned() } else { scaled.clone() };
            let cells = [number(row.scores[key]), scaled, seen, number(row.weights[key])];
            let cells = cells.map(|cell| view! { <td class="number">{cell}</td> });
            view! {
                <tr data-key=key class:attn-masked-row=row.masked[key]>
                    <th scope="row"><span class="mono">{state.glyph_at(key)}</span>" "<span class="soft">{key + skipped}</span></th>
                    {cells}
                </tr>
            }
        })
        .collect();
    view! { <tbody>{rows}</tbody> }.into_any()
}
