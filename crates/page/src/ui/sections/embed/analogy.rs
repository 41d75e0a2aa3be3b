//! `a` is to `A` as `b` is to whom?

use leptos::prelude::*;

use super::bars::{Bars, found};
use super::token_list::{searching, whole};
use super::{named, spoken};
use crate::protocol::embed::Near;
use crate::protocol::model::ModelCard;
use crate::ui::announce::tell;
use crate::ui::chip::{Chip, Source};
use crate::ui::reactive::{effect, live, memo};
use crate::ui::store::Store;

/// Questions to begin with; those are offered whose tokens the vocabulary has.
const PRESETS: [[&str; 3]; 9] = [
    ["a", "A", "b"],
    ["e", "E", "t"],
    ["h", "H", "w"],
    ["s", "S", "d"],
    ["m", "n", "M"],
    [".", "!", ";"],
    [" man", " woman", " king"],
    [" France", " Paris", " Italy"],
    [" walk", " walked", " talk"],
];

fn ids(model: &ModelCard, texts: [&str; 3]) -> Option<[u32; 3]> {
    let id = |text: &str| model.vocabulary.iter().position(|token| token == text).map(|id| id as u32);
    Some([id(texts[0])?, id(texts[1])?, id(texts[2])?])
}

/// The presets that a vocabulary can ask.
fn presets(model: &ModelCard) -> Vec<[u32; 3]> {
    PRESETS.into_iter().filter_map(|texts| ids(model, texts)).collect()
}

/// The fourth panel.
#[component]
pub fn Analogies(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let presets = memo(move || store.model.get().map(|model| presets(&model)).unwrap_or_default());
    let size = memo(move || store.model.get().map_or(0, |model| model.vocabulary.len() as u32));
    let own = RwSignal::new(None::<[u32; 3]>);
    // Another model has other tokens.
    effect(move || {
        store.model.track();
        own.set(None);
    });
    let given = memo(move || {
        let size = size.get();
        let fallback = presets.get().first().copied().or((size > 3).then_some([0, 1, 2]));
        own.get().filter(|ids| ids.iter().all(|&id| id < size)).or(fallback)
    });
    let found = found(store, 5, move || {
        store.model.track();
        given.get().map(|[a, b, c]| Near::Analogy(a, b, c))
    });
    let put = move |place: usize, id: u32| {
        if let Some(mut ids) = given.get_untracked() {
            ids[place] = id;
            own.set(Some(ids));
        }
    };
    let name = move |id: u32| named(store.model.get().as_ref(), id);
    let field = move |place: usize, label: &'static str| {
        let chosen = move || given.get().map(|ids| ids[place]);
        let small = memo(move || whole(store));
        move || {
            if !small.get() {
                return view! { <div><b class="mono embed-name">{move || chosen().map(name)}</b> {searching(store, label, Callback::new(move |id| put(place, id)))}</div> }.into_any();
            }
            let option = move |id: u32| {
                let model = store.model.get();
                let (name, ear) = (named(model.as_ref(), id), spoken(model.as_ref(), id));
                view! { <option value=id.to_string() aria-label=ear selected=move || chosen() == Some(id)>{name}</option> }
            };
            view! {
                <select
                    class="mono"
                    aria-label=label
                    data-analogy=place
                    prop:value=move || chosen().map(|id| id.to_string())
                    on:change=move |event| if let Ok(id) = event_target_value(&event).parse() { put(place, id) }
                >
                    {move || (0..size.get()).map(option).collect_view()}
                </select>
            }
            .into_any()
        }
    };
    let answer = move || found.nearest.get().and_then(|found| found.nearest.first().map(|&(id, _)| name(id)));
    tell(store, move || {
        let ([a, b, c], answer) = (own.get()?, answer()?);
        Some(format!("{} is to {} as {} is to {answer}.", name(a), name(b), name(c)))
    });
    let buttons = move || {
        let button = |ids: [u32; 3]| {
            let [a, b, c] = ids.map(name);
            view! {
                <button type="button" class="mono" aria-pressed=move || (given.get() == Some(ids)).to_string() on:click=move |_| own.set(Some(ids))>
                    {format!("{a} : {b} = {c} : ?")}
                </button>
            }
        };
        presets.get().into_iter().map(button).collect_view()
    };
    let chip = Signal::derive(move || {
        let width = store
            .model
            .get()
            .map_or(0, |model| model.parameters.first().map_or(0, |table| table.shape.last().copied().unwrap_or(0)));
        format!("wte[B] − wte[A] + wte[C] [{width}]")
    });
    view! {
        <div class="panel embed-panel">
            <div class="embed-head">
                <h3>"Steps between tokens"</h3>
                <Chip source=Source::Live shape=chip />
            </div>
            <p class="small">
                "If going from " <i>"a"</i> " to " <i>"A"</i> " is a direction of its own, the same step from " <i>"b"</i> " should lead to " <i>"B"</i> "."
            </p>
            <div class="embed-question">
                {field(0, "From")} <span>"is to"</span> {field(1, "to")} <span>"as"</span> {field(2, "so from")} <span>"is to"</span>
                <b class="mono embed-answer" id="embed-answer">{live(answer)}</b>
            </div>
            <div class="controls embed-presets">{live(buttons)}</div>
            <Bars store=store found=found label="Nearest to where the step leads" pick=Callback::new(move |id| put(2, id)) />
        </div>
    }
}
