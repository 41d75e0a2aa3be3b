//! The text for those who do not see it, and for elsewhere: a live region, the clipboard.

use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::writing::Desk;

/// After a text is finished, in case the next one is being written already.
const QUIET: std::time::Duration = std::time::Duration::from_millis(1500);
/// Between two messages.
const BETWEEN: f64 = 10_000.0;

/// The written text as a string.
fn written(desk: Desk) -> String {
    desk.store.model.with_untracked(|model| {
        let Some(model) = model else { return String::new() };
        let token = |id: u32| model.vocabulary.get(id as usize).map_or("", String::as_str);
        desk.text.with_untracked(|text| {
            let ids = text.settings.prompt.iter().copied().chain(text.tokens.iter().map(|token| token.id));
            ids.map(token).collect()
        })
    })
}

/// A polite region that has each finished text, after a pause, and not more than one per ten seconds. The first one, which nobody asked for,
/// is not said.
pub fn live_region(desk: Desk) -> impl IntoView {
    let said = RwSignal::new(String::new());
    let last = StoredValue::new(0.0_f64);
    Effect::new(move |waiting: Option<Option<TimeoutHandle>>| {
        if let Some(Some(waiting)) = waiting {
            waiting.clear();
        }
        if desk.finished.get() < 2 {
            return None;
        }
        let since = js_sys::Date::now() - last.get_value();
        let wait = QUIET.max(std::time::Duration::from_millis((BETWEEN - since).max(0.0) as u64));
        let say = move || {
            last.set_value(js_sys::Date::now());
            said.set(format!("Written: {}", written(desk)));
        };
        set_timeout_with_handle(say, wait).ok()
    });
    view! { <p class="unseen" role="status" aria-live="polite" id="sample-said">{said}</p> }
}

/// Puts prompt and text on the clipboard, and says what came of it.
pub fn copy(desk: Desk, says: RwSignal<Option<&'static str>>) {
    let copying = window().navigator().clipboard().write_text(&written(desk));
    spawn_local(async move {
        let copied = JsFuture::from(copying).await.is_ok();
        says.set(Some(if copied { "Copied." } else { "The browser did not allow it." }));
    });
}
