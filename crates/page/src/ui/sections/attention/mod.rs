//! `#attention`: who looks at whom. One pass over the shared text; the query is picked on the text itself.

mod experiments;
mod heads;
mod map;
mod naming;
mod outcome;
mod paint;
mod row;
mod scale;
mod stages;
mod state;
mod strip;
mod tables;
mod text;

use leptos::prelude::*;

use self::experiments::Experiments;
use self::heads::{Heads, habit};
use self::map::Map;
use self::scale::Scale;
use self::stages::Stages;
use self::state::State;
use self::tables::Tables;
use self::text::TextLine;
use crate::ui::announce::tell;
use crate::ui::chip::{Chip, Source};
use crate::ui::color::{css, sequential};
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// The figure of `#attention`.
#[component]
pub fn AttentionFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let state = State::new(store);
    let text = store.view.text;
    let is_there = memo(move || state.view.get().is_some());
    let is_empty = move || store.tokens.get().is_some_and(|tokens| tokens.tokens.is_empty());
    let shape = Signal::derive(move || {
        let Some(view) = state.view.get() else { return String::new() };
        let (heads, n) = (view.heads, view.tokens.len());
        format!("h.{}.attn.probs [{heads}, {n}, {n}]", view.layer)
    });
    let title = move || {
        let view = state.view.get()?;
        Some(format!("Layer {}, head {}", view.layer, view.head))
    };
    let sentence = move || {
        let (layer, head) = state.preview.get().or_else(|| state.picked())?;
        habit(state, layer, head).map(|habit| habit.sentence())
    };
    tell(store, move || complaint(state));
    // What cannot be read with an experiment can be without: the way back stays.
    let is_read = move || is_there.get() || state.plain.get().is_some();
    view! {
        <div class="attn" on:keydown=move |event| if event.key() == "Escape" { state.key.set(None) }>
            <div class="panel attn-text">
                <div class="attn-head-line">
                    <h3>"The text: drag the query along it"</h3>
                    <Chip source=Source::Live shape/>
                </div>
                <div class:hidden=move || !is_there.get() || is_empty()><TextLine state/></div>
                <p class="sentence">{move || complaint(state)}</p>
                <p class="small soft">{move || remark(state)}</p>
                <label for="attention-text">"The text that all figures share"</label>
                <textarea
                    id="attention-text"
                    rows="2"
                    spellcheck="false"
                    prop:value=text
                    on:input=move |event| text.set(event_target_value(&event))
                ></textarea>
            </div>
            <div class="panel attn-pick" class:hidden=move || !is_there.get() class:stale=live(is_empty)>
                <div class="attn-all-heads">
                    <h3>"Every head"</h3>
                    <Heads state/>
                    <p class="small soft">"A row per layer. Point to look into a head, click or press Enter to stay; Esc goes back. Pictures show √w."</p>
                </div>
                <div class="attn-one-head">
                    <h3 id="attention-head">{live(title)}</h3>
                    <Map state/>
                    <p class="small attn-sentence" id="attention-habit">{live(sentence)}</p>
                </div>
            </div>
            <div class="panel" class:hidden=move || !is_there.get() class:stale=live(is_empty)>
                <div class="attn-head-line">
                    <h3>"One query’s row, step by step"</h3>
                    <Legend state/>
                </div>
                <Stages state/>
                <Tables state/>
            </div>
            <div class="panel attn-experiments" class:hidden=move || !is_read() class:stale=live(is_empty)>
                <h3>"Take something away"</h3>
                <Experiments state/>
            </div>
        </div>
    }
}

/// Which scale weights are drawn in, and what its colours stand for.
#[component]
fn Legend(state: State) -> impl IntoView {
    let swatch = move |at: usize| {
        let color = move || css(sequential(at as f32 / 4.0, state.store.dark.get()));
        view! {
            <span class="attn-tick">
                <span class="attn-swatch" style:background-color=live(color)></span>
                {move || state.scale.get().ticks()[at]}
            </span>
        }
    };
    let options = Scale::ALL.map(|scale| {
        view! { <option value=(scale as usize).to_string()>{scale.name()}</option> }
    });
    view! {
        <div class="attn-legend">
            <label for="attention-scale">"Weights drawn as"</label>
            <select
                id="attention-scale"
                on:change=move |event| state.scale.set(Scale::from_value(&event_target_value(&event)))
            >{options}</select>
            <span class="attn-ticks small" aria-label="weight">
                {(0..5).map(swatch).collect::<Vec<_>>()}
                <span class="attn-tick"><span class="attn-swatch masked"></span>"masked"</span>
            </span>
        </div>
    }
}

/// Why there is nothing, or less than was asked for.
fn complaint(state: State) -> Option<String> {
    let store = state.store;
    if let Some(failure) = store.tokens.failure.get() {
        return Some(failure.message);
    }
    let tokens = store.tokens.get()?;
    if let Some(unknown) = &tokens.unknown {
        let rest = if tokens.tokens.is_empty() {
            "Nothing stands before it that could be"
        } else {
            "What stands before it is"
        };
        return Some(format!("The model has no token for ‘{}’. {rest} read.", unknown.character));
    }
    if tokens.tokens.is_empty() {
        return Some("The text is empty: there is nobody to look at anybody. Type something.".into());
    }
    state.plain.failure.get().or_else(|| state.view.failure.get()).map(|failure| failure.message)
}

/// What to know of this text.
fn remark(state: State) -> Option<String> {
    let view = state.view.get()?;
    let n = view.tokens.len();
    if view.skipped > 0 {
        return Some(format!("The model reads {n} tokens at most: the first {} are left out.", view.skipped));
    }
    (n == 1).then(|| "One token has nobody but itself to look at: its weight is 1, whatever the score.".into())
}
