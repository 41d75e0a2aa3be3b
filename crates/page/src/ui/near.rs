//! Work that waits until somebody looks.

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use super::reactive::{effect, memo};
use super::store::Store;

/// Says when an element comes on screen for the first time. Not before a model is there, or cannot be: that is what a visitor waits for, and until
/// then sections are not where they will be.
pub fn watch(store: Store, element: NodeRef<Div>, seen: RwSignal<bool>) {
    let is_settled = memo(move || store.model.with(Option::is_some) || store.load_failure.with(Option::is_some));
    effect(move || {
        let Some(element) = element.get().filter(|_| is_settled.get()) else { return };
        let notice = Closure::<dyn FnMut(js_sys::Array, web_sys::IntersectionObserver)>::new(
            move |entries: js_sys::Array, observer: web_sys::IntersectionObserver| {
                let on_screen = |entry| web_sys::IntersectionObserverEntry::unchecked_from_js(entry).is_intersecting();
                if entries.iter().any(on_screen) {
                    observer.disconnect();
                    seen.set(true);
                }
            },
        );
        match web_sys::IntersectionObserver::new(notice.as_ref().unchecked_ref()) {
            Ok(observer) => observer.observe(&element),
            Err(_) => seen.set(true),
        }
        notice.forget();
    });
}
