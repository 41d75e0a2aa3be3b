//! `#modern`: a guess uncovers what was measured, by mouse and by keys; the cache's arithmetic.

use std::fs;

use serde_json::Value;

use crate::harness::{Page, root};

fn entries() -> Vec<Value> {
    let text = fs::read_to_string(root().join("web/measured/modern.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["entries"].as_array().unwrap().clone()
}

fn losses(entry: &Value) -> Vec<f64> {
    entry["runs"].as_array().unwrap().iter().map(|run| run["best"].as_f64().unwrap()).collect()
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn spread(losses: &[f64]) -> f64 {
    losses.iter().copied().fold(0.0, f64::max) - losses.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The button that is right.
fn right(baseline: &Value, variant: &Value) -> usize {
    let (base, own) = (losses(baseline), losses(variant));
    let difference = mean(&own) - mean(&base);
    if difference.abs() <= spread(&own).max(spread(&base)) { 1 } else { usize::from(difference > 0.0) * 2 }
}

fn card(entry: &Value) -> String {
    format!("[data-variant='{}']", entry["name"].as_str().unwrap())
}

fn opened() -> Page {
    let page = Page::opened("#modern");
    page.scroll_to("#modern-figure");
    page.until_shown(".modern-card");
    page
}

#[test]
fn a_guess_uncovers_what_was_measured() {
    let page = opened();
    let entries = entries();
    assert_eq!(page.count(".modern-card"), entries.len() - 1);
    // The baseline is there before, and nothing else.
    assert_eq!((page.count(".modern-base"), page.count(".modern-own")), (entries.len() - 1, 0));
    for (made, variant) in (1..).zip(&entries[1..]) {
        let (card, right) = (card(variant), right(&entries[0], variant));
        page.click(&format!("{card} .modern-guess button:nth-child({})", right + 1));
        page.until_shown(&format!("{card} .modern-own"));
        let answer = page.text(&format!("{card} .modern-answer"));
        assert!(answer.starts_with("You guessed right."), "{answer}");
        assert!(answer.contains(&format!("Mean loss {:.3}", mean(&losses(variant)))), "{answer}");
        page.until_text("#modern-score", &format!("{made} of {made} guesses right"));
    }
    assert_eq!(page.console_errors(), [""; 0]);
}

#[test]
fn the_first_guess_counts_and_keys_will_do() {
    let page = opened();
    let entries = entries();
    let (card, right) = (card(&entries[1]), right(&entries[0], &entries[1]));
    let wrong = (right + 1) % 3;
    page.focus(&format!("{card} .modern-guess button:nth-child({})", wrong + 1));
    page.press("Enter");
    page.until_text(&format!("{card} .modern-answer"), "Not what you guessed.");
    page.until_text("#modern-score", "0 of 1 guesses right");
    page.click(&format!("{card} .modern-guess button:nth-child({})", right + 1));
    assert!(page.text("#modern-score").starts_with("0 of 1"));
    let pressed = format!("{card} .modern-guess button[aria-pressed='true']");
    assert_eq!(page.count(&pressed), 1);
}

#[test]
fn the_cache_is_two_layers_heads_and_bytes() {
    let page = opened();
    page.click(".cache button:nth-of-type(3)");
    // Llama 3 8B in 16 bits: 8 of 32 heads, 128 KiB a token, 1 GiB of 8192.
    page.until_text(".cache-table tbody tr:nth-child(2)", "131");
    let texts = page.texts(".cache-table tbody .number");
    assert_eq!(texts[2].replace('\u{202f}', " "), "131 kB");
    assert_eq!(texts[3].replace('\u{202f}', " "), "1.07 GB");
    page.fill("#cache-kv", "5");
    page.until_text("#cache-wrong", "KV heads must divide heads");
    assert_eq!(page.texts(".cache-table tbody .number"), texts);
    page.fill("#cache-kv", "4");
    page.until_text(".cache-table tbody tr:nth-child(2)", "65.5");
    page.until("return document.querySelector('#cache-wrong').innerText === ''");
    page.focus("#cache-layers");
    page.press("ArrowUp");
    page.until("return document.querySelector('#cache-layers').value === '33'");
    page.until_text(".cache-table tbody tr:nth-child(2)", "67.6");
}
