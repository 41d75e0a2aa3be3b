//! What belongs to no section: the model that is loaded, what computes, and opening another model.

use leptos::prelude::*;

use crate::ui::number::count;
use crate::ui::store::Store;

/// The bar under the title.
#[component]
pub fn Shell(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let model = move || store.model.get().map(|model| model.name.clone());
    let parameters = move || {
        let model = store.model.get()?;
        let numbers = model.parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>() as u64);
        Some(format!("{} parameters", count(numbers.sum())))
    };
    let failure = move || store.load_failure.get().map(|failure| failure.message);
    view! {
        <span class="model-name">{model}</span>
        <span>{parameters}</span>
        <span class="engine-name">{move || store.engine.get().map(|engine| engine.name)}</span>
        <span class="sentence">{failure}</span>
    }
}
