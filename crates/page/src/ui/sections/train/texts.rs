//! What a run learns from, and in which tokens.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use super::lab::Lab;
use crate::protocol::train::{RunText, RunTokenizer};
use crate::ui::number::count;
use crate::ui::reactive::{effect, live, memo};
use crate::ui::segment::segment;
use crate::ui::task;

/// Tokens of byte pairs, unless the visitor says otherwise.
const PAIRS: usize = 512;
/// What a visitor's text is called that was typed.
const TYPED: &str = "my text";
/// Most bytes of a text that are put into the field for typing: more would make it slow.
const MOST_SHOWN: usize = 20_000;

/// The choices.
pub fn view(lab: Lab) -> AnyView {
    let draft = lab.draft;
    // Which of the three: the plays, their beginning, one's own.
    let source = memo(move || {
        draft.text.with(|text| match text {
            RunText::Shakespeare => 0,
            RunText::FirstPages => 1,
            RunText::Own { .. } => 2,
        })
    });
    // The visitor's comes back after a look at another.
    let own = StoredValue::new(RunText::Own { name: TYPED.into(), text: String::new() });
    effect(move || {
        draft.text.with(|text| {
            if let RunText::Own { .. } = text {
                own.set_value(text.clone());
            }
        });
    });
    let choose = move |at: usize| {
        draft.text.set(match at {
            0 => RunText::Shakespeare,
            1 => RunText::FirstPages,
            _ => own.get_value(),
        });
    };
    let typed = move || {
        draft.text.with(|text| match text {
            RunText::Own { text, .. } => beginning(text).to_owned(),
            _ => String::new(),
        })
    };
    let is_long = memo(move || {
        draft.text.with(|text| matches!(text, RunText::Own { text, .. } if beginning(text).len() < text.len()))
    });
    let size = move || {
        draft.text.with(|text| match text {
            RunText::Own { name, text } => {
                let part = if beginning(text).len() < text.len() {
                    "Only its beginning is shown, and not to be changed. "
                } else {
                    ""
                };
                format!("{name}: {} characters. {part}It stays in this browser.", count(text.chars().count() as u64))
            }
            RunText::Shakespeare | RunText::FirstPages => String::new(),
        })
    };
    let empty = move |_| draft.text.set(RunText::Own { name: TYPED.into(), text: String::new() });
    let opened = move |event: web_sys::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<web_sys::HtmlInputElement>().ok()) else {
            return;
        };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            read(lab, file);
        }
        input.set_value("");
    };
    let offered = move || {
        let file = lab.store.dropped_text.get()?;
        let take = move |_| {
            if let Some(file) = lab.store.dropped_text.get_untracked() {
                read(lab, file);
            }
        };
        Some(view! {
            <p class="train-offer">
                "You dropped " {file.name()} ". "
                <button type="button" id="train-dropped" on:click=take>"Train on all of it"</button>
            </p>
        })
    };
    let kind = memo(move || match draft.tokenizer.get() {
        RunTokenizer::Char => 0,
        RunTokenizer::Byte => 1,
        RunTokenizer::Bpe { .. } => 2,
    });
    let pairs = StoredValue::new(PAIRS);
    effect(move || {
        if let RunTokenizer::Bpe { vocab_size } = draft.tokenizer.get() {
            pairs.set_value(vocab_size);
        }
    });
    let tokens = move |at: usize| {
        let pairs = RunTokenizer::Bpe { vocab_size: pairs.get_value() };
        draft.set_tokenizer([RunTokenizer::Char, RunTokenizer::Byte, pairs][at]);
    };
    let vocabulary = move || match draft.tokenizer.get() {
        RunTokenizer::Bpe { vocab_size } => vocab_size.to_string(),
        _ => String::new(),
    };
    let set_vocabulary = move |event| draft.set_vocabulary(&event_target_value(&event));
    view! {
        <div class="train-texts">
            {segments("train-text", "It learns from", &["Tiny Shakespeare", "its first pages", "a text of yours"], source, choose)}
            {segments("train-tokens", "in tokens that are", &["characters", "bytes", "byte pairs"], kind, tokens)}
            <div class="train-field" hidden=move || kind.get() != 2>
                <label for="train-vocab">"Vocabulary " <code>"vocab_size"</code></label>
                <input
                    id="train-vocab"
                    inputmode="numeric"
                    autocomplete="off"
                    aria-describedby="train-trouble"
                    prop:value=live(vocabulary)
                    on:input=set_vocabulary
                />
            </div>
            <div class="train-field">
                <label for="train-name">"Name of the run"</label>
                <input
                    id="train-name"
                    autocomplete="off"
                    maxlength="40"
                    prop:value=move || draft.name.get()
                    on:input=move |event| draft.name.set(event_target_value(&event))
                />
            </div>
        </div>
        {live(offered)}
        <div class="train-own" hidden=move || source.get() != 2>
            <label for="train-own">"Your text: paste it, or open a .txt"</label>
            <textarea
                id="train-own"
                rows="4"
                spellcheck="false"
                readonly=move || is_long.get()
                prop:value=live(typed)
                on:input=move |event| draft.text.set(RunText::Own { name: TYPED.into(), text: event_target_value(&event) })
            ></textarea>
            <div class="controls">
                <span class="picker">
                    <input type="file" id="train-file" class="unseen" accept=".txt,.md,text/plain" on:change=opened />
                    <label class="button" for="train-file">"Open a text"</label>
                </span>
                <button type="button" id="train-empty" hidden=move || !is_long.get() on:click=empty>"Empty the field"</button>
                <span class="small soft">{live(size)}</span>
            </div>
        </div>
    }
    .into_any()
}

/// Radio buttons side by side.
fn segments(
    name: &'static str,
    legend: &'static str,
    words: &'static [&'static str],
    chosen: Memo<usize>,
    choose: impl Fn(usize) + Copy + Send + Sync + 'static,
) -> AnyView {
    let options = words
        .iter()
        .enumerate()
        .map(|(at, word)| segment(name, at.to_string(), word, move || chosen.get() == at, move || choose(at)));
    view! {
        <fieldset class="train-choice">
            <legend>{legend}</legend>
            <span class="segments">{options.collect_view()}</span>
        </fieldset>
    }
    .into_any()
}

/// As much of a text as is put into the field for typing.
fn beginning(text: &str) -> &str {
    let most = (0..=MOST_SHOWN.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..most.unwrap_or(0)]
}

/// Takes a file as the text to train on.
fn read(lab: Lab, file: web_sys::File) {
    task::start(async move {
        let text = JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string()).unwrap_or_default();
        if text.is_empty() || text.contains(['\u{fffd}', '\0']) {
            return lab.problem.set(Some(format!("{} is empty, or no text in UTF-8.", file.name())));
        }
        lab.store.dropped_text.set(None);
        lab.draft.text.set(RunText::Own { name: file.name(), text: text.replace("\r\n", "\n") });
        lab.store.announce(format!("{} is what the next run learns from.", file.name()));
    });
}
