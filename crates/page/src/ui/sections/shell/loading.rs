//! A download under way, or what became of it.

use leptos::prelude::*;

use crate::protocol::model::LoadProgress;
use crate::ui::number::bytes;
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// The progress bar, or a sentence and a way on.
#[component]
pub fn Loading(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let is_loading = memo(move || store.loading.with(Option::is_some));
    let text = move || store.loading.with(|progress| progress.as_ref().map(words));
    let share = move || {
        store.loading.with(|progress| {
            let progress = progress.as_ref()?;
            Some(progress.received as f64 / progress.total.filter(|&total| total > 0)? as f64)
        })
    };
    let failure = move || {
        store.load_failure.with(|failure| {
            let message = failure.as_ref()?.message.trim_end();
            Some(format!("{message}{}", if message.ends_with(['.', '?', ')']) { "" } else { "." }))
        })
    };
    let failed = memo(move || store.load_failure.with(Option::is_some));
    let noted = memo(move || store.note.with(Option::is_some));
    let stays = move || {
        store.model.with(|model| model.as_ref().map(|model| format!(" What is loaded stays loaded: {}.", model.name)))
    };
    view! {
        <Show when=move || is_loading.get()>
            <div class="shell-row loading">
                <label class="loading-words" for="loading-bar">{live(text)}</label>
                <progress id="loading-bar" max="1" value=move || share().map(|share| share.to_string())></progress>
                <button type="button" id="stop-loading" on:click=move |_| store.stop_loading()>"Cancel"</button>
            </div>
        </Show>
        <Show when=move || noted.get()>
            <div class="shell-row">
                <p class="sentence" id="note">{store.note}</p>
                <button type="button" on:click=move |_| store.note.set(None)>"Dismiss"</button>
            </div>
        </Show>
        <Show when=move || failed.get()>
            <div class="shell-row">
                <p class="sentence" id="load-failure">{live(failure)} {live(stays)}</p>
                <button type="button" id="retry" on:click=move |_| store.retry()>"Try again"</button>
                <Show when=move || store.model.with(Option::is_some)>
                    <button type="button" on:click=move |_| store.load_failure.set(None)>"Dismiss"</button>
                </Show>
            </div>
        </Show>
    }
}

fn words(progress: &LoadProgress) -> String {
    let name = if progress.name.is_empty() { "the model" } else { &progress.name };
    if let Some(again) = &progress.again {
        return format!("Loading {name}: {again} …");
    }
    match progress.total {
        Some(total) if progress.received < total => {
            format!("Loading {name}: {} of {}", bytes(progress.received as f64), bytes(total as f64))
        }
        Some(_) => format!("Opening {name} …"),
        None if progress.received > 0 => format!("Loading {name}: {}", bytes(progress.received as f64)),
        None => format!("Loading {name} …"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        let progress = |received, total| LoadProgress { name: "Bard".into(), received, total, again: None };
        assert_eq!(words(&progress(0, None)), "Loading Bard …");
        assert_eq!(words(&progress(820_000, Some(1_640_000))), "Loading Bard: 820\u{202f}kB of 1.64\u{202f}MB");
        assert_eq!(words(&progress(5, Some(5))), "Opening Bard …");
    }
}
