//! `#train`: a model learns in the tab, with the numbers of the native trainer, by mouse and by keys.

use serde_json::{Value, json};

use crate::harness::Page;
use crate::native::Native;

/// The figure, with `Overfit fast` picked and planned on the CPU engine.
#[track_caller]
pub fn opened(end: &str) -> Page {
    let page = Page::opened(&format!("#train?engine=cpu{end}&preset=overfit"));
    page.scroll_to("#train-figure");
    page.until_text(".train-plan", "weights learn from");
    page.until("return document.querySelector('.train-own:not([hidden]), #train-play:not(:disabled)')");
    // The text of the preset is there: the plan is of it.
    page.until("return /learn from 4.\\d\\d\\d tokens/.test(document.querySelector('.train-plan').innerText)");
    page
}

/// A number of the status line.
#[track_caller]
pub fn status(page: &Page, name: &str) -> String {
    page.js(
        "return [...document.querySelectorAll('.train-status div')].find(row => row.firstElementChild.textContent === arguments[0])?.lastElementChild.textContent ?? ''",
        [json!(name)],
    )
}

/// Waits until the run has done this many steps.
#[track_caller]
pub fn until_step(page: &Page, least: u64) {
    page.until(&format!("return parseInt({STATUS}.replace(/\\D/g, '') || '0') >= {least}"));
}

const STATUS: &str = "document.querySelector('.train-status dd').textContent.split(' of ')[0]";

#[track_caller]
pub fn until_state(page: &Page, state: &str) {
    page.until(&format!(
        "return [...document.querySelectorAll('.train-status div')].some(row => row.firstElementChild.textContent === 'state' && row.lastElementChild.textContent === '{state}')"
    ));
}

/// Plays until at least this step, and pauses; the step at which it stands.
#[track_caller]
pub fn play_to(page: &Page, least: u64) -> u64 {
    page.click("#train-play");
    until_state(page, "training");
    until_step(page, least);
    page.click("#train-play");
    until_state(page, "paused");
    let step = status(page, "step");
    let step = step.split(" of ").next().unwrap();
    page.until_text(".train-status", &format!("as of step {step}"));
    step.parse().unwrap()
}

/// Waits for a run that takes longer than anything else, as long as it goes on.
#[track_caller]
pub fn until_far_step(page: &Page, last: u64) {
    [1, 2, 5]
        .into_iter()
        .chain((1..).map(|tens| 10 * tens))
        .take_while(|step| *step < last)
        .for_each(|step| until_step(page, step));
    until_step(page, last);
}

/// The loss of each step, as the curves' own slider tells it.
#[track_caller]
pub fn losses(page: &Page, steps: u64) -> Vec<f64> {
    page.focus("#train-plot");
    page.press("Home");
    (1..=steps)
        .map(|step| {
            page.until(&format!(
                "return document.querySelector('#train-plot').ariaValueNow === '{step}' && document.querySelector('#train-numbers').dataset.loss"
            ));
            let loss = page.attribute("#train-numbers", "data-loss").unwrap();
            page.press("ArrowRight");
            loss.parse().unwrap()
        })
        .collect()
}

#[test]
fn fifty_steps_have_the_native_trainers_losses() {
    let page = opened("");
    play_to(&page, 50);
    let (_, expected) = Native::overfit(50);
    for (step, (shown, expected)) in losses(&page, 50).into_iter().zip(expected).enumerate() {
        assert!((shown - expected).abs() <= 1e-4, "step {}: {shown} is not {expected}", step + 1);
    }
}

#[test]
fn a_preset_is_picked_and_played_with_the_mouse_and_its_curves_grow() {
    let page = Page::opened("#train?engine=cpu");
    page.scroll_to("#train-figure");
    page.click("[data-preset=overfit]");
    page.until("return document.querySelector('[data-preset=overfit]').ariaPressed === 'true'");
    page.until("return location.hash.includes('preset=overfit')");
    // Each button says how long it takes here, once this device is measured.
    page.until(
        "return [...document.querySelectorAll('.train-preset span')].every(e => e.innerText.startsWith('about'))",
    );
    page.until("return /learn from 4.\\d\\d\\d tokens/.test(document.querySelector('.train-plan').innerText)");
    page.click("#train-play");
    until_step(&page, 20);
    let length = "document.querySelector('.train-plot path.train').getAttribute('d').length";
    let before: usize = page.js(&format!("return {length}"), []);
    page.until(&format!("return {length} > {before}"));
    page.until("return document.querySelectorAll('#train-samples li').length >= 4");
    page.until("return document.querySelector('.train-plot path.val').getAttribute('d').length > 0");
    // The other figures are answered meanwhile.
    page.fill("#tokenize-text", "Not to be");
    page.until("return document.querySelectorAll('.tk-chips .tk-chip').length === 9");
    page.click("#train-play");
    until_state(&page, "paused");
    let step = status(&page, "step");
    page.click("#train-step");
    page.until(&format!("return document.querySelector('.train-status dd').textContent !== '{step}'"));
    until_state(&page, "paused");
}

