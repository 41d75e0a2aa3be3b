//! What the page is where something is missing: never an empty box, always a sentence.

use crate::harness::{Fault, Page, Setup};

/// Every section's heading, text and task can be read.
#[track_caller]
fn prose_is_there(page: &Page) {
    page.until("return document.querySelectorAll('section[id] h2').length >= 5");
    let unreadable: Vec<String> = page.js(
        "return [...document.querySelectorAll('h1, section[id] h2, section[id] .prose p')]
             .filter(e => !e.closest('details') && (!e.checkVisibility() || !e.innerText.trim())).map(e => e.outerHTML)",
        [],
    );
    assert!(unreadable.is_empty(), "{unreadable:?}");
}

#[test]
fn the_text_is_there_before_any_program() {
    let page = Page::new();
    page.server.fail("_bg.wasm", Fault::Held);
    page.open("#attention");
    prose_is_there(&page);
    assert!(!page.scrolls_sideways());
    page.server.mend();
    page.ready();
}

#[test]
fn without_javascript_a_sentence_says_so() {
    let page = Page::new();
    page.forbid_scripts();
    page.open("");
    prose_is_there(&page);
    page.until_text("noscript .sentence", "needs JavaScript");
}

#[test]
fn without_webassembly_a_sentence_says_so() {
    let page = Page::new();
    page.before_scripts("delete globalThis.WebAssembly");
    page.open("");
    prose_is_there(&page);
    page.until_text(".sentence", "WebAssembly");
}

#[test]
fn without_webgpu_the_page_works() {
    let page = Setup::default().argument("--disable-features=WebGPU,WebGPUService").start();
    page.open("");
    page.ready();
}

#[test]
fn a_missing_worker_is_a_sentence() {
    let page = Setup::default().expect_message("404").expect_message("Failed to load").start();
    page.server.fail("worker-start.js", Fault::Status(404));
    page.open("");
    page.until_shown("#failure");
    prose_is_there(&page);
    let said = page.text("#failure");
    assert!(said.contains("Something in this page broke"), "{said}");
}

#[test]
fn a_missing_model_is_a_sentence() {
    let page = Setup::default().expect_message("404").start();
    page.server.fail("model.safetensors", Fault::Status(404));
    page.open("");
    page.until("return document.querySelector('#shell .sentence')?.innerText.trim()");
    prose_is_there(&page);
}
