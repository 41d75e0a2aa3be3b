//! The first figure: what the model expects after the text, by mouse and by keyboard.

use serde_json::json;

use crate::harness::Page;
use crate::native::Native;

const TEXT: &str = "First Citizen:\nWe are accounted poor citizens, the patricians good";

/// Each choice's token and what its button says.
fn choices(page: &Page) -> Vec<(u32, String)> {
    let script = "return [...document.querySelectorAll('.next-choice')].map(button => [Number(button.dataset.token), button.innerText])";
    page.js(script, [])
}

#[track_caller]
fn until_text(page: &Page, text: &str) {
    let tail = text.replace('\n', "↵").replace(' ', "·");
    let tail = &tail[tail.char_indices().rev().nth(9).map_or(0, |(at, _)| at)..];
    page.until(&format!(
        "return document.querySelector('.next-text').textContent.endsWith({})",
        json!(format!("{tail}?"))
    ));
}

#[test]
fn the_likeliest_are_those_of_core_and_a_click_writes_one() {
    let native = Native::shipped();
    let page = Page::opened(&format!("?text={}", TEXT.replace(' ', "+").replace('\n', "%0A")));
    until_text(&page, TEXT);
    let mut text = TEXT.to_owned();
    for press in 0..3 {
        let logits = native.next(&text);
        let mut expected: Vec<usize> = (0..logits.len()).collect();
        expected.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let shown = choices(&page);
        assert_eq!(shown.iter().map(|(id, _)| *id as usize).collect::<Vec<_>>(), expected[..6]);
        let total: f64 = logits.iter().map(|&logit| f64::from(logit - logits[expected[0]]).exp()).sum();
        let share = format!("{:.1}", 100.0 / total);
        let says = shown[0].1.replace(['\n', ' '], "");
        assert!(says.contains(&share[..share.len() - 2]), "{says} is not about {share} %");
        // By mouse, then by keyboard.
        let written = native.checkpoint.tokenizer.decode(&[expected[press] as u32]).unwrap();
        let button = format!(".next-choice:nth-child({})", press + 1);
        if press == 0 {
            page.click(&button);
        } else {
            page.focus(&button);
            page.press("Enter");
        }
        text.push_str(&written);
        until_text(&page, &text);
    }
    let whole: String = page.js("return document.querySelector('#attention-text').value", []);
    assert_eq!(whole, text);
}