#[test]
fn everything_is_reached_with_keys_alone() {
    let page = opened("");
    page.focus("[data-preset=overfit]");
    page.press("Enter");
    page.focus("#train-step");
    page.press("Space");
    page.until_text("#train-runs", "overfit fast");
    until_step(&page, 1);
    until_state(&page, "paused");
    page.focus("#train-play");
    page.press("Enter");
    until_step(&page, 12);
    page.press("Enter");
    until_state(&page, "paused");
    page.focus("#train-plot");
    for (key, step) in [("Home", "1"), ("ArrowRight", "2"), ("ArrowLeft", "1")] {
        page.press(key);
        page.until(&format!("return document.querySelector('#train-plot').ariaValueNow === '{step}'"));
    }
    let spoken = page.attribute("#train-plot", "aria-valuetext").unwrap();
    assert!(spoken.starts_with("step 1, train loss 4."), "{spoken}");
    assert_eq!(page.count(".train-plot path.cursor"), 1);
    page.press("Escape");
    page.until("return !document.querySelector('.train-plot path.cursor')");
    page.focus("#train-step-shown");
    page.press("Home");
    page.until_text("#train-looked", "after step 0");
    page.press("ArrowRight");
    page.until_text("#train-looked", "after step 1.");
    page.until_text(".model-name", "step 1");
    page.focus("#train-back");
    page.press("Enter");
    page.until("return !location.hash.includes('step=')");
    page.until_text("#shell", "checked by SHA-256");
}

#[test]
fn what_is_out_of_range_is_explained_and_not_changed() {
    let page = opened("");
    page.click(".train-next details summary");
    for (field, value, part) in [
        ("n_layer", "0", "n_layer is 0"),
        ("n_head", "3", "n_embd (64) is not divisible by n_head (3)"),
        ("dropout", "1", "dropout is 1"),
        ("batch_size", "many", "Sequences per batch (batch_size) must be a whole number"),
        ("learning_rate", "11", "learning_rate is 11"),
        ("n_positions", "100000", "too short"),
        ("n_embd", "4096", "GiB of memory"),
    ] {
        let input = format!("#train-{field}");
        let before = page.value(&input);
        page.fill(&input, value);
        page.until_text("#train-trouble", part);
        assert_eq!(page.value(&input), value);
        page.until("return document.querySelector('#train-play').disabled");
        page.fill(&input, &before);
        page.until("return document.querySelector('#train-trouble').innerText === ''");
    }
    page.until("return !document.querySelector('#train-play').disabled");
}

#[test]
fn all_figures_show_the_model_of_a_step() {
    let page = Page::opened("#train?engine=cpu&text=We+are&layer=1&head=2&preset=overfit");
    page.scroll_to("#train-figure");
    page.until("return /learn from 4.\\d\\d\\d tokens/.test(document.querySelector('.train-plan').innerText)");
    play_to(&page, 12);
    page.js::<Value>("document.querySelector('.attn-all').open = true", []);
    for step in [2, 10] {
        let at: usize = page.js("return [0, 1, 2, 5, 10].indexOf(arguments[0])", [json!(step)]);
        page.set("#train-step-shown", &at.to_string());
        page.until_text("#train-looked", &format!("after step {step}."));
        page.until_text(".model-name", &format!("step {step}"));
        let (native, _) = Native::overfit(step);
        let (n, weights) = native.attention("We are", 1, 2);
        let expected = &weights[(n - 1) * n..];
        page.until(&format!(
            "const rows = [...document.querySelectorAll('#attention-all tbody tr')].map(row => +row.querySelectorAll('td')[3].innerText);
             const expected = {};
             return rows.length === {n} && rows.every((weight, key) => Math.abs(weight - expected[key]) < 2e-5)",
            json!(expected)
        ));
        page.until(&format!("return location.hash.includes('step={step}')"));
        assert_eq!(page.count(".train-plot path.looked"), 1);
    }
    page.click("#train-back");
    page.until_text("#shell", "checked by SHA-256");
}

#[test]
fn the_section_is_accessible_while_a_run_stands() {
    let page = opened("");
    play_to(&page, 40);
    page.click(".train-next details summary");
    crate::access::assert_accessible(&page, "#train");
    for width in [320, 360, 1440] {
        page.size(width, 900);
        assert!(!page.scrolls_sideways(), "at {width} pixels");
    }
}

#[test]
fn nothing_moves_while_it_trains() {
    let page = opened("");
    page.click("#train-play");
    until_step(&page, 3);
    page.js::<Value>(
        "window.shifts = [];
         new PerformanceObserver(list => shifts.push(...list.getEntries().filter(e => !e.hadRecentInput).map(e =>
             e.sources.map(s => (s.node?.id || s.node?.className || s.node?.nodeName) + ''))))
             .observe({ type: 'layout-shift' });
         window.tasks = [];
         new PerformanceObserver(list => tasks.push(...list.getEntries().map(e => e.duration))).observe({ type: 'longtask' });",
        [],
    );
    until_step(&page, 60);
    let shifts: Vec<Vec<String>> = page.js("return shifts", []);
    assert!(shifts.is_empty(), "{shifts:?}");
}
