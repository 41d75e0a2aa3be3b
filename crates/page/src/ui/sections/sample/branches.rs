//! Texts that were forked from each other.

use leptos::prelude::*;

use super::writing::Desk;
use crate::ui::reactive::{live, memo};

/// A button for each text, and the way back.
#[component]
pub fn Branches(
    /// Has them.
    desk: Desk,
) -> impl IntoView {
    // Its name says where it leaves the one before.
    let names = memo(move || {
        let current = desk.current.get();
        let given = desk.text.with(|text| text.given);
        desk.branches.with(|branches| {
            let given = branches.iter().enumerate().map(|(i, text)| if i == current { given } else { text.given });
            given
                .map(|given| if given == 0 { "first text".into() } else { format!("from character {given}") })
                .collect::<Vec<_>>()
        })
    });
    let buttons = move || {
        let buttons = names.get().into_iter().enumerate().map(|(i, name)| {
            let on = move || (desk.current.get() == i).to_string();
            view! { <button aria-pressed=live(on) on:click=move |_| desk.turn_to(i)>{name}</button> }
        });
        buttons.collect_view()
    };
    view! {
        <div class="sample-branches" role="group" aria-label="Texts" hidden=move || names.with(Vec::len) < 2>
            {live(buttons)}
            <button id="sample-back" disabled=move || desk.current.get() == 0 on:click=move |_| desk.back()>
                "Back: drop this one"
            </button>
        </div>
    }
}
