//! What belongs to no section: the model that is loaded, what computes, and what readers hear.

mod engine;
mod loading;
mod model;

use leptos::prelude::*;

use self::engine::EngineBar;
use self::loading::Loading;
use self::model::ModelLine;
use crate::ui::store::Store;

/// The bar under the title.
#[component]
pub fn Shell(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    view! {
        <ModelLine store=store />
        <Loading store=store />
        <EngineBar store=store />
        <p class="unseen" role="status" aria-live="polite" id="announcer">{store.announcer.text()}</p>
    }
}
