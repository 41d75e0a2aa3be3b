//! When a program breaks down: a sentence and a way on, in place of a page that does not answer.

use leptos::prelude::document;

/// Shows a panic of the page's own program, and tells web/start.js that the program runs.
pub fn watch() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        show(&info.to_string());
    }));
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("data-started", "");
    }
}

/// Shows index.html's own notice; nothing here depends on a program that has just broken down.
pub fn show(message: &str) {
    let Some(notice) = document().get_element_by_id("failure") else { return };
    // The first failure is the cause of the others.
    if !notice.has_attribute("hidden") {
        return;
    }
    if let Some(details) = document().get_element_by_id("failure-details") {
        details.set_text_content(Some(message));
    }
    let _ = notice.remove_attribute("hidden");
    notice.scroll_into_view();
}
