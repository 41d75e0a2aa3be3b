//! Toggles that teach: take something away, and see what the model made of it.

use leptos::prelude::*;

use super::outcome::{chance, likeliest, logits_after, mean, softmax};
use super::state::State;
use crate::protocol::attention::Experiment;
use crate::ui::announce::tell;
use crate::ui::number::three;
use crate::ui::reactive::{live, memo};
use crate::ui::reading::format_heads;

/// The toggles and what they do.
#[component]
pub fn Experiments(
    /// Of the figure.
    state: State,
) -> impl IntoView {
    let settings = state.store.view;
    let is_changed = move || state.experiment.get() != Experiment::default();
    let reset = move |_| {
        settings.unscaled.set(false);
        settings.unmasked.set(false);
        settings.ablated.set(String::new());
    };
    let failure = move || is_changed().then(|| state.changed.failure.get()).flatten().map(|failure| failure.message);
    tell(state.store, failure);
    view! {
        <div class="attn-toggles">
            <Toggle
                id="attention-scale-off"
                label="Scale off"
                note="scores go into the softmax undivided: a few keys take all"
                on=settings.unscaled
            />
            <Toggle
                id="attention-mask-off"
                label="Mask off"
                note="later characters leak in: a model trained so would copy the answer, this one never met them and is confused"
                on=settings.unmasked
            />
            <Zeroing state/>
            <button id="attention-reset" on:click=reset disabled=move || !is_changed()>"Undo all"</button>
        </div>
        <p class="sentence">{live(failure)}</p>
        <Loss state/>
        <Next state/>
    }
}

#[component]
fn Toggle(id: &'static str, label: &'static str, note: &'static str, on: RwSignal<bool>) -> impl IntoView {
    view! {
        <label class="attn-toggle">
            <input
                id=id
                type="checkbox"
                prop:checked=on
                on:change=move |event| on.set(event_target_checked(&event))
            />
            <span><b>{label}</b>" "<span class="soft">{note}</span></span>
        </label>
    }
}

/// A button for the picked head, and the heads that are zeroed.
#[component]
fn Zeroing(state: State) -> impl IntoView {
    let ablated = state.store.view.ablated;
    let heads = memo(move || state.experiment.get().ablated);
    let toggle = move |at: (usize, usize)| {
        let mut now = heads.get_untracked();
        match now.binary_search(&at) {
            Ok(found) => drop(now.remove(found)),
            Err(place) => now.insert(place, at),
        }
        ablated.set(format_heads(&now));
    };
    let is_zeroed = move || state.picked().is_some_and(|at| heads.get().contains(&at));
    let name = move || {
        let (layer, head) = state.picked()?;
        Some(format!("Zero head {layer}.{head}"))
    };
    view! {
        <div class="attn-zeroing">
            <button
                id="attention-zero"
                aria-pressed=move || is_zeroed().to_string()
                on:click=move |_| {
                    if let Some(at) = untrack(move || state.picked()) {
                        toggle(at);
                    }
                }
            >{live(name)}</button>
            <span class="soft small">"the picked head says nothing more to the rest of the model"</span>
            <ul class="attn-zeroed" aria-label="Zeroed heads">
                <For each=move || heads.get() key=|at| *at let:at>
                    <li>
                        <button
                            data-zeroed=format_heads(&[at])
                            aria-label=format!("Bring back head {}", format_heads(&[at]))
                            on:click=move |_| toggle(at)
                        >{format_heads(&[at])}" ×"</button>
                    </li>
                </For>
            </ul>
        </div>
    }
}

/// The loss of the text, before and after.
#[component]
fn Loss(state: State) -> impl IntoView {
    let losses = move || {
        let (plain, changed) = state.passes.get()?;
        Some((mean(&plain.losses)?, changed.and_then(|changed| mean(&changed.losses))))
    };
    let before = move || losses().map(|(before, _)| three(before));
    let after = move || {
        let (before, after) = losses()?;
        let difference = after? - before;
        let sign = if difference > 0.0 { "+" } else { "" };
        Some((three(after?), format!("{sign}{}", three(difference)), difference > 0.0))
    };
    let single = move || {
        state
            .passes
            .get()
            .filter(|_| losses().is_none())
            .map(|_| "One token: nothing was guessed, so there is no loss. Type a second one.")
    };
    view! {
        <p class="attn-loss">
            {live(single)}
            {move || before().map(|before| view! {
                "Loss of this text: "
                <b id="attention-loss" class="mono">{before}</b>
                {move || after().map(|(after, difference, worse)| view! {
                    " → "
                    <b id="attention-loss-after" class="mono">{after}</b>
                    " ("
                    <span class=if worse { "attn-worse" } else { "attn-better" }>{difference}</span>
                    ")"
                })}
                " nats per token"
            })}
        </p>
    }
}

