//! `#sample`: the text and its chances are those of the native core with the same seed and settings.

use inkling_core::sample::{Sampler, SamplerConfig};

use crate::harness::Page;
use crate::native::Native;

const PROMPT: &str = "ROMEO:";
const COUNT: usize = 60;

/// Writes a text with these settings on the CPU engine.
#[track_caller]
fn written(settings: &str) -> Page {
    // The columns are those of the first character.
    let page = Page::opened(&format!("#sample?prompt=ROMEO%3A&length={COUNT}&picked=0&engine=cpu&{settings}"));
    page.until(&format!(
        "return document.querySelector('.sample-page[aria-busy=false]')?.dataset.written === '{COUNT}'"
    ));
    page
}

/// As it stands there; line ends have a glyph of their own.
#[track_caller]
fn text(page: &Page) -> String {
    let text: String = page.js("return document.querySelector('.sample-text').textContent", []);
    text.replace('↵', "")
}

#[test]
fn the_same_seed_gives_the_native_text() {
    for (settings, sampling) in [
        ("seed=7", SamplerConfig { temperature: 0.8, seed: 7, ..SamplerConfig::default() }),
        ("seed=8&temperature=1.2&top_k=5", SamplerConfig { temperature: 1.2, top_k: Some(5), seed: 8, top_p: None }),
        ("seed=9&temperature=0", SamplerConfig { temperature: 0.0, seed: 9, ..SamplerConfig::default() }),
    ] {
        let page = written(settings);
        assert_eq!(text(&page), Native::shipped().generate(PROMPT, &sampling, COUNT).0, "{settings}");
    }
}

/// The chances after the cuts of the ten likeliest tokens, as shares; none where a token was cut off.
#[track_caller]
fn top_ten(page: &Page) -> Vec<(usize, Option<f32>)> {
    let rows: Vec<[String; 2]> = page.js(
        "return [...document.querySelectorAll('#sample-top-ten tbody tr')].map(row => [row.cells[1].innerText, row.cells[5].innerText])",
        [],
    );
    let share =
        |text: &str| text.trim_end_matches(['%', '\u{202f}', ' ']).parse().ok().map(|percent: f32| percent / 100.0);
    rows.iter().map(|[id, chance]| (id.parse().expect("ids are numbers"), share(chance))).collect()
}

#[test]
fn temperature_and_cuts_do_what_they_say() {
    let native = Native::shipped();
    for (settings, temperature, top_k, top_p) in [
        ("temperature=0.5", 0.5, None, None),
        ("temperature=2", 2.0, None, None),
        ("temperature=1&top_k=3", 1.0, Some(3), None),
        ("temperature=1&top_p=0.5", 1.0, None, Some(0.5)),
    ] {
        let sampling = SamplerConfig { temperature, top_k, top_p, seed: 1337 };
        let page = written(settings);
        page.js::<serde_json::Value>("document.querySelector('#sample-top-ten').closest('details').open = true", []);
        page.until("return document.querySelectorAll('#sample-top-ten tbody tr').length === 10");
        let (_, logits) = native.generate(PROMPT, &sampling, 1);
        let chances = Sampler::new(sampling).expect("these settings are valid").probabilities(&logits[0]);
        for (id, shown) in top_ten(&page) {
            // Three digits are shown; what was cut off has no chance.
            let (shown, expected) = (shown.unwrap_or(0.0), chances[id]);
            assert!(
                (shown - expected).abs() <= 0.01 * expected + 1e-6,
                "{settings}, token {id}: {shown} is not {expected}"
            );
        }
    }
}
