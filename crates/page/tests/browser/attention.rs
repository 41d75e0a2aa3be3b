//! `#attention`: the weights on screen are the model's, by mouse and by keys.

use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Training};
use inkling_core::step::Step;
use inkling_core::{Engine, Weights};

use crate::harness::Page;
use crate::native::Native;

const TEXT: &str = "To be, or not to be";
const ADDRESS: &str = "#attention?text=To+be%2C+or+not+to+be&layer=1&head=2";

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
    let page = Page::opened(&format!("{ADDRESS}{engine}"));
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
    for (key, query) in [("Home", 0), ("ArrowRight", 1), ("PageUp", 9), ("End", 18), ("ArrowLeft", 17), ("PageDown", 9)]
    {
        page.press(key);
        page.until(&format!("return document.querySelector('#attention-query').ariaValueNow === '{query}'"));
        weights_are_the_models(&page, 1, 2);
    }
}

#[test]
fn both_engines_show_the_same_row() {
    for (engine, name) in [("cpu", "CPU"), ("webgpu", "WebGPU")] {
        let page = opened(&format!("&engine={engine}"));
        let computes = |page: &Page| page.text(".engine-name").starts_with(name);
        assert!(computes(&page), "{}", page.text(".engine-name"));
        weights_are_the_models(&page, 1, 2);
        // One that failed meanwhile would have been replaced.
        assert!(computes(&page), "{}", page.text(".engine-name"));
    }
}

#[test]
fn a_head_is_picked_with_the_mouse_and_with_keys() {
    let page = opened("");
    page.click("[data-head='2.1']");
    page.until_setting("layer", Some("2"));
    assert!(page.address_end().ends_with("layer=2&head=1"));
    page.press("ArrowRight");
    page.press("Enter");
    page.until_setting("head", Some("2"));
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

/// Mean nats per token of the text, with these weights.
fn loss(native: &Native, weights: &Weights, open: bool) -> f64 {
    let tokens = native.encode(TEXT);
    let n = tokens.len();
    let recording = Recording {
        batch: 1,
        context: n,
        training: Training::No,
        probs: Probs::Skip,
        activations: DType::F32,
        recompute: false,
    };
    let config = &native.checkpoint.config;
    let recorded = if open { recording.record_open(config) } else { recording.record(config) };
    let (program, graph) = recorded.unwrap();
    let mut engine = Engine::cpu(program, Pool::new(1));
    engine.load(Field::Value, weights).unwrap();
    engine.write_ids(graph.tokens, &tokens);
    engine.write_ids(graph.targets, &[&tokens[1..], &[0]].concat());
    engine.replay(Pass::Forward, &Step::default());
    let losses = pollster::block_on(engine.read(graph.losses)).unwrap();
    losses[..n - 1].iter().map(|&loss| f64::from(loss)).sum::<f64>() / (n - 1) as f64
}

/// Three digits are shown.
#[track_caller]
fn shows(page: &Page, css: &str, expected: f64) {
    page.until_shown(css);
    let shown: f64 = page.text(css).parse().unwrap();
    assert!((shown - expected).abs() <= 0.006 * expected, "{css} shows {shown}, not {expected}");
}

#[test]
fn what_is_taken_away_costs_what_core_says() {
    let native = Native::shipped();
    let weights = &native.checkpoint.weights;
    let page = opened("");
    shows(&page, "#attention-loss", loss(&native, weights, false));
    // Head 1.2, by mouse.
    page.click("#attention-zero");
    let mut zeroed = weights.clone();
    let (c, d) = (native.checkpoint.config.n_embd, native.checkpoint.config.head_dim());
    for row in zeroed.get_mut("h.1.attn.c_proj.weight").unwrap().data.chunks_exact_mut(c) {
        row[2 * d..3 * d].fill(0.0);
    }
    shows(&page, "#attention-loss-after", loss(&native, &zeroed, false));
    page.until_setting("ablated", Some("1.2"));
    page.click("[data-zeroed='1.2']");
    page.until("return !document.querySelector('#attention-loss-after')");
    // The mask, by keys: the future leaks in.
    page.focus("#attention-mask-off");
    page.press(" ");
    shows(&page, "#attention-loss-after", loss(&native, weights, true));
    page.until("return !document.querySelector('#attention-all .attn-masked-row')");
    page.focus("#attention-reset");
    page.press("Enter");
    page.until("return !document.querySelector('#attention-loss-after')");
}

#[test]
fn the_key_has_the_same_four_numbers_everywhere() {
    let page = opened("&query=12");
    page.focus("#attention-key");
    for (key, at) in [("Home", 0), ("PageUp", 8), ("ArrowUp", 9), ("End", 18)] {
        page.press(key);
        page.until(&format!("return document.querySelector('#attention-key').ariaValueNow === '{at}'"));
        let shown = page.texts("[data-stage]");
        let full = &row(&page)[at];
        for (stage, (shown, full)) in shown.iter().zip(full).enumerate() {
            if at > 12 && stage == 2 {
                assert_eq!((shown.as_str(), full.as_str()), ("masked", "masked"));
                continue;
            }
            let [short, long] = [shown, full].map(|number| number.replace('−', "-").parse::<f64>().unwrap());
            // Two digits are shown of what is nearly nothing.
            let digits = if long.abs() < 1e-4 { 0.06 } else { 0.006 };
            assert!((short - long).abs() <= digits * long.abs(), "key {at}, stage {stage}: {shown} and {full}");
        }
    }
    page.press("Escape");
    // The heaviest again.
    let heaviest = page.attribute("#attention-top tbody tr", "data-key");
    assert_eq!(page.attribute("#attention-key", "aria-valuenow"), heaviest);
}

#[test]
fn there_is_a_sentence_where_there_is_nothing_to_draw() {
    let page = opened("");
    page.fill("#attention-text", "");
    page.until_text("#attention .attn-text .sentence", "empty");
    page.fill("#attention-text", "é");
    page.until_text("#attention .attn-text .sentence", "é");
    page.fill("#attention-text", "T");
    page.until_text("#attention .attn-text", "nobody but itself");
    page.fill("#attention-text", &"To be or not. ".repeat(12));
    page.until_text("#attention .attn-text", "128 tokens at most: the first 40 are left out");
}
