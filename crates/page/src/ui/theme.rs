//! Light or dark, as the visitor's system has it.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::MediaQueryListEvent;

/// Whether colours are dark, now and whenever the system changes its mind.
pub fn dark() -> RwSignal<bool> {
    let query = window().match_media("(prefers-color-scheme: dark)").ok().flatten();
    let dark = RwSignal::new(query.as_ref().is_some_and(web_sys::MediaQueryList::matches));
    if let Some(query) = query {
        let on_change = Closure::<dyn FnMut(MediaQueryListEvent)>::new(move |change: MediaQueryListEvent| {
            dark.set(change.matches());
        });
        query.set_onchange(Some(on_change.as_ref().unchecked_ref()));
        on_change.forget();
    }
    dark
}
