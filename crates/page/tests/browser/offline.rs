//! What the build adds: the page without its host, a new release of it, and what hosts are to send along.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Fault, Page, Setup, dist, root};

/// Waits until the service worker has everything.
#[track_caller]
fn installed(page: &Page) {
    let state: String = page.js(
        "return navigator.serviceWorker.ready.then(({ active }) => active.state === 'activated' ? active.state :
             new Promise(done => active.addEventListener('statechange', () => done(active.state))))",
        [],
    );
    assert_eq!(state, "activated");
}

/// Another release in a folder of its own: the document and a style sheet differ. `damaged` lists the style sheet with another checksum.
fn release(page: &Page, damaged: bool) -> PathBuf {
    let folder = root().join("target/page-releases").join(if damaged { "damaged" } else { "second" });
    let _ = fs::remove_dir_all(&folder);
    copy(&dist(), &folder);
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let integrity = |text: &str| -> String {
        page.js(
            "return crypto.subtle.digest('SHA-256', new TextEncoder().encode(arguments[0]))
                 .then(digest => 'sha256-' + btoa(String.fromCharCode(...new Uint8Array(digest))))",
            [json!(text)],
        )
    };
    let old = style(&dist());
    let new = "base-0123456789abcdef.css";
    let sheet = text(&old) + "/* 2 */";
    fs::remove_file(folder.join(&old)).unwrap();
    fs::write(folder.join(new), &sheet).unwrap();
    let before = text("index.html");
    let document = before.replace(&old, new).replace("</head>", "<meta name=\"release\" content=\"2\"></head>");
    fs::write(folder.join("index.html"), &document).unwrap();
    let listed = if damaged { integrity("another sheet") } else { integrity(&sheet) };
    let program = text("sw.js").replace(&integrity(&before), &integrity(&document));
    let program = program.replace(&old, new).replace(&integrity(&text_of(&dist(), &old)), &listed);
    fs::write(folder.join("sw.js"), program.replacen("const VERSION = '", "const VERSION = '2", 1)).unwrap();
    folder
}

fn text_of(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The first style sheet's name.
fn style(folder: &Path) -> String {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("base-")).min().expect("there is a style sheet")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { _ = fs::copy(&path, &target).unwrap() }
    }
}

/// Looks for a new version; its worker's state at the end of the installation.
#[track_caller]
fn look_for_update(page: &Page) -> String {
    page.js(
        "return navigator.serviceWorker.getRegistration().then(registration => registration.update()).then(registration => {
             const fresh = registration.installing ?? registration.waiting;
             return fresh.state !== 'installing' ? fresh.state :
                 new Promise(done => fresh.addEventListener('statechange', () => done(fresh.state)));
         })",
        [],
    )
}

#[test]
fn after_the_first_visit_the_page_needs_no_host() {
    let page = Setup::default().below("/some/folder/").expect_message("ERR_CONNECTION").start();
    page.open("");
    page.ready();
    installed(&page);
    page.server.stop();
    page.open("?layer=2");
    page.ready();
}

#[test]
fn after_the_first_visit_everything_is_learnt_without_a_host() {
    let page = Setup::default().expect_message("ERR_CONNECTION").start();
    page.open("");
    page.ready();
    installed(&page);
    page.server.stop();
    page.open("?text=To+be%2C+or+not+to+be#tokenize");
    page.ready();
    let pieces = "return document.querySelectorAll('.tk-chips .tk-id').length";
    page.until(&format!("{pieces} === 19"));
    page.click("input[name='tokenize-vocabulary'][value='bpe']");
    page.until(&format!("{pieces} < 15"));
    page.click("input[name='tokenize-vocabulary'][value='char']");
    page.until(&format!("{pieces} === 19"));
}

