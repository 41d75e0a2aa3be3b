//! The settings in the address, behind its `#`: no browser sends that to a server.

use leptos::ev::hashchange;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::UrlSearchParams;

use super::reactive::effect_from_last;
use super::store::Store;
use crate::view::{ViewState, split_fragment, to_fragment, to_query};

/// The settings that the address has. Links of old have them in the query, from where web/start.js has moved them if it could.
pub fn read() -> ViewState {
    let (query, fragment) = (window().location().search().unwrap_or_default(), fragment());
    let settings = split_fragment(&fragment).1.unwrap_or_default();
    parse(&format!("{}&{settings}", query.trim_start_matches('?')))
}

fn parse(settings: &str) -> ViewState {
    let Ok(parameters) = UrlSearchParams::new_with_str(settings) else { return ViewState::default() };
    let pairs: Vec<(String, String)> = js_sys::Array::from(&parameters)
        .iter()
        .filter_map(|pair| {
            let pair = js_sys::Array::from(&pair);
            Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
        })
        .collect();
    ViewState::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Keeps the address and the settings alike. Browsers allow some ten changes per second: while a slider moves, only where it comes to rest is
/// written.
pub fn follow(store: Store) {
    let view = store.view;
    effect_from_last(move |rest: Option<Option<TimeoutHandle>>| {
        if let Some(Some(rest)) = rest {
            rest.clear();
        }
        let state = view.state();
        set_timeout_with_handle(move || write(&state), std::time::Duration::from_millis(300)).ok()
    });
    // A link to a section has none, and keeps those that there are. Another address, or the way back, brings its own.
    window_event_listener(hashchange, move |_| {
        let fragment = fragment();
        let (section, Some(settings)) = split_fragment(&fragment) else {
            return untrack(|| write(&view.state()));
        };
        let state = parse(settings);
        if view.model.with_untracked(|model| *model != state.model) {
            store.opening.given.set(None);
        }
        view.set(state);
        // No element is called so: the browser does not go there by itself. On the way back it knows where it was.
        let is_new = window().history().and_then(|history| history.state()).is_ok_and(|state| state.is_null());
        if let Some(section) = document().get_element_by_id(section).filter(|_| is_new) {
            section.scroll_into_view();
        }
    });
}

fn fragment() -> String {
    window().location().hash().unwrap_or_default()
}

fn write(state: &ViewState) {
    let path = window().location().pathname().unwrap_or_default();
    let fragment = fragment();
    let address = path + &to_fragment(split_fragment(&fragment).0, &to_query(&state.to_pairs()));
    // A browser that refuses (a page out of a file) leaves the address as it was.
    let _ = window().history().and_then(|history| history.replace_state_with_url(&JsValue::TRUE, "", Some(&address)));
}
