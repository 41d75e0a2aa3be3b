//! What a signed colour means.

use leptos::prelude::*;

use crate::ui::canvas::{Picture, Pixels};
use crate::ui::color::signed;
use crate::ui::store::Store;

/// From `−limit` over 0 to `limit`, as colours.
#[component]
pub fn SignedLegend(
    /// What all figures share.
    store: Store,
    /// The largest value, as it is written.
    #[prop(into)]
    limit: Signal<String>,
) -> impl IntoView {
    let picture = Signal::derive(move || {
        Picture::new(65, 1, |_, column| Some(signed(column as f32 / 32.0 - 1.0, store.dark.get())))
    });
    view! {
        <span class="embed-legend">
            <span>"−" {move || limit.get()}</span>
            <Pixels picture=picture class="embed-ramp" />
            <span>{move || limit.get()}</span>
            <span class="soft">"blue is below zero, orange above, blank is 0"</span>
        </span>
    }
}
