//! Looking through the model as it was after so many steps: all figures of the page follow.

use leptos::prelude::*;

use super::lab::{Lab, Run};
use crate::ui::number::count;
use crate::ui::reactive::{effect, live, memo};

/// The slider over the steps whose model is kept.
pub fn view(lab: Lab) -> AnyView {
    let snapshots = memo(move || lab.picked.get().map(|run| run.log.read().snapshots.clone()).unwrap_or_default());
    let follows = RwSignal::new(false);
    let looked = memo(move || {
        let (run, step) = lab.looked.get()?;
        (lab.picked.get() == Some(run)).then_some(step)
    });
    let place = move || {
        let last = snapshots.with(Vec::len).saturating_sub(1);
        looked.get().and_then(|step| snapshots.with(|all| all.binary_search(&step).ok())).unwrap_or(last)
    };
    let look = move |event| {
        follows.set(false);
        let at: usize = event_target_value(&event).parse().unwrap_or_default();
        let step = snapshots.with_untracked(|all| all.get(at).copied());
        if let Some((run, step)) = lab.picked.get_untracked().zip(step) {
            lab.look(run, step);
        }
    };
    // A step of the address waits for a run that has it; and who follows sees each new one.
    effect(move || {
        let Some(run) = lab.picked.get() else { return };
        let wanted = if follows.get() { snapshots.with(|all| all.last().copied()) } else { lab.store.view.step.get() };
        let known = wanted.filter(|step| snapshots.with(|all| all.contains(step)));
        if let Some(step) = known.filter(|_| follows.get() || lab.looked.with_untracked(Option::is_none)) {
            lab.look(run, step);
        }
    });
    let says = move || match (looked.get(), snapshots.with(|all| all.last().copied())) {
        (Some(step), _) => format!("step {}", count(step)),
        (None, Some(last)) => format!("up to step {}", count(last)),
        (None, None) => "none yet".into(),
    };
    let note = move || {
        match looked.get() {
        Some(step) => {
            let name = lab.picked.get().map(Run::name).unwrap_or_default();
            format!("All figures of this page show {name} after step {}.", count(step))
        }
        None => "Move it, and all figures of this page show the model of that step: its embeddings, its attention, what it writes.".into(),
    }
    };
    let empty = move || snapshots.with(Vec::is_empty);
    view! {
        <div class="train-scrubber">
            <label for="train-step-shown">"Look through the model at"</label>
            <output for="train-step-shown">{live(says)}</output>
            <input
                id="train-step-shown"
                type="range"
                min="0"
                max=move || snapshots.with(Vec::len).saturating_sub(1)
                step="1"
                disabled=live(empty)
                aria-valuetext=live(says)
                prop:value=move || place().to_string()
                on:input=look
            />
            <p class="small soft" id="train-looked">{live(note)}</p>
            <label class="train-check small">
                <input
                    type="checkbox"
                    id="train-follow"
                    disabled=live(empty)
                    prop:checked=move || follows.get()
                    on:change=move |event| follows.set(event_target_checked(&event))
                />
                "Follow while it learns"
            </label>
            <button
                type="button"
                id="train-back"
                disabled=move || lab.looked.get().is_none()
                on:click=move |_| {
                    follows.set(false);
                    lab.store.look_away();
                }
            >
                "Back to the model before"
            </button>
        </div>
    }
    .into_any()
}
