//! What there is to say about the splitting: whether it can be undone, and what it could not split.

use leptos::prelude::*;

use super::splitting::Splitting;
use crate::protocol::tokenize::{Tokenized, Unknown, Vocabulary};
use crate::ui::number::{count, visible};
use crate::ui::reactive::live;
use crate::view::ViewState;

/// A sentence under the chips.
#[component]
pub fn Report(splitting: Splitting) -> impl IntoView {
    let text = splitting.store.view.text;
    let failure = move || {
        let failure = splitting.failure.get()?;
        let retry = matches!(splitting.by.get(), Vocabulary::Char | Vocabulary::Bpe { .. }).then(|| {
            view! { <button on:click=move |_| splitting.attempt.update(|n| *n += 1)>"Try again"</button> }
        });
        Some(view! { <p class="sentence">"This text could not be split: " {failure.message} ". " {retry}</p> })
    };
    let said = move || {
        if text.with(String::is_empty) {
            return view! {
                <p class="tk-empty">
                    "There is no text, so there are no tokens. Type something, or "
                    <button on:click=move |_| text.set(ViewState::default().text)>"take the first lines of the corpus"</button>
                </p>
            }
            .into_any();
        }
        let Some(tokens) = splitting.tokens.get() else {
            let waiting = splitting.failure.with(Option::is_none);
            return waiting.then(|| view! { <p class="soft">"Waiting for the vocabulary …"</p> }).into_any();
        };
        match &tokens.unknown {
            Some(unknown) => unknown_character(unknown, splitting.by.get()).into_any(),
            None => round_trip(&tokens).into_any(),
        }
    };
    view! { <div id="tokenize-report" class="tk-report">{live(failure)} {live(said)}</div> }
}

fn round_trip(tokens: &Tokenized) -> impl IntoView {
    let ids = count(tokens.tokens.len() as u64);
    let (class, sign, verdict) = if tokens.round_trip {
        ("tk-good", "✓", " ids, decoded, are exactly your text again.")
    } else {
        ("tk-bad", "✗", " ids, decoded, are not your text.")
    };
    view! { <p><span class=class>{sign} " Round trip"</span> ": " {ids} {verdict}</p> }
}

fn unknown_character(unknown: &Unknown, by: Vocabulary) -> impl IntoView + use<> {
    let Unknown { character, place, .. } = *unknown;
    let code = format!("U+{:04X}", u32::from(character));
    let whose = if by == Vocabulary::Model { "the model" } else { "this vocabulary" };
    let before = match place {
        0 => "Nothing comes before it, so there are no tokens.".to_owned(),
        1 => "Only the character before it is split.".to_owned(),
        _ => format!("Only the {} characters before it are split.", count(place as u64)),
    };
    view! {
        <p class="sentence" data-unknown=code.clone()>
            <span class="tk-chip tk-error"><span class="tk-piece">{visible(&character.to_string())}</span><span class="tk-id">"no id"</span></span>
            " Character " {count(place as u64 + 1)} ", " {code.clone()} ", is none that " {whose} " knows. " {before}
            " Bytes and byte pairs can write every character."
        </p>
    }
}
