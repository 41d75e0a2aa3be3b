//! The text for those who do not see it, and for elsewhere: what readers hear, the clipboard.

use leptos::prelude::*;

use super::writing::Desk;
use crate::ui::clipboard;
use crate::ui::reactive::effect_from_last;

/// After a text is finished, in case the next one is being written already.
const QUIET: std::time::Duration = std::time::Duration::from_millis(1500);

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

/// Says each finished text after a pause. The first one, which nobody asked for, is not said.
pub fn tell(desk: Desk) {
    effect_from_last(move |waiting: Option<Option<TimeoutHandle>>| {
        if let Some(Some(waiting)) = waiting {
            waiting.clear();
        }
        let say = move || {
            let (text, tokens) = (written(desk), desk.text.with_untracked(|text| text.tokens.len()));
            let beginning = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            desk.store.announce(format!("{tokens} tokens written. The text begins: {beginning}"));
        };
        if desk.finished.get() > 1 { set_timeout_with_handle(say, QUIET).ok() } else { None }
    });
}

/// Puts prompt and text on the clipboard, and says what came of it.
pub fn copy(desk: Desk, says: RwSignal<Option<&'static str>>) {
    clipboard::copy(desk.store, &written(desk), says);
}
