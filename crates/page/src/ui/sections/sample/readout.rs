//! The numbers of the token that is looked at, and of the ten likeliest.

use leptos::prelude::*;

use super::distribution::{Order, Row};
use super::place::Place;
use crate::ui::number::{percent, three};
use crate::ui::order::largest_first;
use crate::ui::reactive::live;

/// Rows of the table.
const TOP: usize = 10;

fn chance(share: Option<f32>) -> String {
    share.map_or("cut off".into(), |share| percent(share.into()))
}

fn maybe(number: Option<f64>) -> String {
    number.map_or("–".into(), three)
}

/// The token that is looked at.
#[component]
pub fn Readout(
    /// Of it.
    place: Place,
) -> impl IntoView {
    let glyph = move || place.row().map(|row| place.desk.glyph(row.id));
    let number = move |name: &'static str, value: fn(&Row) -> String| {
        let value = move || place.row().map(|row| value(&row));
        view! { <div><dt>{name}</dt><dd>{live(value)}</dd></div> }
    };
    let verdict = move || {
        let row = place.row()?;
        let written = place.written()?;
        let glyph = place.desk.glyph(row.id);
        let drawn = place.distribution.with(|at| at.drawn);
        let greedy = place.desk.store.view.temperature.get() == 0.0;
        Some(if row.id == written && drawn.is_none() {
            format!("You put ‘{glyph}’ here.")
        } else if Some(row.id) == drawn {
            if greedy {
                format!("‘{glyph}’ has the largest logit, so it is taken.")
            } else {
                format!("‘{glyph}’ has the largest score, so it is drawn.")
            }
        } else if row.kept.is_none() {
            if greedy {
                format!("‘{glyph}’ is not the likeliest: greedy never takes it.")
            } else {
                format!("‘{glyph}’ is cut off: no dice can draw it.")
            }
        } else {
            let best = drawn.map(|id| place.desk.glyph(id));
            best.map_or_else(String::new, |best| format!("‘{glyph}’ lost to ‘{best}’, whose score is larger."))
        })
    };
    view! {
        <div class="sample-readout">
            <p class="readout-token">
                <span class="readout-glyph mono">{live(glyph)}</span>
                <span class="small">{live(verdict)}</span>
            </p>
            <dl class="readout-numbers">
                {number("logit", |row| three(row.logit.into()))}
                {number("÷ T", |row| three(row.scaled.into()))}
                {number("chance", |row| percent(row.chance.into()))}
                {number("after cuts", |row| chance(row.kept))}
                {number("noise", |row| maybe(row.noise))}
                {number("score", |row| maybe(row.score()))}
            </dl>
            <p class="readout-actions">
                <button
                    id="sample-force"
                    disabled=move || place.row().is_none_or(|row| Some(row.id) == place.written())
                    on:click=move |_| place.force()
                >
                    {move || format!("Put ‘{}’ here and write on", glyph().unwrap_or_default())}
                </button>
                <label class="small">
                    <input
                        type="checkbox"
                        prop:checked=move || place.order.get() == Order::Id
                        on:change=move |event| {
                            place.order.set(if event_target_checked(&event) { Order::Id } else { Order::Logit });
                        }
                    />
                    " in the vocabulary's order"
                </label>
            </p>
        </div>
    }
}

/// The ten likeliest tokens.
#[component]
pub fn TopTen(
    /// Where.
    place: Place,
) -> impl IntoView {
    let open = RwSignal::new(false);
    let rows = move || {
        if !open.get() {
            return Vec::new();
        }
        let rows = place.distribution.with(|at| at.rows.clone());
        let likeliest = largest_first(rows.iter().map(|row| row.logit)).into_iter().take(TOP);
        let marked = place.marked();
        likeliest
            .map(|at| &rows[at])
            .map(|row| {
                view! {
                    <tr class:drawn=marked == Some(row.id)>
                        <th scope="row" class="mono">{place.desk.glyph(row.id)}</th>
                        <td class="number">{row.id}</td>
                        <td class="number">{three(row.logit.into())}</td>
                        <td class="number">{three(row.scaled.into())}</td>
                        <td class="number">{percent(row.chance.into())}</td>
                        <td class="number">{chance(row.kept)}</td>
                        <td class="number">{maybe(row.noise)}</td>
                        <td class="number">{maybe(row.score())}</td>
                    </tr>
                }
            })
            .collect()
    };
    view! {
        <details on:toggle=move |event| {
            use wasm_bindgen::JsCast;
            let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
            open.set(target.is_some_and(|details| details.has_attribute("open")));
        }>
            <summary>"The ten likeliest as a table"</summary>
            <div class="table-frame" tabindex="0" role="region" aria-label="The ten likeliest tokens">
                <table id="sample-top-ten">
                    <thead>
                        <tr>
                            <th scope="col">"token"</th>
                            <th scope="col" class="number">"id"</th>
                            <th scope="col" class="number">"logit"</th>
                            <th scope="col" class="number">"÷ T"</th>
                            <th scope="col" class="number">"chance"</th>
                            <th scope="col" class="number">"after cuts"</th>
                            <th scope="col" class="number">"noise"</th>
                            <th scope="col" class="number">"score"</th>
                        </tr>
                    </thead>
                    <tbody>{live(rows)}</tbody>
                </table>
            </div>
        </details>
    }
}
