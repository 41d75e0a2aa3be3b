//! The text field. Marks lie behind it, in a copy of its text that is not seen.

use leptos::html::{Div, Textarea};
use leptos::prelude::*;

use super::marks::{Mark, pieces};
use super::splitting::Splitting;
use crate::protocol::tokenize::Vocabulary;
use crate::ui::reactive::{live, memo};

/// The text field.
#[component]
pub fn Editor(splitting: Splitting) -> impl IntoView {
    let text = splitting.store.view.text;
    let (field, copy) = (NodeRef::<Textarea>::new(), NodeRef::<Div>::new());
    let follow_caret = move || {
        let Some(field) = field.get_untracked() else { return };
        let caret = field.selection_end().ok().flatten().map(|caret| caret as usize);
        if splitting.caret.get_untracked() != caret {
            splitting.caret.set(caret);
        }
    };
    let follow_scroll = move |_| {
        if let (Some(field), Some(copy)) = (field.get_untracked(), copy.get_untracked()) {
            copy.set_scroll_top(field.scroll_top());
        }
    };
    let marks = memo(move || marks(splitting));
    let marked = move || {
        let pieces = marks.with(|marks| text.with(|text| pieces(text, marks)));
        let piece = |(piece, class): (String, String)| {
            if class.is_empty() { piece.into_any() } else { view! { <mark class=class>{piece}</mark> }.into_any() }
        };
        pieces.into_iter().map(piece).collect::<Vec<_>>()
    };
    let unknown =
        move || splitting.tokens.with(|tokens| tokens.as_ref().is_some_and(|tokens| tokens.unknown.is_some()));
    view! {
        <label for="tokenize-text">"Your text"</label>
        <div class="tk-editor">
            // A line's end that ends the text needs something after it to have its height.
            <div class="tk-copy" aria-hidden="true" node_ref=copy>{live(marked)} "\u{200b}"</div>
            <textarea
                id="tokenize-text"
                rows="4"
                spellcheck="false"
                autocapitalize="off"
                autocomplete="off"
                node_ref=field
                aria-describedby="tokenize-report"
                aria-invalid=move || if unknown() { "true" } else { "false" }
                prop:value=move || text.get()
                on:input=move |event| {
                    text.set(event_target_value(&event));
                    follow_caret();
                }
                on:keyup=move |_| follow_caret()
                on:pointerup=move |_| follow_caret()
                on:select=move |_| follow_caret()
                on:focus=move |_| follow_caret()
                on:blur=move |_| splitting.caret.set(None)
                on:scroll=follow_scroll
            ></textarea>
        </div>
    }
}

/// What is picked, pointed at and unknown.
fn marks(splitting: Splitting) -> Vec<Mark> {
    let mut marks = Vec::new();
    let range = |chip: Option<usize>, class: &'static str| -> Option<Mark> {
        splitting.tokens.with(|tokens| {
            let token = tokens.as_ref()?.tokens.get(chip?)?;
            Some((token.start, token.end, class))
        })
    };
    let own = || {
        let token = splitting.store.tokens.get()?.tokens.get(splitting.store.query()?)?.clone();
        Some((token.start, token.end, "tk-picked"))
    };
    marks.extend(if splitting.by.get() == Vocabulary::Model {
        range(splitting.picked.get(), "tk-picked")
    } else {
        own()
    });
    marks.extend(range(splitting.pointed.get(), "tk-pointed"));
    marks.extend(splitting.tokens.with(|tokens| {
        let unknown = tokens.as_ref()?.unknown.as_ref()?;
        Some((unknown.at, unknown.at + unknown.character.len_utf16(), "tk-unknown"))
    }));
    marks
}
