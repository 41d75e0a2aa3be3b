//! Loads the model that the settings name, the shipped one where they name none.

use std::sync::Arc;

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::client::Heard;
use super::store::Store;
use crate::protocol::model::{EngineChoice, Load, UseEngine};

/// The shipped model's folder.
pub const SHIPPED: &str = "models/shakespeare";

/// Loads the model, and another one whenever the settings name one.
pub fn follow(store: Store) {
    let engine = store.view.engine;
    Effect::new(move || {
        let choice = match engine.get().as_deref() {
            Some("cpu") => EngineChoice::Cpu,
            Some("webgpu") => EngineChoice::WebGpu,
            _ => EngineChoice::Auto,
        };
        spawn_local(async move {
            match store.client.ask(UseEngine(choice)).answer().await {
                Ok(chosen) => store.engine.set(Some(chosen)),
                Err(failure) => store.load_failure.set(Some(failure)),
            }
        });
    });
    Effect::new(move || {
        let folder = store.view.model.get().unwrap_or_else(|| SHIPPED.into());
        spawn_local(load(store, Load::Url { folder }));
    });
}

async fn load(store: Store, load: Load) {
    store.load_failure.set(None);
    let mut conversation = store.client.ask(load);
    while let Some(heard) = conversation.next().await {
        match heard {
            Heard::Part(progress) => store.loading.set(Some(progress)),
            Heard::Answer(card) => {
                store.loading.set(None);
                store.model.set(Some(Arc::new(card)));
            }
            Heard::Failed(failure) => {
                store.loading.set(None);
                store.load_failure.set(Some(failure));
            }
        }
    }
}
