//! The runs of this session and those that the browser keeps: which is looked at, which are drawn beside it, and in what they differ.

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::difference::difference;
use super::lab::{Lab, Run};
use crate::protocol::train::{KeptRun, OpenRun, RunState, Steering};
use crate::ui::number::{bytes, count, three};
use crate::ui::reactive::live;
use crate::ui::sections::own::files;

/// The panel.
pub fn view(lab: Lab) -> AnyView {
    let list = move || lab.runs.get().into_iter().map(|run| row(lab, run)).collect_view();
    let none = move || {
        lab.runs
            .with(Vec::is_empty)
            .then_some("None yet. Runs that play at the same time take turns, so that a race is fair.")
    };
    let kept = move || {
        lab.kept
            .get()
            .into_iter()
            .filter(|kept| !lab.runs.get().into_iter().any(|run| run.is_kept_as(kept)))
            .map(|run| kept_row(lab, run))
            .collect_view()
    };
    let none_kept =
        move || lab.kept.with(Vec::is_empty).then_some("None. A run is kept while it plays, and survives a reload.");
    let opened = move |event: web_sys::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<web_sys::HtmlInputElement>().ok()) else {
            return;
        };
        if let Some((path, file)) = input.files().and_then(|list| files::of_list(&list).pop()) {
            lab.open(OpenRun::Zip(files::given(path, file)), None);
        }
        input.set_value("");
    };
    view! {
        <div class="panel train-runs">
            <h3>"Runs of this visit"</h3>
            <p class="small soft">{live(none)}</p>
            <ul class="train-list" id="train-runs">{live(list)}</ul>
            {move || differences(lab)}
            <h3>"Kept in this browser"</h3>
            <p class="small soft">{live(none_kept)}</p>
            <ul class="train-list" id="train-kept">{live(kept)}</ul>
            <div class="controls">
                <span class="picker">
                    <input type="file" id="train-zip" class="unseen" accept=".zip" on:change=opened />
                    <label class="button" for="train-zip">"Open a run (.zip)"</label>
                </span>
                <span class="small soft">"Of this page, or of trainer."</span>
            </div>
        </div>
    }
    .into_any()
}

/// A run of this session.
fn row(lab: Lab, run: Run) -> AnyView {
    let name = run.name();
    let is_picked = move || lab.picked.get() == Some(run);
    let class = format!("train-swatch run-{}", run.number % 4);
    let says = move || {
        let log = run.log.read();
        let best = log.best().map(|best| format!(", best val {}", three(best.val_loss))).unwrap_or_default();
        format!("step {} of {}{best}", count(log.step), count(run.last()))
    };
    let over = move || matches!(run.state.get(), RunState::Finished | RunState::Broken { .. });
    let toggle = move |_| lab.steer(run, if untrack(|| run.plays()) { Steering::Pause } else { Steering::Play });
    let button = |word: &'static str, does: fn(Lab, Run)| {
        let label = format!("{word} {name}");
        view! { <button type="button" aria-label=label on:click=move |_| does(lab, run)>{word}</button> }
    };
    view! {
        <li class:train-picked=is_picked data-run=name.clone()>
            <svg class=class width="34" height="14" aria-hidden="true">
                <path class=format!("other-val dash-{}", run.number % 4) d="M1 7L33 7"></path>
                <path class="other-marks" d=mark(run.number)></path>
            </svg>
            <button type="button" class="train-name" aria-pressed=move || is_picked().to_string() on:click=move |_| lab.pick(run)>
                {name.clone()}
            </button>
            <span class="small soft">{live(says)}</span>
            <span class="train-actions">
                <label class="train-check small">
                    <input
                        type="checkbox"
                        aria-label=format!("Draw {name}")
                        prop:checked=move || run.shown.get()
                        on:change=move |event| run.shown.set(event_target_checked(&event))
                    />
                    "drawn"
                </label>
                <button
                    type="button"
                    aria-label=move || format!("{} {}", if run.plays() { "Pause" } else { "Play" }, run.name())
                    disabled=over
                    on:click=toggle
                >
                    {move || if run.plays() { "Pause" } else { "Play" }}
                </button>
                {button("Save", Lab::save)}
                {button("Close", Lab::close)}
            </span>
        </li>
    }
    .into_any()
}

/// The mark of a run's points, for its line in the list.
fn mark(number: usize) -> String {
    super::plot::mark(number, (17.0, 7.0), 3.4)
}

/// A run that the browser keeps.
fn kept_row(lab: Lab, run: KeptRun) -> AnyView {
    let when = js_sys::Date::new(&run.when.into());
    let when = String::from(when.to_locale_string("default", &js_sys::Object::new()));
    let best = run.best.map(|best| format!(", best val {}", three(best))).unwrap_or_default();
    let says =
        format!("step {} of {}{best}, {}, {when}", count(run.steps.0), count(run.steps.1), bytes(run.bytes as f64));
    let (folder, forgotten) = (run.folder.clone(), run.folder);
    view! {
        <li data-kept=run.name.clone()>
            <b>{run.name.clone()}</b>
            <span class="small soft">{says}</span>
            <span class="train-actions">
                <button
                    type="button"
                    aria-label=format!("Continue {}", run.name)
                    on:click=move |_| lab.open(OpenRun::Kept { folder: folder.clone() }, None)
                >
                    "Continue"
                </button>
                <button type="button" aria-label=format!("Forget {}", run.name) on:click=move |_| lab.forget(forgotten.clone())>
                    "Forget"
                </button>
            </span>
        </li>
    }
    .into_any()
}

/// The settings that are not alike.
fn differences(lab: Lab) -> Option<AnyView> {
    let runs = lab.runs.get();
    if runs.len() < 2 {
        return None;
    }
    let cards: Vec<_> = runs.iter().map(|run| run.card.get_value()).collect();
    let settings: Vec<_> = cards.iter().map(|card| &card.settings).collect();
    let rows = difference(&settings);
    if rows.is_empty() {
        return Some(view! { <p class="small soft" id="train-difference">"Their settings are alike."</p> }.into_any());
    }
    let names = runs.iter().map(|run| view! { <th scope="col">{run.name()}</th> }).collect_view();
    let body = rows.into_iter().map(|(setting, values)| {
        let cells = values.into_iter().map(|value| view! { <td>{value}</td> }).collect_view();
        view! { <tr><th scope="row">{setting}</th>{cells}</tr> }
    });
    Some(
        view! {
            <div class="table-frame" tabindex="0" role="region" aria-label="Settings that differ">
                <table id="train-difference">
                    <caption class="small soft">"In what they differ"</caption>
                    <thead><tr><td></td>{names}</tr></thead>
                    <tbody>{body.collect_view()}</tbody>
                </table>
            </div>
        }
        .into_any(),
    )
}
