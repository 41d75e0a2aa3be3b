//! `#own`: opening another model, from files or an address, and saving the one there is.

mod drop;
pub mod files;
pub mod save;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use self::drop::DropOverlay;
use self::save::Save;
use crate::ui::store::Store;

/// The figure of `#own`.
#[component]
pub fn OwnFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let chosen = move |event: web_sys::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<web_sys::HtmlInputElement>().ok()) else {
            return;
        };
        files::take(store, input.files().map(|list| files::of_list(&list)).unwrap_or_default());
        // The same files can be chosen again.
        input.set_value("");
    };
    let address = RwSignal::new(store.view.model.get_untracked().unwrap_or_default());
    let load = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let typed = address.get_untracked().trim().to_owned();
        store.open_address((!typed.is_empty()).then_some(typed));
        files::show_shell();
    };
    view! {
        <div class="own">
            <div class="panel own-drop">
                <p class="own-lead">"Drop a folder or its files here, or anywhere on this page."</p>
                <div class="controls">
                    <span class="picker">
                        <input type="file" id="own-folder" class="unseen" prop:webkitdirectory=true multiple on:change=chosen />
                        <label class="button primary" for="own-folder">"Choose a folder"</label>
                    </span>
                    <span class="picker">
                        <input type="file" id="own-files" class="unseen" multiple on:change=chosen />
                        <label class="button" for="own-files">"Choose files"</label>
                    </span>
                </div>
                <p class="small soft">"They are read in this tab and sent nowhere. A reload forgets them."</p>
            </div>
            <form class="panel own-address" on:submit=load>
                <label for="own-url">"A folder's address, or a model's page on Hugging Face"</label>
                <div class="controls">
                    <input
                        type="text"
                        inputmode="url"
                        id="own-url"
                        placeholder="https://example.org/my-model"
                        autocomplete="off"
                        spellcheck="false"
                        prop:value=move || address.get()
                        on:input=move |event| address.set(event_target_value(&event))
                    />
                    <button type="submit">"Load"</button>
                </div>
                <p class="small soft">
                    "Your browser asks that server, and no other. It must allow other sites to read its files (CORS)."
                </p>
            </form>
            <Save store=store />
            <details>
                <summary>"What can be opened"</summary>
                <ul class="small">
                    <li>"What " <code>"trainer"</code> " leaves: a run (its best checkpoint is taken), or an exported or merged model."</li>
                    <li>
                        "GPT-2, Llama, Mistral and Qwen3 as " <code>"transformers"</code>
                        " saves them: config.json, tokenizer.json and model.safetensors, in one file or several."
                    </li>
                    <li>"A .zip that this page saved."</li>
                    <li>"A .txt or .md becomes the text that the figures look at; under Training a model can learn from all of it."</li>
                    <li>"Adapters (LoRA) have to be merged into their model first; pickles (.bin, .pt) are not read, as they can run programs."</li>
                    <li>"A tab has room for some hundred million parameters, in float32."</li>
                </ul>
            </details>
        </div>
        <DropOverlay store=store />
    }
}
