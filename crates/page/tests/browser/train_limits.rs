//! `#train`: on a graphics card, for a long time, with a full disk.

use serde_json::{Value, json};

use crate::harness::{Page, Setup};
use crate::native::Native;
use crate::train::{losses, until_far_step, until_state, until_step};

/// Small enough that a GPU in software, or thousands of steps, take seconds.
pub fn small(page: &Page, more: &[(&str, &str)]) {
    page.click(".train-next details summary");
    let fields = [("n_layer", "1"), ("n_head", "2"), ("n_embd", "16"), ("n_positions", "16"), ("batch_size", "4")];
    for (field, value) in fields.iter().chain(more) {
        page.fill(&format!("#train-{field}"), value);
        page.until("return document.querySelector('#train-trouble').innerText === ''");
    }
    page.until_text(".train-plan", "of 64 tokens");
}

/// [`small`], by the native core.
pub fn small_natively(steps: usize) -> (Native, Vec<f64>) {
    Native::trained(steps, |model, train| {
        (model.n_layer, model.n_head, model.n_kv_head) = (1, 2, 2);
        (model.n_embd, model.n_inner, model.n_positions) = (16, 64, 16);
        train.batch_size = 4;
    })
}

#[test]
fn webgpu_trains_with_the_native_losses() {
    let page = Page::opened("#train?engine=webgpu&preset=overfit");
    page.scroll_to("#train-figure");
    page.until_text(".train-plan", "weights learn from");
    small(&page, &[]);
    page.click("#train-play");
    page.until_text(".train-head", "WebGPU");
    until_far_step(&page, 50);
    page.click("#train-play");
    until_state(&page, "paused");
    let (_, expected) = small_natively(50);
    for (step, (shown, expected)) in losses(&page, 50).into_iter().zip(expected).enumerate() {
        assert!((shown - expected).abs() <= 1e-3, "step {}: {shown} is not {expected}", step + 1);
    }
}

/// Bytes of the page's heap and of its program's memory, and of the memory of the program that trains.
fn memory(page: &Page) -> [u64; 3] {
    page.cdp("HeapProfiler.collectGarbage", json!({}));
    page.js(
        "return import(document.querySelector('link[rel=modulepreload]').href).then(module => module.default()).then(program =>
             [performance.memory.usedJSHeapSize, program.memory.buffer.byteLength, +document.querySelector('.train-status').dataset.memory])",
        [],
    )
}

#[test]
fn two_thousand_steps_leak_nothing() {
    let page = Setup::default().argument("--enable-precise-memory-info").start();
    page.open("#train?engine=cpu&preset=overfit");
    page.ready();
    page.scroll_to("#train-figure");
    page.until_text(".train-plan", "weights learn from");
    small(&page, &[("max_steps", "2600"), ("eval_steps", "100")]);
    page.click("#train-play");
    until_step(&page, 600);
    let before = memory(&page);
    until_step(&page, 2600);
    until_state(&page, "finished");
    let after = memory(&page);
    println!("bytes of heap, page and learner after 600 steps: {before:?}, after 2600: {after:?}");
    // Points, samples and snapshots of 2,000 steps are kept, some hundreds of bytes each.
    for (before, after) in before.into_iter().zip(after) {
        assert!(before > 0 && after <= before + (4 << 20), "{before} bytes became {after}");
    }
}

#[test]
fn a_full_disk_costs_nothing_but_what_would_be_kept() {
    let page = Page::opened("#train?engine=cpu&preset=overfit");
    page.scroll_to("#train-figure");
    page.until_text(".train-plan", "weights learn from");
    let origin: String = page.js("return location.origin", []);
    page.cdp("Storage.overrideQuotaForOrigin", json!({ "origin": origin, "quotaSize": 4096 }));
    page.click("#train-play");
    page.until_text(".train-status", "no room left");
    let told: Value = page.js("return document.querySelector('.train-status dd').textContent", []);
    page.until(&format!("return document.querySelector('.train-status dd').textContent !== {told}"));
    page.click("#train-play");
    until_state(&page, "paused");
    // It is kept again when there is room.
    page.cdp("Storage.overrideQuotaForOrigin", json!({ "origin": origin }));
    page.click("#train-step");
    page.until_text(".train-status", "as of step");
}
