//! `#tokenize`: chips are the model's own tokens, and the task can be done by mouse and by keys.

use crate::harness::Page;
use crate::native::Native;

#[test]
fn chips_have_the_ids_of_the_native_tokenizer() {
    let page = Page::opened("#tokenize?text=To+be%2C+or+not+to+be");
    page.until("return document.querySelectorAll('.tk-chips .tk-id').length === 19");
    let ids: Vec<u32> = page.texts(".tk-chips .tk-id").iter().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, Native::shipped().encode("To be, or not to be"));
    page.until_text("#tokenize-report", "Round trip");
}

#[test]
fn an_unknown_character_has_its_sentence_and_bytes_can_write_it() {
    let page = Page::opened("#tokenize");
    page.fill("#tokenize-text", "café");
    page.until_text("#tokenize-report .sentence", "U+00E9");
    page.click("input[name='tokenize-vocabulary'][value='byte']");
    page.until_text("#tokenize-report", "5 ids, decoded, are exactly your text again");
}

#[test]
fn the_task_can_be_done_with_keys_alone() {
    let page = Page::opened("#tokenize");
    page.focus("#tokenize-text");
    page.press("Control+a");
    page.type_text("é");
    page.until_text("#tokenize-report .sentence", "U+00E9");
    // The choice of vocabularies is a group of radio buttons: arrows move in it.
    page.focus("input[name='tokenize-vocabulary'][value='model']");
    page.press("ArrowRight");
    page.press("ArrowRight");
    page.until_text("#tokenize-report", "2 ids, decoded, are exactly your text again");
}
