//! `#sample`: the text is the native one, and whatever is picked, moved, kept or put, by mouse and by keyboard.

use std::fs;

use inkling_core::Device;
use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::program::Precision;
use inkling_core::sample::{Generator, SamplerConfig};
use serde_json::{Value, json};

use crate::harness::{Page, Setup, root};

const TEXT: &str = "#sample .sample-page";
const COLUMNS: &str = "#sample .stages";

/// What core writes natively, as a string.
fn native(prompt: &str, sampling: SamplerConfig, count: usize) -> String {
    let folder = root().join("web/models/shakespeare");
    let model = Checkpoint::model_from_files(|name| Ok(fs::read(folder.join(name)).ok())).unwrap();
    let device = Device::Cpu(Pool::new(1));
    let (config, weights) = (&model.config, &model.weights);
    let prompt = model.tokenizer.encode(prompt).unwrap();
    pollster::block_on(async {
        let mut generator = Generator::new(config, weights, Precision::Full, device, 1 << 30).await.unwrap();
        generator.start(&prompt).unwrap();
        model.tokenizer.decode(&generator.generate(&sampling, count).await.unwrap()).unwrap()
    })
}

fn sampling(temperature: f32, seed: u64) -> SamplerConfig {
    SamplerConfig { temperature, seed, ..SamplerConfig::default() }
}

/// What the page shows, with line ends as they are.
fn written(page: &Page) -> String {
    let text: String = page.js("return document.querySelector('#sample .sample-text').textContent", []);
    text.replace("↵\n", "\n")
}

/// Waits until a text of so many tokens is finished.
#[track_caller]
fn finished(page: &Page, tokens: usize) {
    page.until(&format!(
        "const text = document.querySelector('{TEXT}');
         return text?.ariaBusy === 'false' && text.dataset.written === '{tokens}' && !text.querySelector('.stale')"
    ));
}

fn open(end: &str) -> Page {
    let page = Page::opened(end);
    finished(&page, if end.contains("length=") { 60 } else { 400 });
    page
}

#[test]
fn the_page_writes_what_core_writes_natively_and_the_dice_stay_when_the_temperature_moves() {
    let page = open("#sample");
    let first = written(&page);
    assert_eq!(first, native("ROMEO:", sampling(0.8, 1337), 400));
    page.set("#sample-temperature", "1.2");
    page.until_text("#sample .sample-change", "became");
    finished(&page, 400);
    let hot = written(&page);
    assert_eq!(hot, native("ROMEO:", sampling(1.2, 1337), 400));
    let same = first.chars().zip(hot.chars()).take_while(|(a, b)| a == b).count();
    assert_eq!(page.count("#sample .token.changed"), first.chars().zip(hot.chars()).filter(|(a, b)| a != b).count());
    assert!(same > 0 && !page.text("#sample .sample-change").is_empty());
    // Greedy, and back to the first text.
    page.set("#sample-temperature", "0");
    page.until("return document.querySelector('#sample .readout-token').innerText.includes('largest logit')");
    finished(&page, 400);
    assert_eq!(written(&page), native("ROMEO:", sampling(0.0, 1337), 400));
    page.set("#sample-temperature", "0.8");
    page.until("return !document.querySelector('#sample .readout-token').innerText.includes('largest logit')");
    finished(&page, 400);
    assert_eq!(written(&page), first);
}

#[test]
fn the_keyboard_alone_picks_forces_forks_and_goes_back() {
    let page = open("#sample?length=60");
    let first = written(&page);
    page.focus(TEXT);
    page.press("Home");
    for _ in 0..10 {
        page.press("ArrowRight");
    }
    assert_eq!(page.attribute(TEXT, "aria-valuenow").as_deref(), Some("11"));
    let said = page.attribute(TEXT, "aria-valuetext").unwrap();
    assert!(said.starts_with("character 11 of 60"), "{said}");
    // Another token in its place.
    page.focus(COLUMNS);
    page.press("Home");
    page.press("ArrowRight");
    page.press("ArrowRight");
    let token = page.text("#sample .readout-glyph");
    page.press("Enter");
    page.until("return document.querySelectorAll('#sample .sample-branches button').length === 3");
    page.until(&format!("return document.querySelector('{TEXT}').ariaBusy === 'false'"));
    let forced = written(&page);
    assert_eq!(forced.chars().take(10).collect::<String>(), first.chars().take(10).collect::<String>());
    assert_eq!(
        page.texts("#sample .token.put").concat().trim(),
        if token == "↵" { "↵" } else { token.trim_matches('·') }
    );
    // Back, and on with other dice.
    page.focus("#sample-back");
    page.press("Enter");
    page.until(&format!("return document.querySelector('{TEXT}').dataset.written === '60'"));
    assert_eq!(written(&page), first);
    page.focus(TEXT);
    page.press("End");
    page.focus("#sample-fork");
    page.press("Enter");
    finished(&page, 160);
    assert_eq!(written(&page).chars().take(60).collect::<String>(), first);
    assert!(!page.address_end().contains("seed=1337"));
}

