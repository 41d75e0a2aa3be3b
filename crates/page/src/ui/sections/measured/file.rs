//! A file, fetched once its figure is looked at. index.html names it in `data-file` of the figure's place, where the build puts the name that
//! says its content.

use std::sync::Arc;

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::entry::{Entry, Source};
use crate::ui::near;
use crate::ui::reactive::effect;
use crate::ui::store::Store;
use crate::ui::task;

/// What a figure knows of its file.
#[derive(Clone, Copy)]
pub struct Recorded {
    /// Once it is there.
    pub entries: RwSignal<Option<Arc<Vec<Entry>>>>,
    /// Why it is not.
    pub failure: RwSignal<Option<&'static str>>,
    /// What is looked at.
    pub figure: NodeRef<Div>,
}

impl Recorded {
    /// Of the figure in this place.
    pub fn of(store: Store, place: &'static str) -> Self {
        let recorded =
            Self { entries: RwSignal::new(None), failure: RwSignal::new(None), figure: NodeRef::<Div>::new() };
        let seen = RwSignal::new(false);
        near::watch(store, recorded.figure, seen);
        effect(move || {
            if seen.get() {
                task::start(async move {
                    match fetch(place).await.map(|file| Entry::read_all(&file)) {
                        Some(Some(entries)) => recorded.entries.set(Some(Arc::new(entries))),
                        Some(None) => recorded.failure.set(Some(
                            "The file of measured runs is none that this page can read: it may be of another version. Reload the page.",
                        )),
                        None => recorded.failure.set(Some(
                            "The file of measured runs could not be loaded. The connection may be down; reload the page to try again.",
                        )),
                    }
                });
            }
        });
        recorded
    }
}

async fn fetch(place: &str) -> Option<JsValue> {
    let address = document().get_element_by_id(place)?.get_attribute("data-file")?;
    let response = JsFuture::from(window().fetch_with_str(&address)).await.ok()?;
    let response: web_sys::Response = response.unchecked_into();
    if !response.ok() {
        return None;
    }
    JsFuture::from(response.json().ok()?).await.ok()
}

impl Source for JsValue {
    fn text(&self, key: &str) -> Option<String> {
        get(self, key)?.as_string()
    }

    fn number(&self, key: &str) -> Option<f64> {
        get(self, key)?.as_f64()
    }

    fn list(&self, key: &str) -> Option<Vec<Self>> {
        Some(get(self, key)?.dyn_into::<js_sys::Array>().ok()?.iter().collect())
    }
}

fn get(value: &JsValue, key: &str) -> Option<JsValue> {
    js_sys::Reflect::get(value, &JsValue::from_str(key)).ok()
}
