//! `#tokenize`.

use leptos::prelude::*;

use crate::ui::store::Store;

/// The figure of `#tokenize`.
#[component]
pub fn TokenizeFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let tokens = move || store.tokens.get().map_or(0, |tokens| tokens.tokens.len());
    view! { <p>{tokens} " tokens"</p> }
}
