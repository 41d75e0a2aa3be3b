//! `#attention`.

pub mod naming;
pub mod row;
pub mod scale;
pub mod state;
use leptos::prelude::*;

use crate::ui::store::Store;

/// The figure of `#attention`.
#[component]
pub fn AttentionFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let tokens = move || store.tokens.get().map_or(0, |tokens| tokens.tokens.len());
    view! { <p>{tokens} " tokens"</p> }
}
