//! The settings in the address.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::UrlSearchParams;

use super::reactive::effect_from_last;
use crate::view::{View, ViewState, to_query};

/// The settings that the address has.
pub fn read() -> ViewState {
    let search = window().location().search().unwrap_or_default();
    let Ok(parameters) = UrlSearchParams::new_with_str(&search) else { return ViewState::default() };
    let pairs: Vec<(String, String)> = js_sys::Array::from(&parameters)
        .iter()
        .filter_map(|pair| {
            let pair = js_sys::Array::from(&pair);
            Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
        })
        .collect();
    ViewState::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Keeps the address up to date. Browsers allow some ten changes per second: while a slider moves, only where it comes to rest is written.
pub fn follow(view: View) {
    effect_from_last(move |rest: Option<Option<TimeoutHandle>>| {
        if let Some(Some(rest)) = rest {
            rest.clear();
        }
        let state = view.state();
        set_timeout_with_handle(move || write(&state), std::time::Duration::from_millis(300)).ok()
    });
}

fn write(state: &ViewState) {
    let location = window().location();
    let query = to_query(&state.to_pairs());
    let path = location.pathname().unwrap_or_default();
    let hash = location.hash().unwrap_or_default();
    let address = if query.is_empty() { format!("{path}{hash}") } else { format!("{path}?{query}{hash}") };
    // A browser that refuses (a page out of a file) leaves the address as it was.
    let _ = window().history().and_then(|history| history.replace_state_with_url(&JsValue::NULL, "", Some(&address)));
}
