//! What holds for the whole page.

use crate::harness::{Page, Setup};

const SECTIONS: [&str; 5] = ["tokenize", "embed", "stack", "attention", "sample"];

#[test]
fn the_page_comes_alive_and_asks_nobody_else() {
    let page = Page::opened("");
    for section in SECTIONS {
        page.until(&format!("return !document.querySelector('#{section}-figure').innerText.includes('Waiting')"));
    }
    let strangers: Vec<String> = page.js(
        "return performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith(location.origin))",
        [],
    );
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn a_page_below_a_folder_works() {
    let page = Setup::default().below("/some/folder/").start();
    page.open("");
    page.ready();
    let elsewhere: Vec<_> =
        page.server.take_asked().into_iter().filter(|path| !path.starts_with("/some/folder/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn no_width_scrolls_sideways() {
    let page = Page::opened("");
    for width in [320, 360, 768, 1024, 1440] {
        page.size(width, 800);
        assert!(!page.scrolls_sideways(), "at {width} pixels");
    }
}
