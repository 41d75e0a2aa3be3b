//! The loaded model in a line.

use leptos::prelude::*;

use crate::protocol::model::{ModelCard, Origin};
use crate::ui::model::SHIPPED;
use crate::ui::number::{bytes, count, three};
use crate::ui::reactive::memo;
use crate::ui::store::Store;

/// Name, sizes, quality and where it is from.
#[component]
pub fn ModelLine(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    // Also where another model was asked for and did not come.
    let foreign = memo(move || {
        store.view.model.with(|model| model.as_ref().is_some_and(|model| model != SHIPPED))
            || store.opening.given.with(Option::is_some)
            || store.model.with(|model| model.as_ref().is_some_and(|model| !is_ours(model.origin)))
    });
    // The progress bar takes its place, so that the first model moves nothing.
    let visible = memo(move || store.loading.with(Option::is_none) || store.model.with(Option::is_some));
    view! {
        <div class="shell-row" hidden=move || !visible.get()>
            {move || {
                store
                    .model
                    .get()
                    .map(|model| {
                        let loss = model.val_loss.map(|loss| {
                            view! {
                                <span title="Validation loss: mean nats per token on text it was not trained on. Lower is better.">
                                    "val loss " <b>{three(loss)}</b>
                                </span>
                            }
                        });
                        view! {
                            <span class="model-name">{model.name.clone()}</span>
                            <span><b>{count(model.config.num_parameters())}</b> " parameters"</span>
                            {loss}
                            <span>{vocabulary(&model)}</span>
                            <span>{origin(&model)}</span>
                        }
                    })
            }}
            <span class="shell-actions">
                <Show when=move || foreign.get()>
                    <button type="button" id="shipped" on:click=move |_| store.open_address(None)>"Back to Shakespeare"</button>
                </Show>
                <a href="#own">"Open your own"</a>
            </span>
        </div>
        <p class="shell-note">{move || store.model.with(|model| model.as_ref()?.note.clone())}</p>
    }
}

fn is_ours(origin: Origin) -> bool {
    matches!(origin, Origin::Checked { .. })
}

fn vocabulary(model: &ModelCard) -> String {
    let kind = match model.tokenizer.as_str() {
        "char" => "characters",
        "byte" => "bytes",
        _ => "byte-pair tokens",
    };
    format!("{} {kind}", count(model.vocabulary.len() as u64))
}

fn origin(model: &ModelCard) -> String {
    let size = bytes(model.bytes as f64);
    match model.origin {
        Origin::Checked { cached: false } => format!("{size}, checked by SHA-256"),
        Origin::Checked { cached: true } => format!("{size}, kept from an earlier visit, checked by SHA-256"),
        Origin::Address => format!("{size} from the address you gave"),
        Origin::Files => format!("{size} from your files"),
        Origin::Run => format!("{size} from the run in Training"),
    }
}
