//! `#own`: other models, and everything that can be wrong with them. The model that is there stays.

use std::fs;

use crate::harness::{Fault, Page, Setup, root};

fn shipped(name: &str) -> Vec<u8> {
    fs::read(root().join("web/models/shakespeare").join(name)).expect("the shipped model has its files")
}

/// There is a sentence, and the model is still at work.
#[track_caller]
fn is_refused(page: &Page) -> String {
    page.until("return document.querySelector('#load-failure')?.innerText.trim()");
    assert!(page.text(".model-name").len() > 1, "the model that was there is gone");
    page.text("#load-failure")
}

#[test]
fn hostile_files_are_refused_with_a_sentence() {
    let page = Page::opened("#own");
    let mut cut = shipped("model.safetensors");
    cut.truncate(cut.len() / 2);
    let mut endless = shipped("model.safetensors");
    endless[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let config = shipped("config.json");
    let tokenizer = shipped("tokenizer.json");
    for weights in [&cut[..], &endless[..100], b"", b"<!doctype html>"] {
        page.drop_files(
            "#own",
            &[("config.json", &config), ("tokenizer.json", &tokenizer), ("model.safetensors", weights)],
        );
        let sentence = is_refused(&page);
        assert!(sentence.len() > 20, "{sentence}");
    }
    page.drop_files("#own", &[("notes.doc", b"nothing to see")]);
    is_refused(&page);
}

#[test]
fn a_download_that_breaks_off_or_is_altered_is_refused_and_can_be_tried_again() {
    for fault in [Fault::Cut, Fault::Corrupt, Fault::Status(503), Fault::Other(b"<!doctype html>".to_vec())] {
        let page = Setup::default().expect_message("Failed to load").expect_message("model.safetensors").start();
        page.server.fail("model.safetensors", fault);
        page.open("");
        page.until("return document.querySelector('#load-failure')?.innerText.trim()");
        page.server.mend();
        page.click("#retry");
        page.ready();
    }
}