#[test]
fn the_mouse_picks_and_forces_and_rows_agree() {
    let page = open("#sample?length=60&top_k=8");
    page.click("#sample .token[data-at='20']");
    assert_eq!(page.attribute(TEXT, "aria-valuenow").as_deref(), Some("21"));
    page.until_text("#sample .place-head", "character 21");
    let left: String = page.text("#sample [data-stage='kept'] .soft");
    assert_eq!(left, "8 of 65 tokens left");
    page.click("#sample details:has(#sample-top-ten) summary");
    page.until("return document.querySelectorAll('#sample-top-ten tbody tr').length === 10");
    let cut: Vec<String> = page
        .js("return [...document.querySelectorAll('#sample-top-ten tbody tr')].map(row => row.cells[5].innerText)", []);
    assert_eq!(cut.iter().filter(|cell| *cell == "cut off").count(), 2, "{cut:?}");
    let before = written(&page);
    page.click(COLUMNS);
    page.until("return document.querySelectorAll('#sample .sample-branches button').length === 3");
    assert!(written(&page).starts_with(&before.chars().take(20).collect::<String>()));
}

#[test]
fn a_step_is_a_token_of_the_same_text() {
    let page = open("#sample?length=60");
    for tokens in 61..=63 {
        page.click("#sample-step");
        finished(&page, tokens);
    }
    assert_eq!(written(&page), native("ROMEO:", sampling(0.8, 1337), 63));
}

#[test]
fn prompts_that_cannot_be_continued_are_sentences() {
    let page = open("#sample?length=60");
    page.fill("#sample-prompt", "");
    page.until_text("#sample-prompt-problem", "empty");
    page.fill("#sample-prompt", "O é");
    page.until_text("#sample-prompt-problem", "é");
    page.fill("#sample-prompt", "JULIET:");
    page.until("return !document.querySelector('#sample-prompt-problem').innerText");
    page.until_text("#sample .sample-prompt", "JULIET:");
    finished(&page, 60);
    assert_eq!(written(&page), native("JULIET:", sampling(0.8, 1337), 60));
}

#[test]
fn another_model_begins_with_an_empty_desk() {
    let page = open("#sample?length=60");
    page.click("nav a[href='#own']");
    let folder = root().join("web/models/shakespeare");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    // One that lacks a character of the prompt.
    let tokenizer = String::from_utf8(read("tokenizer.json")).unwrap().replace("\"R\":", "\"é\":");
    let (config, weights) = (read("config.json"), read("model.safetensors"));
    let files =
        [("config.json", &config[..]), ("tokenizer.json", tokenizer.as_bytes()), ("model.safetensors", &weights[..])];
    page.drop_files("#own", &files);
    page.until_text("#sample-prompt-problem", "R");
    page.until(&format!("return document.querySelector('{TEXT}').dataset.written === '0'"));
    for button in ["#sample-step", "#sample-slow"] {
        assert!(page.js::<bool>("return document.querySelector(arguments[0]).disabled", [json!(button)]), "{button}");
    }
    page.fill("#sample-prompt", "é");
    finished(&page, 60);
    page.click("#sample-step");
    finished(&page, 61);
}

#[test]
fn slow_motion_writes_one_token_after_the_other() {
    let page = open("#sample?length=60");
    page.click("#sample-slow");
    page.until(&format!("return Number(document.querySelector('{TEXT}').dataset.written) >= 62"));
    page.click("#sample-slow");
    page.until("return document.querySelector('#sample-slow').ariaPressed === 'false'");
}

#[test]
fn a_length_that_is_no_length_is_no_harm() {
    let page = Page::opened("#sample?length=60000&top_k=0&top_p=2&temperature=-1&picked=99999999");
    page.until_text("#sample-length-says", "At most 2000");
    page.until("return document.querySelector('#sample-failure').innerText.trim()");
    let page = Page::opened("#sample?length=60000&picked=99999999");
    finished(&page, 2000);
}

#[test]
fn writing_at_full_speed_never_blocks_the_page() {
    let page = Setup::default().alone().start();
    page.open("#sample");
    page.ready();
    finished(&page, 400);
    page.js::<Value>(
        "window.long = [];
         new PerformanceObserver(list => list.getEntries().forEach(entry => window.long.push(entry.duration)))
             .observe({ type: 'longtask' });
         window.begun = 0;
         const text = document.querySelector('#sample .sample-page');
         new MutationObserver(() => { window.begun += text.ariaBusy === 'true' })
             .observe(text, { attributeFilter: ['aria-busy'] })",
        [],
    );
    for (before, temperature) in ["0.5", "0.9", "1.3"].iter().enumerate() {
        page.set("#sample-temperature", temperature);
        page.until(&format!("return window.begun > {before}"));
        finished(&page, 400);
    }
    let long: Vec<f64> = page.js("return window.long", [] as [Value; 0]);
    // A machine that does other things as well may stop any program for a while: what counts is that it is not the rule.
    assert!(long.len() <= 1, "tasks of {long:?} milliseconds");
    let speed: String = page.text("#sample-speed");
    assert!(speed.contains("per second"), "{}", json!(speed));
}
