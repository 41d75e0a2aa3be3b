//! Work that waits until somebody looks.

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use super::reactive::effect;

/// Says when an element comes on screen for the first time.
pub fn watch(element: NodeRef<Div>, seen: RwSignal<bool>) {
    effect(move || {
        let Some(element) = element.get() else { return };
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