/// Chances of the next token, before and after.
#[component]
fn Next(state: State) -> impl IntoView {
    // The query among the tokens of the passes, as far as these have its logits.
    let place = memo(move || {
        let (plain, _) = state.passes.get()?;
        let (n, vocab) = (plain.tokens.len(), state.store.model.get()?.config.vocab_size);
        let query = state.row.get()?.query.min(n - 1);
        let at = if logits_after(&plain.logits, vocab, n, query).1 { query } else { n - 1 };
        Some((at, n, vocab))
    });
    let tokens = memo(move || {
        let ((plain, changed), (at, n, vocab)) = (state.passes.get()?, place.get()?);
        let chances = |logits: &[f32]| {
            let whole = logits.len() >= vocab && logits.len().is_multiple_of(vocab);
            whole.then(|| softmax(logits_after(logits, vocab, n, at).0))
        };
        let before = chances(&plain.logits)?;
        let after = changed.and_then(|changed| chances(&changed.logits));
        Some((likeliest(&before, after.as_ref().unwrap_or(&before)), after.is_some()))
    });
    let actual = memo(move || {
        let ((plain, _), (at, ..)) = (state.passes.get()?, place.get()?);
        plain.tokens.get(at + 1).copied()
    });
    let heading = move || {
        let (((plain, _), (at, ..)), skipped) = (state.passes.get().zip(place.get())?, state.view.get()?.skipped);
        let here = state.glyph(*plain.tokens.get(at)?);
        let goes_on = actual.get().map_or_else(
            || ", the last token".to_owned(),
            |next| format!("; the text goes on with ‘{}’", state.glyph(next)),
        );
        Some(format!("What the model expects after query {}, ‘{here}’{goes_on}", at + skipped))
    };
    let is_pair = memo(move || tokens.with(|tokens| tokens.as_ref().is_some_and(|(_, pair)| *pair)));
    // Ten rows that stay; what is in them changes.
    let row = move |at: usize| {
        let token = memo(move || tokens.with(|tokens| tokens.as_ref().and_then(|t| t.0.get(at).copied())));
        let width = move |pick: fn((u32, f32, f32)) -> f32| {
            token.get().map(|token| {
                let mut width = (f64::from(pick(token)) * 100.0).to_string();
                width.push('%');
                width
            })
        };
        view! {
            <li
                class="attn-next-token"
                class:actual=move || token.get().map(|token| token.0) == actual.get() && actual.get().is_some()
                hidden=move || token.get().is_none()>
                <span class="mono attn-next-glyph">{move || token.get().map(|token| state.glyph(token.0))}</span>
                <span class="attn-next-bars" aria-hidden="true">
                    <span class="attn-bar attn-bar-before" style:width=move || width(|token| token.1)></span>
                    <span class="attn-bar attn-bar-after" hidden=move || !is_pair.get() style:width=move || width(|token| token.2)></span>
                </span>
                <span class="mono small attn-next-number">
                    {move || token.get().map(|token| chance(token.1))}
                    {move || token.get().filter(|_| is_pair.get()).map(|token| view! {
                        <span class="unseen">" then "</span>
                        <span class="attn-next-after">{chance(token.2)}</span>
                    })}
                </span>
            </li>
        }
    };
    view! {
        <p class="small soft attn-next-head">
            <span id="attention-next-heading">{live(heading)}</span>
            <span class="attn-key" hidden=move || !is_pair.get()>
                <span class="attn-bar-before"></span>"as it is"
                <span class="attn-bar-after"></span>"with the experiment"
            </span>
        </p>
        <ol class="attn-next" id="attention-next">{(0..10).map(row).collect::<Vec<_>>()}</ol>
    }
}
