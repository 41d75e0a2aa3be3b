//! `#stack`.

use leptos::prelude::*;

use crate::ui::store::Store;

/// The figure of `#stack`.
#[component]
pub fn StackFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let tokens = move || store.tokens.get().map_or(0, |tokens| tokens.tokens.len());
    view! { <p>{tokens} " tokens"</p> }
}
