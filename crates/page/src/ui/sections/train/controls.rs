//! Play, pause, step, reset; and what the run does, in a line.

use leptos::prelude::*;

use super::estimate::clock;
use super::lab::{Lab, Run};
use crate::protocol::train::{RunState, Steering};
use crate::ui::chip::{Chip, Source};
use crate::ui::number::{bytes, count, three};
use crate::ui::reactive::{live, memo};

/// Buttons and status.
pub fn view(lab: Lab) -> AnyView {
    let picked = lab.picked;
    let plays = memo(move || picked.get().is_some_and(Run::plays));
    let over = memo(move || {
        picked.get().is_some_and(|run| matches!(run.state.get(), RunState::Finished | RunState::Broken { .. }))
    });
    let ready = move || lab.draft.trouble().is_none() && !lab.opening.get();
    let toggle = move |_| match picked.get_untracked() {
        Some(run) => lab.steer(run, if plays.get_untracked() { Steering::Pause } else { Steering::Play }),
        None => lab.begin(true),
    };
    let step = move |_| match picked.get_untracked() {
        Some(run) => lab.steer(run, Steering::Step),
        None => lab.begin(false),
    };
    let is_new = memo(move || {
        picked.get().is_some_and(|run| {
            run.settings.with_value(|settings| !settings.as_ref().is_some_and(|settings| lab.draft.is_of(settings)))
        })
    });
    let best = memo(move || {
        let log = picked.get()?.log.read();
        log.best().map(|best| best.step).filter(|&step| step < log.step)
    });
    let rewind = move || match best.get() {
        Some(step) => format!("Rewind to best (step {})", count(step)),
        None => "Rewind to best".into(),
    };
    let moved = memo(move || picked.get()?.log.read().moved.clone());
    let shape = Signal::derive(move || match picked.get() {
        Some(run) => run.card.with_value(|card| {
            let moved = moved.get();
            let engine = moved.as_ref().map_or(&card.engine, |(engine, _)| engine);
            format!("{} weights, {engine}", count(card.plan.parameters))
        }),
        None => "nothing trains yet".into(),
    });
    let name = move || picked.get().map_or_else(|| "No run yet".to_owned(), Run::name);
    let why = move || match picked.get().map(|run| run.state.get()) {
        Some(RunState::Broken { why }) => Some(why),
        _ => lab.learner.broken.get().map(|why| {
            format!("The program that trains broke down: {why}. What the browser kept can be continued below.")
        }),
    };
    view! {
        <div class="train-head"><h3>{live(name)}</h3> <Chip source=Source::Live shape /></div>
        <div class="train-buttons" role="group" aria-label="The run">
            <button
                type="button"
                id="train-play"
                class="primary"
                disabled=move || over.get() || (picked.get().is_none() && !ready())
                on:click=toggle
            >
                {move || if plays.get() { "Pause" } else { "Play" }}
            </button>
            <button type="button" id="train-step" disabled=move || over.get() || plays.get() || (picked.get().is_none() && !ready()) on:click=step>
                "Step"
            </button>
            <button
                type="button"
                id="train-reset"
                title="The same settings again, from random weights"
                disabled=move || picked.get().is_none_or(|run| run.log.read().step == 0)
                on:click=move |_| picked.get_untracked().into_iter().for_each(|run| lab.steer(run, Steering::Reset))
            >
                "Reset"
            </button>
            <button
                type="button"
                id="train-rewind"
                disabled=move || best.get().is_none() || plays.get()
                on:click=move |_| picked.get_untracked().into_iter().for_each(|run| lab.steer(run, Steering::RewindToBest))
            >
                {live(rewind)}
            </button>
            <button
                type="button"
                id="train-new"
                class="primary"
                class:train-away=move || !is_new.get()
                disabled=move || !ready() || !is_new.get()
                on:click=move |_| lab.begin(true)
            >
                "New run with the settings above"
            </button>
        </div>
        <progress class="train-progress" aria-label="Steps done" max="1" value=move || picked.get().map_or(0.0, done).to_string()></progress>
        <dl class="train-status" data-memory=move || picked.get().map_or(0, |run| run.log.read().memory).to_string()>{move || status(lab)}</dl>
        <p class="sentence" id="train-problem">{move || lab.problem.get().or_else(why)}</p>
        <p class="train-note" id="train-moved">{move || moved.get().map(|(_, why)| why)}</p>
        <p class="train-note" id="train-hidden">{move || lab.away.get()}</p>
    }
    .into_any()
}

fn done(run: Run) -> f64 {
    run.log.read().step as f64 / run.last().max(1) as f64
}

/// Name and value of each number that is watched.
fn status(lab: Lab) -> AnyView {
    let row = |(name, value): (&'static str, String)| view! { <div><dt>{name}</dt><dd>{value}</dd></div> };
    let dash = || "–".to_owned();
    let rows = match lab.picked.get() {
        None => [
            ("step", dash()),
            ("tokens/s", dash()),
            ("time left", dash()),
            ("state", "press Play".into()),
            ("kept", dash()),
            ("memory", dash()),
        ],
        Some(run) => {
            let log = run.log.read();
            let state = run.state.get();
            let plays = state == RunState::Playing;
            let left =
                run.card.with_value(|card| log.seconds_left(run.last(), card.plan.tokens_per_step)).filter(|_| plays);
            let kept = match &log.kept {
                Some(Ok(step)) => format!("as of step {}", count(*step)),
                Some(Err(why)) => format!("no: {why}"),
                None => "not yet".into(),
            };
            let state = match state {
                RunState::Playing => "training",
                RunState::Paused => "paused",
                RunState::Finished => "finished",
                RunState::Broken { .. } => "broken",
            };
            let speed = if plays && log.tokens_per_second > 0.0 { three(log.tokens_per_second) } else { dash() };
            [
                ("step", format!("{} of {}", count(log.step), count(run.last()))),
                ("tokens/s", speed),
                ("time left", left.map_or_else(dash, clock)),
                ("state", state.into()),
                ("kept in this browser", kept),
                ("memory", if log.memory > 0 { bytes(log.memory as f64) } else { dash() }),
            ]
        }
    };
    rows.map(row).into_iter().collect_view().into_any()
}
