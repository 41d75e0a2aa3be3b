//! The next run: where it starts from, its text, and all its settings.

use leptos::prelude::*;

use super::fields;
use super::lab::Lab;
use super::presets::PRESETS;
use super::texts;
use crate::ui::number::{bytes, count};
use crate::ui::reactive::live;
use crate::ui::sections::stack::costs::about;

/// The panel.
pub fn view(lab: Lab) -> AnyView {
    let draft = lab.draft;
    let presets = PRESETS.iter().enumerate().map(|(at, preset)| {
        let minutes = move || match draft.seconds_of_preset(at) {
            Some(seconds) => format!("about {}", about(seconds)),
            None => "…".into(),
        };
        let pick = move |_| {
            // The same one again: what was changed since goes.
            if draft.preset.get_untracked() == at {
                draft.start_from(at);
            }
            lab.store.view.preset.set(Some(preset.name.into()));
        };
        view! {
            <button
                type="button"
                class="train-preset"
                data-preset=preset.name
                aria-pressed=move || (draft.preset.get() == at).to_string()
                on:click=pick
            >
                <b>{preset.label}</b>
                <span class="small soft">{live(minutes)}</span>
            </button>
        }
    });
    let says = move || PRESETS[draft.preset.get()].says;
    let open = RwSignal::new(false);
    view! {
        <div class="panel train-next">
            <h3>"A run to begin"</h3>
            <div class="train-presets" role="group" aria-label="Start from">{presets.collect_view()}</div>
            <p class="train-says small soft">{live(says)}</p>
            {texts::view(lab)}
            <details on:toggle=move |_| open.set(true)>
                <summary>"All settings"</summary>
                {move || open.get().then(|| fields::view(draft, lab.store.view))}
            </details>
            <p class="train-plan small soft">{move || plan(lab)}</p>
            <p class="sentence" id="train-trouble" role="status">{move || draft.trouble()}</p>
        </div>
    }
    .into_any()
}

/// What the run takes, in words.
fn plan(lab: Lab) -> String {
    let draft = lab.draft;
    let Some(Ok(plan)) = draft.plan.get() else { return String::new() };
    let (steps, batch) = draft.recipe.with(|recipe| (recipe.train.max_steps, plan.tokens_per_step));
    let time = match (draft.seconds(), draft.engine()) {
        (Some(seconds), Some(engine)) => format!(" That is about {} on this device ({engine}).", about(seconds)),
        (None, _) => " How long that takes is being measured.".into(),
        _ => String::new(),
    };
    format!(
        "{} weights learn from {} tokens ({} in the vocabulary) and are judged by {} others. {} steps of {} tokens; {} of memory.{time}",
        count(plan.parameters),
        count(plan.tokens.0),
        count(plan.vocab_size as u64),
        count(plan.tokens.1),
        count(steps),
        count(batch),
        bytes((plan.memory_bytes + plan.replica_bytes) as f64),
    )
}
