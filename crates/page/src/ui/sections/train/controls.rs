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
        _ if over.get_untracked() => {}
        Some(run) => lab.steer(run, if plays.get_untracked() { Steering::Pause } else { Steering::Play }),
        None if ready() => lab.begin(true),
        None => {}
    };
    let play = NodeRef::<leptos::html::Button>::new();
    // Buttons that cannot be pressed again at once keep the focus: they are not disabled, only said to be.
    let can_step = memo(move || !over.get() && !plays.get() && (picked.get().is_some() || ready()));
    let can_reset = memo(move || picked.get().is_some_and(|run| run.log.read().step > 0));
    let step = move |_| match picked.get_untracked() {
        _ if !can_step.get_untracked() => {}
        Some(run) => lab.steer(run, Steering::Step),
        None => lab.begin(false),
    };
    let is_new = memo(move || {
        picked.get().is_some_and(|run| {
            // The same settings again are no news, but for their name and for threads.
            let is_same =
                run.settings.with_value(|settings| settings.as_ref().is_some_and(|settings| lab.draft.is_of(settings)));
            let threads = lab.draft.plan.with(|plan| plan.as_ref().and_then(|plan| Some(plan.as_ref().ok()?.replicas)));
            !is_same || threads.is_some_and(|threads| run.card.with_value(|card| card.plan.replicas != threads))
        })
    });
    let best = memo(move || {
        let log = picked.get()?.log.read();
        log.best().map(|best| best.step).filter(|&step| step < log.step)
    });
    let can_rewind = memo(move || best.get().is_some() && !plays.get());
    let steer = move |can: Memo<bool>, to| {
        if let Some(run) = picked.get_untracked().filter(|_| can.get_untracked()) {
            lab.steer(run, to);
        }
    };
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
                node_ref=play
                disabled=move || picked.get().is_none() && lab.draft.trouble().is_some()
                aria-disabled=move || over.get().to_string()
                on:click=toggle
            >
                {move || if plays.get() { "Pause" } else { "Play" }}
            </button>
            <button type="button" id="train-step" aria-disabled=move || (!can_step.get()).to_string() on:click=step>
                "Step"
            </button>
            <button
                type="button"
                id="train-reset"
                title="The same settings again, from random weights; the steps so far are forgotten"
                aria-disabled=move || (!can_reset.get()).to_string()
                on:click=move |_| steer(can_reset, Steering::Reset)
            >
                "Reset"
            </button>
            <button
                type="button"
                id="train-rewind"
                title="The steps after it are forgotten"
                aria-disabled=move || (!can_rewind.get()).to_string()
                on:click=move |_| steer(can_rewind, Steering::RewindToBest)
            >
                {live(rewind)}
            </button>
            <button
                type="button"
                id="train-new"
                class="primary"
                class:train-away=move || !is_new.get()
                disabled=move || !ready() || !is_new.get()
                on:click=move |_| {
                    lab.begin(true);
                    // This button goes.
                    play.get_untracked().into_iter().for_each(|play| drop(play.focus()));
                }
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
