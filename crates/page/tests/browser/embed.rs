//! `#embed`: neighbours are the native core's, and tokens, channels and positions can be chosen by mouse and by keys.

use inkling_core::embedding_space::{EmbeddingSpace, Query};

use crate::harness::Page;
use crate::native::Native;

/// The tokens next to `e`, as buttons of the first table of bars have them.
const BARS: &str = ".embed-explorer .embed-bars tbody .embed-token";

fn natively_nearest(token: &str) -> Vec<String> {
    let native = Native::shipped();
    let table = &native.checkpoint.weights["wte.weight"];
    let space = EmbeddingSpace::new(&table.data, table.shape[1]);
    let found = space.nearest(Query::Neighbours(native.encode(token)[0]), 8);
    let tokenizer = &native.checkpoint.tokenizer;
    found.iter().map(|found| tokenizer.token_text(found.token).unwrap().replace(' ', "·").replace('\n', "↵")).collect()
}

#[test]
fn neighbours_are_those_of_core_by_mouse() {
    let page = Page::opened("#embed?text=To+be&query=4");
    page.until_text(".embed-explorer .embed-verdict", "20 shuffled tables");
    assert_eq!(page.texts(BARS), natively_nearest("e"));
    // Another of the text, then one of the vocabulary.
    page.click("#embed-token-1");
    page.until_text(".embed-explorer h4", "Nearest to o");
    page.click("#embed-vocabulary-5");
    page.until("return document.querySelector('#embed-vocabulary-5').ariaChecked === 'true'");
    page.until("return document.querySelector('#embed-token-1').ariaChecked === 'true'");
}

#[test]
fn everything_is_chosen_with_keys_alone() {
    let page = Page::opened("#embed?text=To+be&query=0");
    page.until_text(".embed-explorer .embed-verdict", "20 shuffled tables");
    page.focus("#embed-token-0");
    page.press("End");
    page.until("return document.activeElement.id === 'embed-token-4'");
    page.until_text(".embed-explorer h4", "Nearest to e");
    page.until_text("#embed-position-pair", "position 4 and position 3");
    page.focus("#embed-strips");
    page.press("Home");
    page.until_text("#embed-channel", "channel 0: ");
    page.press("ArrowRight");
    page.until_text("#embed-channel", "channel 1: ");
    page.focus("#embed-positions");
    page.press("ArrowDown");
    page.until_text("#embed-position-pair", "position 5 and position 3");
    page.press("Escape");
    page.until_text("#embed-position-pair", "position 4 and position 3");
    page.focus("#embed-vocabulary-43");
    page.press("ArrowLeft");
    page.until("return document.activeElement.id === 'embed-vocabulary-42'");
}

#[test]
fn a_small_letter_leads_to_its_capital() {
    let page = Page::opened("#embed");
    page.until("return document.querySelector('#embed-answer')?.innerText.length > 0");
    let native = Native::shipped();
    let table = &native.checkpoint.weights["wte.weight"];
    let ids = native.encode("aAb");
    let query = Query::Analogy([ids[0], ids[1], ids[2]]);
    let found = EmbeddingSpace::new(&table.data, table.shape[1]).nearest(query, 1)[0].token;
    assert_eq!(page.text("#embed-answer"), native.checkpoint.tokenizer.token_text(found).unwrap());
}
