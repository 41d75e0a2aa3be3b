//! What holds for the whole page.

use serde_json::Value;

use crate::harness::{Page, Setup, Theme, root};

/// The sections, and what each figure has only from the model.
const SECTIONS: [(&str, &str); 9] = [
    ("tokenize", ".tk-chips .tk-chip"),
    ("embed", "#embed-channel:not(:empty)"),
    ("stack", ".stack-costs tbody tr:nth-child(3)"),
    ("attention", "#attention-top tbody tr"),
    ("train", "#train-play"),
    ("sample", ".sample-page:not([data-written='0'])"),
    ("scale", "#scale-sample"),
    ("modern", ".modern-card"),
    ("own", "#save-model:not(:disabled)"),
];

/// Every figure shows what the model says.
#[track_caller]
fn is_alive(page: &Page) {
    page.ready();
    for (section, own) in SECTIONS {
        // Some wait until they are looked at.
        page.scroll_to(&format!("#{section}-figure"));
        page.until(&format!("return document.querySelector(\"#{section}-figure {own}\")"));
    }
}

#[test]
fn the_page_comes_alive_and_asks_nobody_else() {
    let page = Page::new();
    page.open("");
    is_alive(&page);
    let strangers: Vec<String> = page.js(
        "return performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith(location.origin))",
        [],
    );
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn its_policy_is_strict_and_never_broken() {
    let page = Page::new();
    page.before_scripts("window.broken = []; addEventListener('securitypolicyviolation', e => broken.push(e.violatedDirective + ' ' + e.blockedURI))");
    page.open("");
    is_alive(&page);
    page.js::<Value>("for (const details of document.querySelectorAll('details')) details.open = true", []);
    let policy = page.attribute("meta[http-equiv='Content-Security-Policy']", "content").expect("a policy has content");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
    let broken: Vec<String> = page.js("return broken", []);
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn a_page_below_a_folder_works() {
    let page = Setup::default().below("/some/folder/").start();
    page.open("");
    is_alive(&page);
    let asked = page.server.take_asked();
    let elsewhere: Vec<_> = asked.iter().filter(|path| !path.starts_with("/some/folder/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn no_width_scrolls_sideways() {
    let page = Page::new();
    page.open("");
    is_alive(&page);
    for width in [320, 360, 768, 1024, 1440] {
        page.size(width, 800);
        assert!(!page.scrolls_sideways(), "at {width} pixels");
    }
}

#[test]
fn after_the_first_visit_there_need_be_no_network() {
    let page = Setup::default().below("/some/folder/").expect_message("ERR_INTERNET_DISCONNECTED").start();
    page.open("");
    is_alive(&page);
    page.js::<Value>("return navigator.serviceWorker.ready.then(() => null)", []);
    // The files of the worker's program and the document come from what it keeps.
    page.server.take_asked();
    page.reload();
    is_alive(&page);
    let again: Vec<_> = page
        .server
        .take_asked()
        .into_iter()
        .filter(|path| path.ends_with(".wasm") || path.ends_with(".safetensors"))
        .collect();
    assert!(again.is_empty(), "a second visit fetched {again:?}");
    page.offline(true);
    page.reload();
    is_alive(&page);
}

/// Writes pictures for people to look at: `target/screenshots/SECTION-THEME-WIDTH.png`.
#[test]
fn pictures_of_every_section() {
    let page = Page::new();
    page.open("#attention?layer=1");
    is_alive(&page);
    for theme in [Theme::Light, Theme::Dark] {
        page.emulate(theme);
        for width in [360, 1440] {
            page.size(width, 900);
            let file = |name: &str| root().join(format!("target/screenshots/{name}-{}-{width}.png", theme.name()));
            page.screenshot_of("html", &file("page"));
            for (section, _) in SECTIONS {
                page.screenshot_of(&format!("#{section}"), &file(section));
            }
        }
    }
}
