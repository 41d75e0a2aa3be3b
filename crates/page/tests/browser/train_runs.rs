//! `#train`: runs that are kept, saved, compared, rewound; and what goes wrong with them.

use serde_json::{Value, json};

use crate::harness::Page;
use crate::train::{opened, play_to, status, until_far_step, until_state, until_step};

/// The loss of a step.
#[track_caller]
fn loss_at(page: &Page, step: u64) -> String {
    page.focus("#train-plot");
    page.press("Home");
    for _ in 1..step {
        page.press("ArrowRight");
    }
    // The slider may be there before the numbers are.
    page.until(&format!(
        "return document.querySelector('#train-plot').ariaValueNow === '{step}' && document.querySelector('#train-numbers').dataset.loss"
    ));
    page.attribute("#train-numbers", "data-loss").unwrap()
}

#[test]
fn a_kept_run_goes_on_after_a_reload_as_if_nothing_had_been() {
    let page = opened("");
    let step = play_to(&page, 15);
    let next = step + 3;
    // What it would have gone on to.
    for _ in 0..3 {
        let before = status(&page, "step");
        page.click("#train-step");
        page.until(&format!("return document.querySelector('.train-status dd').textContent !== '{before}'"));
        until_state(&page, "paused");
    }
    let expected = loss_at(&page, next);
    let first = loss_at(&page, 1);
    page.until_text(".train-status", &format!("as of step {next}"));

    let other = opened("");
    let step = play_to(&other, 15);
    other.reload();
    other.ready();
    other.scroll_to("#train-figure");
    other.until_text("#train-kept", "overfit fast");
    other.click("#train-kept button");
    other.until_text("#train-runs", &format!("step {step} of 600"));
    // Its past comes after its name.
    other.until(&format!("return document.querySelector('#train-plot').ariaValueMax === '{step}'"));
    assert_eq!(loss_at(&other, 1), first);
    for _ in step..next {
        let before = status(&other, "step");
        other.click("#train-step");
        other.until(&format!("return document.querySelector('.train-status dd').textContent !== '{before}'"));
        until_state(&other, "paused");
    }
    assert_eq!(loss_at(&other, next), expected);
}

#[test]
fn a_run_is_saved_opened_forgotten_and_reset() {
    let page = opened("");
    let step = play_to(&page, 15);
    page.js::<Value>(
        "const make = URL.createObjectURL;
         URL.createObjectURL = blob => { window.saved = blob; return make.call(URL, blob); }",
        [],
    );
    page.click("#train-runs button[aria-label^='Save']");
    page.until("return window.saved");
    page.click("#train-runs button[aria-label^='Close']");
    page.until("return !document.querySelector('#train-runs li')");
    page.until_text("#train-kept", "overfit fast");
    page.click("#train-kept button[aria-label^='Forget']");
    page.until("return !document.querySelector('#train-kept li')");
    page.js::<Value>(
        "const data = new DataTransfer();
         data.items.add(new File([window.saved], 'run.zip'));
         const input = document.querySelector('#train-zip');
         input.files = data.files;
         input.dispatchEvent(new Event('change', { bubbles: true }));",
        [],
    );
    page.until_text("#train-runs", &format!("step {step} of 600"));
    until_state(&page, "paused");
    page.click("#train-step");
    page.until_text("#train-runs", &format!("step {} of 600", step + 1));
}

#[test]
fn a_reset_run_begins_again_with_the_same_losses() {
    let page = opened("");
    play_to(&page, 5);
    let first = loss_at(&page, 1);
    page.click("#train-reset");
    page.until_text("#train-runs", "step 0 of 600");
    page.click("#train-step");
    until_step(&page, 1);
    assert_eq!(loss_at(&page, 1), first);
    assert_eq!(page.count("#train-runs li"), 1);
}

#[test]
fn two_runs_race_and_their_settings_are_compared() {
    let page = opened("");
    play_to(&page, 5);
    page.click(".train-next details summary");
    page.fill("#train-n_layer", "2");
    page.until("return !document.querySelector('#train-new').disabled");
    page.until_text(".train-plan", "weights");
    page.click("#train-new");
    page.until("return document.querySelectorAll('#train-runs li').length === 2");
    page.until_text("#train-difference", "Layers");
    until_step(&page, 5);
    page.click("#train-runs li:first-child button[aria-label^='Play']");
    page.until("return document.querySelectorAll(\"#train-runs button[aria-label^='Pause']\").length === 2");
    page.until("return document.querySelector('.train-plot path.other-val') && document.querySelector('.train-plot .run-0.other-train').getAttribute('d').length > 20");
    let names: Vec<String> = page.texts("#train-runs .train-name");
    assert_eq!(names, ["overfit fast", "overfit fast 2"]);
}

