//! What a visitor does.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::prelude::*;

use super::Page;

impl Page {
    /// Clicks in an element's middle, in the middle of the window: nothing that sticks to an edge is in the way.
    #[track_caller]
    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.scroll_to(css);
        self.wait(element.click());
    }

    /// Brings an element to the middle of the window.
    #[track_caller]
    pub fn scroll_to(&self, css: &str) {
        self.find(css);
        self.js::<Value>(
            "document.querySelector(arguments[0]).scrollIntoView({ block: 'center', behavior: 'instant' })",
            [json!(css)],
        );
    }

    /// Puts the focus on an element.
    #[track_caller]
    pub fn focus(&self, css: &str) {
        self.find(css);
        self.js::<Value>("document.querySelector(arguments[0]).focus()", [json!(css)]);
    }

    /// Presses a key by its name in the browser, with others held before it: `ArrowRight`, `Shift+Tab`, `x`.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let keys: Vec<char> = keys.split('+').map(key).collect();
        let mut actions = self.driver.action_chain();
        for &key in &keys {
            actions = actions.key_down(key);
        }
        for &key in keys.iter().rev() {
            actions = actions.key_up(key);
        }
        self.wait(actions.perform());
    }

    /// Types into what has the focus.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        self.wait(self.driver.action_chain().send_keys(text).perform());
    }

    /// Selects what an input holds and types something else.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        self.focus(css);
        self.press("Control+a");
        if text.is_empty() { self.press("Delete") } else { self.type_text(text) }
    }

    /// Sets an input, a slider, say, to a value, and says so as the browser does while one drags it.
    #[track_caller]
    pub fn set(&self, css: &str, value: &str) {
        self.find(css);
        self.js::<Value>(
            "const input = document.querySelector(arguments[0]);
             input.value = arguments[1];
             for (const name of ['input', 'change']) input.dispatchEvent(new Event(name, { bubbles: true }));",
            [json!(css), json!(value)],
        );
    }

    /// Drags from one place of an element to another: shares of its width and height from its upper left corner.
    #[track_caller]
    pub fn drag(&self, css: &str, from: (f64, f64), to: (f64, f64)) {
        self.scroll_to(css);
        let [x, y, width, height] = self.rect(css);
        let at = |(right, down): (f64, f64)| ((x + width * right) as i64, (y + height * down) as i64);
        let ((x0, y0), (x1, y1)) = (at(from), at(to));
        let drag = self.actions().move_to(x0, y0).click_and_hold();
        let drag = drag.move_to((x0 + x1) / 2, (y0 + y1) / 2).move_to(x1, y1).release();
        self.wait(drag.perform());
    }

    /// Left, top, width and height in the window.
    #[track_caller]
    pub fn rect(&self, css: &str) -> [f64; 4] {
        self.js(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.x, r.y, r.width, r.height]",
            [json!(css)],
        )
    }

    /// Chooses files in an `<input type="file">`.
    #[track_caller]
    pub fn upload(&self, css: &str, files: &[PathBuf]) {
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        let element = self.find(css);
        self.wait(element.send_keys(names.join("\n")));
    }

    /// Drops files on an element.
    #[track_caller]
    pub fn drop_files(&self, css: &str, files: &[(&str, &[u8])]) {
        let files: Vec<_> = files.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
        self.find(css);
        self.js::<Value>(
            "const data = new DataTransfer();
             for (const file of arguments[1]) data.items.add(new File([new Uint8Array(file.bytes)], file.name));
             const target = document.querySelector(arguments[0]);
             for (const name of ['dragenter', 'dragover', 'drop'])
                 target.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));",
            [json!(css), json!(files)],
        );
    }

    fn actions(&self) -> thirtyfour::action_chain::ActionChain {
        self.driver.action_chain_with_delay(None, Some(Duration::from_millis(30)))
    }
}

/// A key's code in WebDriver (§17.4.2, "keyboard actions").
fn key(name: &str) -> char {
    let key = match name {
        "Tab" => Key::Tab,
        "Enter" => Key::Enter,
        "Escape" => Key::Escape,
        "Space" => Key::Space,
        "Backspace" => Key::Backspace,
        "Delete" => Key::Delete,
        "PageUp" => Key::PageUp,
        "PageDown" => Key::PageDown,
        "Home" => Key::Home,
        "End" => Key::End,
        "ArrowLeft" => Key::Left,
        "ArrowRight" => Key::Right,
        "ArrowUp" => Key::Up,
        "ArrowDown" => Key::Down,
        "Shift" => Key::Shift,
        "Control" => Key::Control,
        "Alt" => Key::Alt,
        _ => {
            let mut letters = name.chars();
            return letters.next().filter(|_| letters.next().is_none()).unwrap_or_else(|| panic!("no key: {name}"));
        }
    };
    key.into()
}
