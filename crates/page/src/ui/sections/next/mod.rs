//! What the model expects after the text: the first thing to see, and to touch.

use std::sync::Arc;

use inkling_core::sample::{Sampler, SamplerConfig};
use leptos::prelude::*;

use crate::protocol::attention::Inspected;
use crate::ui::chip::{Chip, Source};
use crate::ui::number::{percent, visible};
use crate::ui::order;
use crate::ui::reactive::{live, memo};
use crate::ui::store::Store;

/// Tokens to choose from.
const CHOICES: usize = 6;
/// Tokens of the text that are shown before them.
const TAIL: usize = 28;

/// Tokens and their probabilities, the likeliest first.
type Choices = Vec<(u32, f32)>;

/// The likeliest tokens after a text: the softmax of the logits behind its last token.
fn choices(read: &Inspected, vocab_size: usize) -> Choices {
    let Some(start) = read.logits.len().checked_sub(vocab_size) else { return Vec::new() };
    // The model's own distribution: temperature 1, nothing cut.
    let Ok(mut sampler) = Sampler::new(SamplerConfig::default()) else {
        return Vec::new();
    };
    let probabilities = sampler.probabilities(&read.logits[start..]);
    let places = order::largest_first(probabilities.iter().copied());
    places.into_iter().take(CHOICES).map(|place| (place as u32, probabilities[place])).collect()
}

/// The figure.
#[component]
pub fn NextFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let reading = memo(move || Some(Read(store.model.get()?.number, store.reading.plain.get()?)));
    let found = memo(move || {
        let vocab_size = store.model.get().map_or(0, |model| model.config.vocab_size);
        reading.with(|read| read.as_ref().map_or_else(Vec::new, |read| choices(&read.1, vocab_size)))
    });
    let glyph = move |id: u32| {
        let model = store.model.get();
        model.and_then(|model| model.vocabulary.get(id as usize).map(|text| visible(text))).unwrap_or_default()
    };
    let tail = live(move || {
        let tokens = reading.with(|read| read.as_ref().map(|read| read.1.tokens.clone())).unwrap_or_default();
        let from = tokens.len().saturating_sub(TAIL);
        let text: String = tokens[from..].iter().map(|&id| glyph(id)).collect();
        if from > 0 { format!("…{text}") } else { text }
    });
    // Tokens that are no text of their own (bytes of a character) cannot be put into one.
    let text_of = move |id: u32| {
        let text = store.model.get_untracked()?.vocabulary.get(id as usize)?.clone();
        (!text.is_empty() && !text.contains("\\x")).then_some(text)
    };
    let write = move |place: usize| {
        let chosen = found.with_untracked(|found| found.get(place).copied());
        if let Some(text) = chosen.and_then(|(id, _)| text_of(id)) {
            store.view.text.update(|all| all.push_str(&text));
        }
    };
    let choice = move |place: usize| {
        let of = move || found.with(|found| found.get(place).copied());
        let share = move || of().map_or(0.0, |(_, share)| f64::from(share));
        view! {
            <button
                class="next-choice"
                class:next-none=move || of().is_none()
                disabled=move || of().is_none()
                data-token=move || of().map(|(id, _)| id.to_string())
                on:click=move |_| write(place)
            >
                <span class="next-glyph">{move || of().map(|(id, _)| glyph(id))}</span>
                <span class="next-bar" aria-hidden="true"><span style:width=move || format!("{}%", 100.0 * share())></span></span>
                <span class="next-share">{move || of().map(|(_, share)| percent(f64::from(share)))}</span>
            </button>
        }
    };
    let shape = Signal::derive(move || {
        let vocab_size = store.model.get().map_or(0, |model| model.config.vocab_size);
        if found.with(Vec::is_empty) { String::new() } else { format!("softmax(logits) [{vocab_size}]") }
    });
    view! {
        <div class="panel next-panel">
            <p class="next-text mono"><span>{tail}</span><span class="next-caret" aria-hidden="true">"?"</span></p>
            <div class="next-choices" role="group" aria-label="What the model expects next: press one to write it">
                {(0..CHOICES).map(choice).collect_view()}
            </div>
            <p class="small soft next-note">
                <Chip source=Source::Live shape=shape />
                <span>"Press one to write it: the text grows, and every figure below follows."</span>
            </p>
        </div>
    }
}

/// A pass of a model over a text. Another answer is another pass, whatever is in it.
#[derive(Clone)]
struct Read(u32, Arc<Inspected>);

impl PartialEq for Read {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 && Arc::ptr_eq(&self.1, &other.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Values;

    #[test]
    fn the_likeliest_come_first_with_the_chances_of_the_last_token() {
        let logits = [9.0, 9.0, 9.0, 0.0, 2.0_f32.ln(), 3.0_f32.ln()];
        let read = Inspected { logits: Values(logits.to_vec()), ..Inspected::default() };
        let found = choices(&read, 3);
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 1, 0]);
        for ((_, share), expected) in found.iter().zip([3.0, 2.0, 1.0]) {
            assert!((share - expected / 6.0).abs() < 1e-6);
        }
        assert!(choices(&Inspected::default(), 3).is_empty());
    }
}
