//! What the build adds: the page without its host, and the Content-Security-Policy as hosts send it.

use crate::harness::{Setup, root};

/// index.html's policy, with what only a header may say. As a header it holds for the worker, too.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
                      connect-src 'self' https: http://127.0.0.1:* http://localhost:*; style-src 'self'; \
                      img-src 'self' data: blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[test]
fn after_the_first_visit_the_page_needs_no_host() {
    let page = Setup::default().below("/some/folder/").expect_message("ERR_CONNECTION").start();
    page.open("");
    page.ready();
    page.until("return navigator.serviceWorker.ready.then(registration => registration.active.state === 'activated')");
    page.server.stop();
    page.open("?layer=2");
    page.ready();
}

#[test]
fn the_policy_holds_as_a_header_too() {
    let document = std::fs::read_to_string(root().join("index.html")).unwrap();
    let own = POLICY.trim_end_matches("; frame-ancestors 'none'");
    assert!(document.contains(&format!("content=\"{own}\"")), "index.html has another policy");
    // Any violation is an error on the console.
    let page = Setup::default().header("Content-Security-Policy", POLICY).start();
    page.open("");
    page.ready();
}
