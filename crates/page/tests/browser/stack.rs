//! `#stack`: parts and costs are the native core's; parts are reached by mouse and by keys; sizes that cannot be are explained.

use inkling_core::ModelConfig;
use inkling_core::program::Pass;
use inkling_core::train::{TrainConfig, record};

use crate::harness::Page;
use crate::native::Native;

const COSTS: &str = ".stack-costs tbody td:nth-child(2)";
const SENTENCE: &str = "#stack-trouble";

/// A whole number as the page writes it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join("\u{202f}")
}

fn opened(end: &str) -> Page {
    let page = Page::opened(end);
    page.until("return document.querySelectorAll('.stack-costs tbody tr').length >= 5");
    page
}

#[test]
fn numbers_are_those_of_core() {
    let page = opened("#stack");
    let config = Native::shipped().checkpoint.config;
    assert_eq!(page.texts(COSTS)[0], grouped(config.num_parameters()));
    let (program, ..) = record(&config, &TrainConfig { batch_size: 1, ..TrainConfig::default() }).unwrap();
    page.click(".stack-program summary");
    page.until("return document.querySelectorAll('.stack-program tbody tr').length > 5");
    let summary = page.text(".stack-program .soft");
    assert!(summary.starts_with(&grouped(program.ops(Pass::Forward).len() as u64)), "{summary}");
}

#[test]
fn doubling_the_width_shows_what_grows_by_four() {
    let page = opened("#stack");
    let config = Native::shipped().checkpoint.config;
    let wide = ModelConfig { n_embd: 2 * config.n_embd, n_inner: 2 * config.n_inner, ..config.clone() };
    page.fill("#stack-width", &wide.n_embd.to_string());
    page.until_text(COSTS, &grouped(wide.num_parameters()));
    // The device is measured once somebody wants to know.
    page.until_text(".stack-measure", "Measured here");
    page.until_text(".stack-costs tbody tr:last-child", "×");
    page.click("#stack-h-0-mlp-c_proj");
    page.until_text(".stack-card", "h.0.mlp.c_proj.weight");
    page.until_text(".stack-card", "×4.00");
    // The address has it, and a reader of the address sees it.
    page.until(&format!("return location.hash.includes('..{}..')", wide.n_embd));
    page.reload();
    page.until_text(COSTS, &grouped(wide.num_parameters()));
    assert_eq!(page.console_errors(), [""; 0]);
}

#[test]
fn impossible_sizes_are_explained_and_change_nothing() {
    let page = opened("#stack");
    let before = page.texts(COSTS);
    page.fill("#stack-width", "130");
    page.until_text(SENTENCE, "does not divide by 4 heads");
    assert_eq!(page.attribute("#stack-width", "aria-invalid").as_deref(), Some("true"));
    assert_eq!(page.texts(COSTS)[..5], before[..5]);
    page.fill("#stack-layers", "");
    page.until_text(SENTENCE, "Layers must be a whole number");
    page.click(".stack-presets button");
    page.until(&format!("return document.querySelector('{SENTENCE}').innerText === ''"));
}

#[test]
fn parts_are_reached_with_keys_alone() {
    let page = opened("#stack");
    page.focus(".stack-part[tabindex='0']");
    page.until_text(".stack-card", "wte.weight");
    page.press("ArrowDown");
    page.press("ArrowRight");
    page.until("return document.activeElement.closest('.stack-drawing') && document.activeElement.tabIndex === 0");
    let at: String = page.js("return document.activeElement.id", []);
    assert!(at.starts_with("stack-h-0-"), "{at}");
    page.press("Enter");
    page.until("return document.activeElement.getAttribute('aria-pressed') === 'true'");
    page.press("End");
    page.until("return document.activeElement.id === 'stack-lm_head'");
    page.until_text(".stack-card", "lm_head");
    page.press("Escape");
    page.until("return !document.querySelector('.stack-part[aria-pressed=true]')");
    assert_eq!(page.count(".stack-part[tabindex='0']"), 1);
}

#[test]
fn many_blocks_are_folded() {
    let page = opened("#stack");
    page.click(".stack-presets button:last-child");
    page.until_text(".stack-block", "12 × this block");
    page.until_text(".stack-head button", "Show all 12 blocks");
    page.click(".stack-head button");
    page.until("return document.querySelectorAll('.stack-block').length === 12");
    page.until_text(COSTS, &grouped(124_439_808));
}
