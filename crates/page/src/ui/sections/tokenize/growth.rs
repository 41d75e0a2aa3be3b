//! The vocabulary grows: one merge after the other, and the text shrinks.

use leptos::html::Div;
use leptos::prelude::*;

use super::curve::staircase;
use super::splitting::Splitting;
use crate::protocol::tokenize::{MOST_MERGES, Merged};
use crate::ui::chip::{Chip, Source};
use crate::ui::near;
use crate::ui::number::{count, three, visible};
use crate::ui::reactive::{live, memo};

/// Newest tokens shown.
const NEWEST: usize = 12;

/// Slider, the merge just learnt, the newest tokens, and the text's length against merges.
#[component]
pub fn Growth(splitting: Splitting) -> impl IntoView {
    let view = splitting.store.view;
    let panel = NodeRef::<Div>::new();
    near::watch(splitting.store, panel, splitting.near);
    let merges = memo(move || view.merges.get().min(MOST_MERGES));
    let set = move |merges: usize| {
        view.merges.set(merges.min(MOST_MERGES));
        view.vocabulary.set("bpe".into());
    };
    let shape = Signal::derive(move || {
        splitting.learnt.get().map_or_else(String::new, |learnt| {
            let (merges, read) = (count(learnt.merges.len() as u64), count(learnt.read as u64));
            format!("{merges} merges of {read} characters, learnt in {} ms", learnt.milliseconds)
        })
    });
    let failure = move || {
        let failure = splitting.learnt.failure.get()?;
        Some(view! {
            <p class="sentence">
                "Byte pairs are learnt from Shakespeare’s plays, and those did not arrive: " {failure.message} ". The rest of this page works without. "
                <button on:click=move |_| splitting.attempt.update(|n| *n += 1)>"Try again"</button>
            </p>
        })
    };
    view! {
        <div class="panel tk-growth" node_ref=panel>
            <div class="tk-head"><h3>"A vocabulary grows"</h3> <Chip source=Source::Live shape/></div>
            <p class="small soft">
                "Byte pair encoding starts from the 256 bytes. Again and again the commonest pair of neighbours in Shakespeare’s plays becomes a token of its own."
            </p>
            {live(failure)}
            <div class="tk-slider">
                <label for="tokenize-merges">"Merges"</label>
                <button aria-label="One merge back" on:click=move |_| set(merges.get_untracked().saturating_sub(1))>"−"</button>
                <input
                    id="tokenize-merges"
                    type="range"
                    min="0"
                    max=MOST_MERGES
                    step="1"
                    prop:value=move || merges.get().to_string()
                    on:input=move |event| set(event_target_value(&event).parse().unwrap_or_default())
                />
                <button aria-label="One merge on" on:click=move |_| set(merges.get_untracked() + 1)>"+"</button>
                <span class="tk-merges">{move || count(merges.get() as u64)}</span>
            </div>
            <p class="tk-merge" data-merge=merges>{move || last_merge(splitting, merges.get())}</p>
            <p class="tk-newest">{move || newest(splitting, merges.get())}</p>
            <Curve splitting merges/>
        </div>
    }
}

/// The merge just learnt, in words.
fn last_merge(splitting: Splitting, merges: usize) -> AnyView {
    let Some(learnt) = splitting.learnt.get() else {
        let failed = splitting.learnt.failure.with(Option::is_some);
        return if failed { "" } else { "Learning …" }.into_any();
    };
    let Some(Merged { left, right, token, .. }) = merges.checked_sub(1).and_then(|last| learnt.merges.get(last)) else {
        return "No merge yet: every byte is a token of its own.".into_any();
    };
    let piece = |text: &str| view! { <code>{visible(text)}</code> };
    view! { "Merge " {count(merges as u64)} ": " {piece(left)} " + " {piece(right)} " → " {piece(token)} }.into_any()
}

/// The tokens of the last merges, newest first.
fn newest(splitting: Splitting, merges: usize) -> AnyView {
    let Some(learnt) = splitting.learnt.get() else { return ().into_any() };
    let learnt = &learnt.merges[..merges.min(learnt.merges.len())];
    if learnt.is_empty() {
        return ().into_any();
    }
    let chip = |merged: &Merged| {
        view! { <span class="tk-chip"><span class="tk-piece">{visible(&merged.token)}</span><span class="tk-id">{merged.id}</span></span> }
    };
    let chips = learnt.iter().rev().take(NEWEST).map(chip).collect_view();
    view! { <span class="small soft">"Newest"</span> {chips} }.into_any()
}

/// Tokens in the text against merges.
#[component]
fn Curve(splitting: Splitting, merges: Memo<usize>) -> impl IntoView {
    let path = memo(move || splitting.grown.get().map(|grown| staircase(&grown.lengths)).unwrap_or_default());
    let bytes = memo(move || splitting.grown.get().and_then(|grown| grown.lengths.first().copied()).unwrap_or(0));
    let length = move || splitting.grown.get().and_then(|grown| grown.lengths.get(merges.get()).copied()).unwrap_or(0);
    // Tenths of a percent, so that no fraction has to be written out.
    let across = move || percent(merges.get() as u64, MOST_MERGES as u64);
    let down = move || percent(u64::from(bytes.get() - length().min(bytes.get())), u64::from(bytes.get().max(1)));
    let sentence = move || {
        let characters = splitting.store.view.text.with(|text| text.chars().count());
        let (bytes, length) = (bytes.get(), length());
        (length > 0).then(|| {
            format!(
                "Your text: {} bytes, {} tokens after {} merges, {} characters each.",
                count(bytes.into()),
                count(length.into()),
                count(merges.get() as u64),
                three(characters as f64 / f64::from(length))
            )
        })
    };
    view! {
        <figure class="tk-curve" class:tk-none=move || bytes.get() == 0>
            <div class="tk-plot">
                <svg viewBox=move || format!("0 0 {MOST_MERGES} {}", bytes.get().max(1)) preserveAspectRatio="none" aria-hidden="true">
                    <path d=path vector-effect="non-scaling-stroke"></path>
                </svg>
                <span class="tk-cross" style:left=live(across)></span>
                <span class="tk-dot" style:left=live(across) style:top=live(down)></span>
                <span class="tk-top small soft">{move || count(bytes.get().into())} " tokens: bytes"</span>
                <span class="tk-zero small soft">"0"</span>
            </div>
            <div class="tk-ticks small soft"><span>"0"</span><span>"merges"</span><span>{count(MOST_MERGES as u64)}</span></div>
            <figcaption>{live(sentence)}</figcaption>
        </figure>
    }
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = part * 1000 / whole;
    format!("{}.{}%", tenths / 10, tenths % 10)
}
