//! Everything on screen. The prose is in index.html and there before any program; each figure is mounted into its own placeholder, and fails
//! alone.

pub mod announce;
pub mod canvas;
pub mod chip;
pub mod client;
pub mod clipboard;
pub mod color;
pub mod keys;
pub mod learner;
pub mod model;
pub mod near;
pub mod number;
pub mod order;
pub mod reactive;
pub mod reading;
pub mod remote;
pub mod sections;
pub mod segment;
pub mod store;
pub mod task;

#[cfg(target_family = "wasm")]
mod address;
#[cfg(target_family = "wasm")]
mod failure;
#[cfg(target_family = "wasm")]
mod theme;

/// Starts the page.
pub fn start() {
    #[cfg(target_family = "wasm")]
    {
        failure::watch();
        // Fails only if it was done before.
        let _ = any_spawner::Executor::init_wasm_bindgen();
        let owner = leptos::prelude::Owner::new();
        owner.set();
        let client = client::Client::connect(|message| failure::show(&message));
        let store = store::Store::new(client, address::read(), theme::dark());
        address::follow(store);
        model::follow(store);
        sections::mount(store);
        // The page lives as long as its signals.
        std::mem::forget(owner);
    }
}
