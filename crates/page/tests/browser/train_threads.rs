//! `#train`: several threads, and what becomes of a run that loses one, or its graphics card.

use crate::harness::{Fault, Page, Setup};
use crate::native::Native;
use crate::train::{losses, opened, play_to, until_far_step, until_state};

fn assert_native(page: &Page, steps: usize) {
    let (_, expected) = Native::overfit(steps);
    for (step, (shown, expected)) in losses(page, steps as u64).into_iter().zip(expected).enumerate() {
        assert!((shown - expected).abs() <= 1e-4, "step {}: {shown} is not {expected}", step + 1);
    }
}

#[test]
fn any_number_of_threads_has_the_native_losses() {
    let page = opened("&threads=3");
    page.until_text(".train-plan", "3 threads");
    play_to(&page, 20);
    page.until_text(".train-head", "3 threads");
    assert_native(&page, 20);
    // The next run is to have another number.
    page.click(".train-next details summary");
    page.click("#train-threads option[value='1']");
    page.until("return location.hash.includes('threads=1')");
    page.until_text(".train-plan", "one thread");
    page.fill("#train-seed", "7");
    page.until("return !document.querySelector('#train-new').disabled");
    page.click("#train-new");
    page.until_text(".train-head", "one thread");
}

#[test]
fn a_thread_that_cannot_be_started_is_told_of_and_not_needed() {
    for file in ["learner-start.js", "learner_bg.wasm"] {
        let page = Setup::default().expect_message("404").expect_message("learner").start();
        // The learner itself begins with this file, and then its replicas do. Without a service worker nobody else asks for it.
        page.before_scripts("delete Navigator.prototype.serviceWorker");
        page.server.fail(file, Fault::Once);
        page.open("#train?engine=cpu&threads=2&preset=overfit");
        page.ready();
        page.scroll_to("#train-figure");
        page.until_text(".train-plan", "2 threads");
        page.until("return /learn from 4.\\d\\d\\d tokens/.test(document.querySelector('.train-plan').innerText)");
        play_to(&page, 20);
        page.until_text("#train-moved", "A thread was lost");
        page.until_text(".train-head", "one thread");
        assert_native(&page, 20);
    }
}

#[test]
fn a_lost_graphics_card_is_told_of_and_no_step_is_lost() {
    let page = Setup::default().expect_message("external Instance").start();
    page.open("#train?engine=webgpu&preset=overfit");
    page.ready();
    page.scroll_to("#train-figure");
    page.until_text(".train-plan", "weights learn from");
    crate::train_limits::small(&page, &[]);
    page.click("#train-play");
    page.until_text(".train-head", "WebGPU");
    until_far_step(&page, 5);
    page.cdp("Browser.crashGpuProcess", serde_json::json!({}));
    page.until_text("#train-moved", "The graphics card failed");
    until_far_step(&page, 20);
    page.click("#train-play");
    until_state(&page, "paused");
    let (_, expected) = crate::train_limits::small_natively(20);
    for (step, (shown, expected)) in losses(&page, 20).into_iter().zip(expected).enumerate() {
        assert!((shown - expected).abs() <= 1e-3, "step {}: {shown} is not {expected}", step + 1);
    }
}
