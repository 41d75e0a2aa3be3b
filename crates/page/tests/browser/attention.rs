//! `#attention`: the weights on screen are the model's, by mouse and by keys.

use crate::harness::Page;
use crate::native::Native;

const TEXT: &str = "To be, or not to be";
const ADDRESS: &str = "?text=To+be%2C+or+not+to+be&layer=1&head=2#attention";

/// The row in full, as the table shows it: score, scaled, masked, weight of each key.
#[track_caller]
fn row(page: &Page) -> Vec<[String; 4]> {
    page.js(
        "return [...document.querySelectorAll('#attention-all tbody tr')].map(row => [...row.querySelectorAll('td')].map(cell => cell.innerText))",
        [],
    )
}

/// Of the query that the slider says.
#[track_caller]
fn weights_are_the_models(page: &Page, layer: usize, head: usize) {
    let native = Native::shipped();
    let query: usize = page.attribute("#attention-query", "aria-valuenow").unwrap().parse().unwrap();
    let (n, weights) = native.attention(TEXT, layer, head);
    let shown = row(page);
    assert_eq!(shown.len(), n);
    let shown: Vec<f32> = shown.iter().map(|row| row[3].parse().unwrap()).collect();
    // Seven digits are shown; the engine in the browser adds up in another order than the native one.
    for (key, (&shown, &expected)) in shown.iter().zip(&weights[query * n..][..n]).enumerate() {
        assert!((shown - expected).abs() <= 2e-6, "query {query}, key {key}: {shown} is not {expected}");
        assert!(key <= query || shown == 0.0, "query {query} sees key {key}");
    }
    assert!((shown.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}

#[track_caller]
fn opened(engine: &str) -> Page {
    let page = Page::opened(&ADDRESS.replace('#', &format!("{engine}#")));
    page.until_shown("#attention-query");
    page.click(".attn-all summary");
    page.until("return document.querySelectorAll('#attention-all tbody tr').length === 19");
    page
}

#[test]
fn every_row_is_the_models_own() {
    let page = opened("&engine=cpu");
    weights_are_the_models(&page, 1, 2);
    page.focus("#attention-query");
    for (key, query) in [("Home", 0), ("ArrowRight", 1), ("PageDown", 9), ("End", 18), ("ArrowLeft", 17), ("PageUp", 9)]
    {
        page.press(key);
        page.until(&format!("return document.querySelector('#attention-query').ariaValueNow === '{query}'"));
        weights_are_the_models(&page, 1, 2);
    }
}

#[test]
fn both_engines_show_the_same_row() {
    weights_are_the_models(&opened("&engine=webgpu"), 1, 2);
}

#[test]
fn a_head_is_picked_with_the_mouse_and_with_keys() {
    let page = opened("");
    page.click("[data-head='2.1']");
    page.until("return new URLSearchParams(location.search).get('layer') === '2'");
    assert!(page.address_end().contains("layer=2&head=1"));
    page.press("ArrowRight");
    page.press("Enter");
    page.until("return new URLSearchParams(location.search).get('head') === '2'");
}

#[test]
fn the_query_is_dragged_on_the_text() {
    let page = opened("");
    page.click("#attention-query [data-token='4']");
    page.until("return document.querySelector('#attention-query').ariaValueNow === '4'");
    page.drag("#attention-query [data-token='4']", (0.5, 0.5), (-2.5, 0.5));
    page.until("return document.querySelector('#attention-query').ariaValueNow === '1'");
    weights_are_the_models(&page, 1, 2);
}
