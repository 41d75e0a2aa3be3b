//! Loading models, opening one's own, choosing an engine.

use std::fs;

use crate::harness::{Fault, Page, Server, Setup, root};

const WEIGHTS: &str = "model.safetensors";

/// Files of the shipped model.
fn shipped() -> Vec<(&'static str, Vec<u8>)> {
    let folder = root().join("web/models/shakespeare");
    ["config.json", "tokenizer.json", WEIGHTS].map(|name| (name, fs::read(folder.join(name)).unwrap())).into()
}

#[track_caller]
fn drop_on(page: &Page, css: &str, files: &[(&str, Vec<u8>)]) {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    page.drop_files(css, &files);
}

#[test]
fn a_download_shows_progress_and_can_be_stopped_and_tried_again() {
    let page = Page::new();
    page.server.fail(WEIGHTS, Fault::Held);
    page.open("");
    page.until_text("#shell", "of 1.64");
    assert_eq!(page.attribute("#loading-bar", "max").as_deref(), Some("1"));
    page.click("#stop-loading");
    page.until_text("#load-failure", "stopped");
    page.server.mend();
    page.click("#retry");
    page.ready();
    page.until_text("#shell", "checked by SHA-256");
}

#[test]
fn a_second_visit_downloads_no_weights() {
    let page = Page::opened("");
    page.until_text("#shell", "checked by SHA-256");
    page.server.take_asked();
    page.reload();
    page.ready();
    page.until_text("#shell", "kept from an earlier visit");
    let asked = page.server.take_asked();
    assert!(!asked.iter().any(|path| path.ends_with(WEIGHTS)), "{asked:?}");
}

#[test]
fn a_damaged_download_is_a_sentence_and_never_a_model() {
    let page = Page::new();
    page.server.fail(WEIGHTS, Fault::Corrupt);
    page.open("");
    page.until_text("#load-failure", "SHA-256");
    assert_eq!(page.count(".model-name"), 0);
    page.server.mend();
    page.click("#retry");
    page.ready();
}

#[test]
fn a_model_that_is_not_there_leaves_the_way_back() {
    let page = Setup::default().expect_message("404").start();
    page.open("?model=models/none");
    page.until_text("#load-failure", "no model at models/none");
    page.click("#shipped");
    page.ready();
    assert!(!page.address_end().contains("none"));
}

#[test]
fn dropped_files_take_the_models_place_and_hostile_ones_do_not() {
    let page = Page::opened("?layer=3&head=2");
    drop_on(&page, "main", &shipped());
    page.until_text("#shell", "from your files");
    page.ready();
    drop_on(&page, "main", &[("config.json", b"{".to_vec()), (WEIGHTS, vec![0xff; 64])]);
    page.until_text("#load-failure", "config.json");
    page.until_text("#load-failure", "stays loaded");
    page.until_text("#shell", "from your files");
    drop_on(&page, "main", &[("adapter_config.json", b"{}".to_vec())]);
    page.until_text("#load-failure", "Merge");
    page.click("#shipped");
    page.until_text("#shell", "checked by SHA-256");
    assert!(page.address_end().contains("layer=3"), "{}", page.address_end());
}

#[test]
fn files_are_chosen_with_the_keyboard() {
    let page = Page::opened("#own");
    page.focus("#own-files");
    let folder = root().join("web/models/shakespeare");
    page.upload("#own-files", &["config.json", "tokenizer.json", WEIGHTS].map(|name| folder.join(name)));
    page.until_text("#shell", "from your files");
    page.ready();
}

#[test]
fn an_address_is_loaded_and_is_in_the_pages_address() {
    let page = Page::opened("#own");
    let folder = format!("{}models/shakespeare", page.server.address());
    page.fill("#own-url", &folder);
    page.press("Enter");
    page.until_text("#shell", "from the address you gave");
    page.until_setting("model", Some(&folder));
    page.reload();
    page.ready();
    page.until_text("#shell", "from the address you gave");
}

/// A host of models, not the page's.
fn elsewhere(headers: &[(&str, &str)]) -> Server {
    Server::start(root().join("web/models/shakespeare"), "/gpt/", headers)
}

#[test]
fn a_model_on_another_host_is_loaded_however_it_is_sent() {
    let page = Page::opened("#own");
    let other = elsewhere(&[("Access-Control-Allow-Origin", "*")]);
    for compressed in [false, true] {
        if compressed {
            other.compress();
        }
        page.fill("#own-url", &other.address());
        page.press("Enter");
        page.until_text("#shell", "from the address you gave");
        page.ready();
        let asked = other.take_asked();
        assert!(asked.iter().any(|path| path.ends_with(WEIGHTS)), "{asked:?}");
        page.click("#shipped");
        page.until_text("#shell", "checked by SHA-256");
    }
}

#[test]
fn a_host_that_lets_no_other_sites_read_is_named() {
    let page = Setup::default().expect_message("CORS").expect_message("ERR_FAILED").start();
    page.open("#own");
    page.ready();
    let other = elsewhere(&[]);
    page.fill("#own-url", &other.address());
    page.press("Enter");
    page.until_text("#load-failure", "does not let other sites' pages read it");
    page.until_text("#shell", "checked by SHA-256");
}

#[test]
fn a_dropped_text_is_the_text_of_all_figures() {
    let page = Page::opened("");
    drop_on(&page, "main", &[("poem.txt", b"Shall I compare thee\r\nto a summer".to_vec())]);
    page.until_setting("text", Some("Shall I compare thee\nto a summer"));
    drop_on(&page, "main", &[("noise.txt", vec![0xff; 32])]);
    page.until_text("#note", "UTF-8");
}

#[test]
fn a_layer_that_the_model_has_not_is_the_first() {
    let page = Page::opened("?layer=99&head=7&ablated=9.9");
    page.until("return !/layer|head|ablated/.test(location.href)");
}

#[test]
fn the_engine_is_chosen_by_mouse_and_by_keyboard() {
    let page = Page::opened("");
    // The adapter of tests is a program: nobody gets it unasked.
    page.until_text(".engine", "not a graphics card");
    page.js::<()>("document.querySelector('input[name=engine][value=webgpu]').focus()", []);
    page.press("ArrowLeft");
    page.until_text(".engine", "You chose the CPU");
    page.press("ArrowRight");
    page.until_text(".engine", "WebGPU, swiftshader");
    page.until_setting("engine", Some("webgpu"));
    page.click(".segment:nth-of-type(1) input");
    page.until_setting("engine", None);
}