#[test]
fn who_overfits_is_told_and_can_go_back_to_the_best() {
    let page = opened("");
    page.click(".train-next details summary");
    page.fill("#train-max_steps", "240");
    page.until_text(".train-plan", "240 steps");
    page.click("#train-play");
    until_far_step(&page, 240);
    until_state(&page, "finished");
    page.until_text("#train-verdict", "Overfit since step");
    page.until("return document.querySelectorAll('#train-evaluations tbody tr').length > 4");
    assert_eq!(page.count(".train-plot path.best"), 1);
    let label = page.text("#train-rewind");
    page.click("#train-rewind");
    let step: String = label.chars().filter(char::is_ascii_digit).collect();
    page.until_text("#train-runs", &format!("step {step} of 240"));
    until_state(&page, "paused");
}

#[test]
fn a_dropped_text_can_be_learnt_from() {
    let page = Page::opened("#train?engine=cpu");
    page.scroll_to("#train-figure");
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(60);
    page.drop_files("main", &[("fox.txt", text.as_bytes())]);
    page.until_text(".train-offer", "fox.txt");
    page.click("#train-dropped");
    page.until_text(".train-own", "fox.txt: 2");
    page.until("return /learn from 2.430 tokens/.test(document.querySelector('.train-plan').innerText)");
    page.fill("#train-own", "short");
    page.until_text("#train-trouble", "too short");
}

#[test]
fn a_hidden_tab_says_what_that_does() {
    let page = opened("");
    page.click("#train-play");
    until_step(&page, 3);
    let hide = |hidden: bool| {
        page.js::<Value>(
            "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });
             document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));",
            [json!(hidden)],
        );
    };
    hide(true);
    page.until_text("#train-hidden", "slow down or stop");
    until_step(&page, 6);
    hide(false);
    page.until_text("#train-hidden", "While this tab was hidden");
}

#[test]
fn a_learner_that_breaks_down_breaks_nothing_else() {
    let page = crate::harness::Setup::default().expect_message("gone wrong").start();
    page.before_scripts(
        "const Native = window.Worker; window.workers = [];
         window.Worker = class extends Native { constructor(...all) { super(...all); workers.push(this); } };",
    );
    page.open("#train?engine=cpu&preset=overfit");
    page.ready();
    page.scroll_to("#train-figure");
    page.until("return /learn from 4.\\d\\d\\d tokens/.test(document.querySelector('.train-plan').innerText)");
    play_to(&page, 5);
    page.js::<Value>("workers[1].dispatchEvent(new ErrorEvent('error', { message: 'gone wrong' }))", []);
    page.until_text("#train-problem", "gone wrong");
    until_state(&page, "broken");
    assert!(page.js::<bool>("return document.querySelector('#failure').hidden", []));
    page.fill("#tokenize-text", "Not to be");
    page.until("return document.querySelectorAll('.tk-chips .tk-chip').length === 9");
    // What was kept goes on in another learner.
    page.click("#train-runs button[aria-label^='Close']");
    page.until_text("#train-kept", "overfit fast");
    page.click("#train-kept button");
    page.until_text("#train-runs", "overfit fast");
}

#[test]
fn a_text_too_long_to_show_is_not_lost_by_typing_nor_by_a_look_at_another() {
    let page = opened("");
    page.click("input[name='train-text'][value='2']");
    page.js::<()>(
        "const field = document.querySelector('textarea#train-own');
         field.value = 'The quick brown fox. '.repeat(1200);
         field.dispatchEvent(new Event('input', { bubbles: true }))",
        [],
    );
    page.until_text(".train-own", "25\u{202f}200 characters");
    page.until("return document.querySelector('textarea#train-own').readOnly");
    page.click("input[name='train-text'][value='1']");
    page.until_text(".train-plan", "learn from 4\u{202f}");
    page.click("input[name='train-text'][value='2']");
    page.until_text(".train-plan", "learn from 22\u{202f}680 tokens");
    page.click("#train-empty");
    page.until("return !document.querySelector('textarea#train-own').readOnly");
    page.until_text("#train-trouble", "empty");
}

#[test]
fn a_button_that_was_pressed_keeps_the_focus() {
    let page = opened("");
    page.focus("#train-step");
    for step in 1..=3 {
        page.press(" ");
        until_step(&page, step);
        until_state(&page, "paused");
    }
    assert_eq!(page.js::<String>("return document.activeElement.id", []), "train-step");
}

#[test]
fn a_vocabulary_that_is_no_number_is_explained() {
    let page = opened("");
    page.click("input[name='train-tokens'][value='2']");
    page.until_text(".train-plan", "in the vocabulary");
    page.fill("#train-vocab", "many");
    page.until_text("#train-trouble", "vocab_size");
    page.until("return document.querySelector('#train-play').disabled");
    page.fill("#train-vocab", "300");
    page.until("return !document.querySelector('#train-play').disabled");
}

#[test]
fn a_reload_stays_where_the_page_was() {
    let page = opened("");
    page.js::<()>("scrollBy(0, 137)", []);
    let top = "return Math.round(document.querySelector('#train').getBoundingClientRect().top)";
    let before: i32 = page.js(top, []);
    page.reload();
    page.ready();
    page.until_text(".train-plan", "weights learn from");
    page.until(&format!("return Math.abs((() => {{ {top} }})() - {before}) <= 2"));
}
