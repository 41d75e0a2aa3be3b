//! What the model writes as it learns: the same prompt and dice each time, so that only the model differs.

use leptos::prelude::*;

use super::lab::Lab;
use crate::ui::number::count;
use crate::ui::reactive::memo;

/// Texts, newest first.
pub fn view(lab: Lab) -> AnyView {
    let samples = memo(move || lab.picked.get().map(|run| run.log.read().samples.clone()).unwrap_or_default());
    let list = move || {
        let item = |(step, text): &(u64, String)| {
            view! { <li><span class="train-sample-step">"step " {count(*step)}</span><span class="train-sample">{text.clone()}</span></li> }
        };
        samples.with(|samples| samples.iter().rev().map(item).collect_view())
    };
    view! {
        <h3>"What it writes as it learns"</h3>
        <ol
            class="train-samples"
            id="train-samples"
            class:train-none=move || samples.with(Vec::is_empty)
            tabindex="0"
            aria-label="Texts of the model, newest first"
        >
            {list}
        </ol>
    }
    .into_any()
}
