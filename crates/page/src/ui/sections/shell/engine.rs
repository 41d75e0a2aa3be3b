//! Which engine computes and why, and a switch.

use leptos::prelude::*;

use crate::ui::reactive::live;
use crate::ui::segment::segment;
use crate::ui::store::Store;

/// The choices: their value in the address, and their name.
const CHOICES: [(&str, &str); 3] = [("", "Auto"), ("cpu", "CPU"), ("webgpu", "WebGPU")];

/// The switch and a sentence.
#[component]
pub fn EngineBar(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let choice = move || store.view.engine.get().filter(|engine| CHOICES.iter().any(|(value, _)| value == engine));
    let name = move || store.engine.with(|engine| engine.as_ref().map(|engine| engine.name.clone()));
    let reason = move || store.engine.with(|engine| engine.as_ref().map(|engine| engine.reason.clone()));
    let instead = move || store.engine.with(|engine| engine.as_ref().is_some_and(|engine| engine.instead));
    let choices = CHOICES.map(|(value, text)| {
        let chosen = move || choice().unwrap_or_default() == value;
        segment("engine", value, text, chosen, move || {
            store.view.engine.set((!value.is_empty()).then(|| value.to_owned()));
        })
    });
    view! {
        <div class="shell-row">
            <fieldset class="segments">
                <legend class="unseen">"What computes"</legend>
                {Vec::from(choices)}
            </fieldset>
            <p class="engine" class:engine-instead=live(instead)>
                <span class="engine-name">{move || name().unwrap_or_else(|| "Looking for what computes best here".into())}</span>
                ". "
                <span class="engine-reason">{live(reason)}</span>
            </p>
        </div>
    }
}