#[test]
fn what_answers_in_the_hosts_place_is_never_the_corpus() {
    let page = Setup::default().start();
    page.server.fail("tinyshakespeare.txt", Fault::Other(b"<!doctype html>Please log in".to_vec()));
    page.open("#tokenize");
    page.ready();
    page.click("input[name='tokenize-vocabulary'][value='bpe']");
    page.until_text("#tokenize .sentence", "SHA-256");
}

#[test]
fn whatever_answers_in_the_hosts_place_the_kept_model_is_opened() {
    let page = Setup::default().expect_message("503").start();
    page.open("");
    page.ready();
    page.until_text("#shell", "checked by SHA-256");
    for fault in [Fault::Status(503), Fault::Other(b"<!doctype html>Please log in".to_vec())] {
        page.server.fail("manifest.json", fault);
        page.reload();
        page.ready();
        page.until_text("#shell", "kept from an earlier visit");
    }
}

#[test]
fn a_new_release_comes_with_the_next_visit_and_leaves_open_pages_whole() {
    let page = Page::opened("");
    installed(&page);
    page.reload();
    page.ready();
    let old = style(&dist());
    page.server.publish(release(&page, false));
    assert_eq!(look_for_update(&page), "installed");
    // The open page is of the first release, whose files the host has no more.
    let status: u16 = page.js("return fetch(arguments[0]).then(answer => answer.status)", [json!(format!("./{old}"))]);
    assert_eq!(status, 200);
    assert_eq!(page.count("meta[name=release]"), 0);
    page.reload();
    page.ready();
    assert_eq!(page.count("meta[name=release]"), 1);
    // When no page of the first is open, the second takes over and clears up. A page that is left may live for a moment yet, and who opens
    // the next one within it is of the first release once more.
    let mut left = 0;
    let shells = loop {
        page.cdp("Page.navigate", json!({ "url": "about:blank" }));
        page.open("");
        page.ready();
        let shells: Vec<String> =
            page.js("return caches.keys().then(names => names.filter(name => name.startsWith('inkling page')))", []);
        left += 1;
        if shells.len() == 1 || left == 20 {
            break shells;
        }
    };
    assert_eq!(shells.len(), 1, "{shells:?}");
    assert!(shells[0].contains(" 2"), "{shells:?}");
    page.server.stop();
    page.reload();
    page.ready();
    assert_eq!(page.count("meta[name=release]"), 1);
}

#[test]
fn a_damaged_release_leaves_the_one_before_whole() {
    let page = Setup::default().expect_message("ERR_CONNECTION").expect_message("digest").start();
    page.open("");
    page.ready();
    installed(&page);
    page.reload();
    page.ready();
    page.server.publish(release(&page, true));
    assert_eq!(look_for_update(&page), "redundant");
    page.server.stop();
    page.reload();
    page.ready();
    assert_eq!(page.count("meta[name=release]"), 0);
    let shells: Vec<Value> =
        page.js("return caches.keys().then(names => names.filter(name => name.startsWith('inkling page')))", []);
    assert_eq!(shells.len(), 1, "{shells:?}");
}

#[test]
fn a_host_that_does_not_answer_is_not_waited_for() {
    let page = Page::opened("");
    installed(&page);
    page.reload();
    page.ready();
    page.server.fail("/", Fault::Held);
    page.reload();
    page.ready();
    page.server.mend();
}

#[test]
fn the_page_works_with_exactly_the_headers_that_hosts_are_to_send() {
    let headers = text_of(&dist(), "_headers");
    let document = text_of(root(), "index.html");
    let policy = headers.lines().find_map(|line| line.strip_prefix("  Content-Security-Policy: ")).unwrap();
    let own = policy.strip_suffix("; frame-ancestors 'none'").expect("nobody may frame the page");
    assert!(document.contains(&format!("content=\"{own}\"")), "index.html has another policy");
    // Any violation is an error on the console.
    let page = Page::new();
    page.server.follow_advice();
    page.open("");
    page.ready();
    assert!(page.js::<bool>("return crossOriginIsolated", []));
    installed(&page);
    // From the caches, too.
    page.reload();
    page.ready();
}
