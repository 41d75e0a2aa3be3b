//! Text for elsewhere.

use leptos::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::store::Store;
use super::task;

/// Puts a text on the clipboard, and says what came of it.
pub fn copy(store: Store, text: &str, says: RwSignal<Option<&'static str>>) {
    let say = move |words: &'static str| {
        says.set(Some(words));
        store.announce(words);
    };
    let clipboard = window().navigator().clipboard();
    // Browsers give none to pages that came over plain http.
    if clipboard.is_undefined() {
        return say("There is no clipboard on a page without https.");
    }
    let copying = clipboard.write_text(text);
    task::start(async move {
        let copied = JsFuture::from(copying).await.is_ok();
        say(if copied { "Copied." } else { "The browser did not allow it." });
    });
}
