//! The token table: a map, any token's neighbours, and chance beside them.

use leptos::prelude::*;

use super::bars::{Bars, found};
use super::map::Map;
use super::token_list::TokenList;
use super::{Place, named};
use crate::protocol::embed::Near;
use crate::ui::chip::{Chip, Source};
use crate::ui::reactive::{effect, live, memo};
use crate::ui::store::Store;

/// The third panel.
#[component]
pub fn Explorer(
    /// What all figures share.
    store: Store,
    /// The picked token of the text, whose neighbours are shown until another is chosen here.
    place: Memo<Option<Place>>,
) -> impl IntoView {
    let picked = memo(move || place.get().map(|place| (place.index, place.id)));
    let own = RwSignal::new(None::<u32>);
    // Who picks in the text again wants to see that token.
    effect(move || {
        picked.track();
        own.set(None);
    });
    let chosen = memo(move || {
        let last = store.model.get()?.vocabulary.len();
        own.get().filter(|&id| (id as usize) < last).or(picked.get().map(|(_, id)| id))
    });
    let pick = Callback::new(move |id: u32| own.set(Some(id)));
    // The model is part of the question: another one has other neighbours.
    let found = found(store, 8, move || {
        store.model.track();
        chosen.get().map(Near::Token)
    });
    let name = move || chosen.get().map(|id| named(store.model.get().as_ref(), id));
    let chip = Signal::derive(move || {
        let shape = store.model.get().and_then(|model| Some(model.parameters.first()?.shape.clone()));
        shape.map_or_else(String::new, |shape| format!("wte {shape:?}"))
    });
    view! {
        <div class="panel embed-panel">
            <div class="embed-head">
                <h3>"Tokens that are used alike have like rows"</h3>
                <Chip source=Source::Live shape=chip />
            </div>
            <TokenList store=store chosen=chosen pick=pick />
            <div class="embed-explorer">
                <Map store=store chosen=chosen found=found pick=pick />
                <div>
                    <h4>"Nearest to " <b class="mono embed-name">{live(name)}</b></h4>
                    <Bars store=store found=found pick=pick label=Signal::derive(move || format!("Nearest to {}", name().unwrap_or_default())) />
                    <details>
                        <summary>"What chance has to do with it"</summary>
                        <p class="small">
                            "The nearest of many tokens is always somewhat near, even in a table of random numbers. So the same table is
                            shuffled: in each channel, the numbers are dealt out to the tokens anew. The hatched part of a bar is how near the same
                            rank came in the luckiest shuffle, the line how near on average. Only what reaches beyond the hatching says something
                            about the token."
                        </p>
                        <p class="small">"Cosines are of rows less their mean: all rows share a direction, which says nothing about any of them."</p>
                    </details>
                </div>
            </div>
        </div>
    }
}
