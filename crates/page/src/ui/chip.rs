//! What a figure's numbers are: computed just now, recorded from a run, or made up to explain; and their shape.

use leptos::prelude::*;

/// Where numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The loaded model, in this tab.
    Live,
    /// A run of the trainer.
    Recorded,
    /// Nobody computed them.
    Illustrative,
}

/// The chip in a figure's corner.
#[component]
pub fn Chip(
    /// Where the numbers come from.
    source: Source,
    /// The tensor's name and shape, `h.0.attn.probs [4, 128, 128]`. Where it is empty there are no numbers, and no chip.
    #[prop(into)]
    shape: Signal<String>,
) -> impl IntoView {
    let (class, word) = match source {
        Source::Live => ("chip chip-live", "live"),
        Source::Recorded => ("chip chip-recorded", "recorded"),
        Source::Illustrative => ("chip chip-illustrative", "illustrative"),
    };
    view! {
        <span class=class hidden=move || shape.with(String::is_empty)>
            <span class="chip-source">{word}</span>
            <span class="chip-shape">{shape}</span>
        </span>
    }
}
