//! The loaded model, to be kept.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlAnchorElement, Url};

use crate::protocol::model::{SaveModel, SavedModel};
use crate::ui::store::Store;
use crate::ui::task;

/// A button that saves the model.
#[component]
pub fn Save(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let failure = RwSignal::new(None);
    let busy = RwSignal::new(false);
    let save = move |_| {
        busy.set(true);
        failure.set(None);
        task::start(async move {
            match store.client.ask(SaveModel).answer().await {
                Ok(saved) => {
                    if download(&saved).is_none() {
                        failure.set(Some("This browser does not let the page save a file.".to_owned()));
                    }
                }
                Err(problem) => failure.set(Some(problem.message)),
            }
            busy.set(false);
        });
    };
    view! {
        <div class="own-save controls">
            <button type="button" id="save-model" disabled=move || busy.get() || store.model.with(Option::is_none) on:click=save>
                "Save this model"
            </button>
            <span class="small soft">"One .zip with the folder that trainer, transformers and this page open."</span>
        </div>
        <p class="sentence">{failure}</p>
    }
}

/// Has the browser save it.
pub fn download(saved: &SavedModel) -> Option<()> {
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(&saved.bytes[..]));
    let url = Url::create_object_url_with_blob(&Blob::new_with_u8_array_sequence(&parts).ok()?).ok()?;
    let anchor: HtmlAnchorElement = document().create_element("a").ok()?.unchecked_into();
    anchor.set_href(&url);
    anchor.set_download(&saved.name);
    anchor.click();
    // The download has begun by then.
    set_timeout(
        move || {
            let _ = Url::revoke_object_url(&url);
        },
        std::time::Duration::from_secs(60),
    );
    Some(())
}
