//! The address: it has the whole view, it can be shared, and no server hears of it.

use crate::harness::Page;

/// What the first editor holds.
#[track_caller]
fn until_text_is(page: &Page, text: &str) {
    page.until(&format!("return document.querySelector('#tokenize-text')?.value === {}", serde_json::json!(text)));
}

/// What the server was asked for since the last time, with this in it.
fn asked(page: &Page, part: &str) -> Vec<String> {
    page.server.take_asked().into_iter().filter(|target| target.contains(part)).collect()
}

/// The section is where reading begins.
#[track_caller]
fn is_in_view(page: &Page, section: &str) {
    page.until(&format!(
        "const {{ top, bottom }} = document.getElementById('{section}').getBoundingClientRect();
         return top < innerHeight / 2 && bottom > 0"
    ));
}

#[test]
fn a_shared_address_restores_the_view_and_follows_it() {
    let page = Page::opened("#attention?text=To+be%2C+or+not&layer=2&head=1");
    until_text_is(&page, "To be, or not");
    page.until_text("#attention-head", "2");
    is_in_view(&page, "attention");
    page.fill("#tokenize-text", "Not to be");
    page.until_setting("text", Some("Not to be"));
    assert_eq!(page.address_end(), "#attention?text=Not+to+be&layer=2&head=1");
    page.reload();
    until_text_is(&page, "Not to be");
    assert_eq!(page.value("#attention-text"), "Not to be");
}

#[test]
fn what_is_typed_is_in_no_request() {
    let page = Page::opened("");
    page.fill("#tokenize-text", "secretive");
    page.fill("#sample-prompt", "confidential");
    page.until_setting("prompt", Some("confidential"));
    page.until_setting("text", Some("secretive"));
    page.reload();
    until_text_is(&page, "secretive");
    page.ready();
    // Every request that has a query would be one too many.
    let asked = page.server.take_asked();
    assert!(asked.iter().filter(|target| *target == "/").count() >= 2, "{asked:?}");
    assert!(!asked.iter().any(|target| target.contains(['?', '#']) || target.contains("secret")), "{asked:?}");
}

#[test]
fn an_address_of_old_works_and_is_not_sent_again() {
    let page = Page::opened("?text=To+be&layer=2#attention");
    until_text_is(&page, "To be");
    is_in_view(&page, "attention");
    assert_eq!(page.address_end(), "#attention?text=To+be&layer=2");
    assert_eq!(asked(&page, "text="), ["/?text=To+be&layer=2"]);
    page.reload();
    until_text_is(&page, "To be");
    assert_eq!(asked(&page, "text="), [""; 0]);
}

#[test]
fn a_long_text_survives_a_reload() {
    let page = Page::opened("");
    let text = "All the world's a stage, and all the men & women merely players.\n".repeat(100);
    page.set("#tokenize-text", &text);
    page.until_setting("text", Some(&text));
    page.reload();
    until_text_is(&page, &text);
    page.ready();
}

#[test]
fn a_link_to_a_section_keeps_the_settings_and_the_way_back_restores_the_view() {
    let page = Page::opened("#tokenize?text=To+be");
    until_text_is(&page, "To be");
    page.click("nav a[href='#stack']");
    page.until("return location.hash === '#stack?text=To+be'");
    is_in_view(&page, "stack");
    page.fill("#tokenize-text", "Not to be");
    page.until_setting("text", Some("Not to be"));
    page.go(-1);
    until_text_is(&page, "To be");
    page.until("return location.hash === '#tokenize?text=To+be'");
    page.go(1);
    until_text_is(&page, "Not to be");
    page.until("return location.hash === '#stack?text=Not+to+be'");
    // Another view in the same tab, as somebody pastes it.
    page.open("#sample?layer=3");
    page.until_setting("text", None);
    page.until_setting("layer", Some("3"));
    is_in_view(&page, "sample");
    assert_ne!(page.value("#tokenize-text"), "Not to be");
}
