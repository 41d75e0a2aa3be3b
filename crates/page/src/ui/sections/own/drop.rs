//! Files dropped anywhere on the page.

use leptos::ev;
use leptos::prelude::*;
use web_sys::DragEvent;

use super::files;
use crate::ui::store::Store;
use crate::ui::task;

/// Covers the page while files are dragged over it, and takes them.
#[component]
pub fn DropOverlay(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let over = RwSignal::new(false);
    let has_files =
        |event: &DragEvent| event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0));
    let hover = move |event: DragEvent| {
        // Text that is dragged into a field is none of ours.
        if has_files(&event) {
            event.prevent_default();
            over.set(true);
        }
    };
    let leave = move |event: DragEvent| {
        // Only out of the window: inside, one element is left for another.
        if event.related_target().is_none() {
            over.set(false);
        }
    };
    let taken = move |event: DragEvent| {
        over.set(false);
        if !has_files(&event) {
            return;
        }
        event.prevent_default();
        let Some(data) = event.data_transfer() else { return };
        let found = files::of_drop(&data);
        task::start(async move { files::take(store, found.await) });
    };
    let listeners = [
        window_event_listener(ev::dragenter, hover),
        window_event_listener(ev::dragover, hover),
        window_event_listener(ev::dragleave, leave),
        window_event_listener(ev::drop, taken),
    ];
    on_cleanup(move || listeners.into_iter().for_each(WindowListenerHandle::remove));
    view! {
        <div class="drop-overlay" class:drop-over=move || over.get() aria-hidden="true">
            <p>"Drop a model's folder, its files, or a text"</p>
        </div>
    }
}
