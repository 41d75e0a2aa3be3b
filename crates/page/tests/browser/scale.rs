//! `#scale`: the file's numbers are in the table, and a run is picked by its dot, its row and the keyboard.

use std::fs;

use serde_json::Value;

use crate::harness::{Fault, Page, Setup, root};

const PICKED: &str = "input[name='scale-run']:checked";

fn entries() -> Vec<Value> {
    let text = fs::read_to_string(root().join("web/measured/scale.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["entries"].as_array().unwrap().clone()
}

fn opened(end: &str) -> Page {
    let page = Page::opened(end);
    // The text above has its height: what is clicked does not move any more.
    page.until("return Number(document.querySelector('#sample .sample-page')?.dataset.written) >= 400");
    page.scroll_to("#scale-figure");
    page.until_shown("#scale-sample");
    page
}

/// The sample of a run is on screen.
#[track_caller]
fn until_shown(page: &Page, run: &Value) {
    page.until_text("#scale h3", run["name"].as_str().unwrap());
    let shown: String = page.js("return document.querySelector('#scale-sample').textContent", []);
    assert_eq!(shown, run["sample"].as_str().unwrap());
    assert_eq!(page.text("#scale .scale-command code"), run["command"].as_str().unwrap());
}

#[test]
fn every_recorded_run_is_in_the_table() {
    let page = opened("#scale");
    let rows = page.texts(".scale-table tbody tr");
    let entries = entries();
    assert_eq!(rows.len(), entries.len());
    for (row, entry) in rows.iter().zip(&entries) {
        let loss = entry["best"].as_f64().unwrap();
        assert!(row.starts_with(entry["name"].as_str().unwrap()) && row.contains(&format!("{loss:.3}")), "{row}");
    }
    until_shown(&page, entries.last().unwrap());
    assert_eq!(page.count(".scale-dot"), entries.len());
}

#[test]
fn a_run_is_picked_by_its_dot_and_its_row() {
    let page = opened("#scale");
    let entries = entries();
    page.click(".scale-dot[for='scale-run-0']");
    until_shown(&page, &entries[0]);
    page.until_setting("run", entries[0]["name"].as_str());
    page.click(".scale-table tbody tr:nth-child(2)");
    until_shown(&page, &entries[1]);
    // Over time there are curves, and the dots go where these end.
    let before = page.rect(".scale-dot[for='scale-run-1']");
    page.click(".scale-axis label:last-child");
    page.until("return document.querySelector('.scale-curve.scale-picked').getAttribute('d').length > 20");
    page.until(&format!(
        "return document.querySelector(\".scale-dot[for='scale-run-1']\").getBoundingClientRect().left !== {}",
        before[0]
    ));
    page.until_setting("run", entries[1]["name"].as_str());
    page.reload();
    page.scroll_to("#scale-figure");
    page.until_shown("#scale-sample");
    until_shown(&page, &entries[1]);
}

#[test]
fn a_run_is_picked_with_keys_alone() {
    let entries = entries();
    let page = opened(&format!("#scale?run={}", entries[0]["name"].as_str().unwrap()));
    page.focus(PICKED);
    page.press("ArrowDown");
    until_shown(&page, &entries[1]);
    page.press("ArrowUp");
    until_shown(&page, &entries[0]);
}

#[test]
fn a_file_that_cannot_be_had_is_a_sentence() {
    let page = Setup::default().expect_message("404").start();
    page.server.fail("scale.json", Fault::Status(404));
    page.open("#scale");
    page.ready();
    page.scroll_to("#scale-figure");
    page.until_text("#scale .sentence", "could not be loaded");
}
