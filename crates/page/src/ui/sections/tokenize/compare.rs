//! The vocabularies side by side: how long the text becomes, how large the table is, and how many bits a character costs.

use leptos::prelude::*;

use super::live_bits::live_bits;
use super::splitting::Splitting;
use crate::protocol::tokenize::{MOST_MERGES, Vocabulary};
use crate::ui::chip::{Chip, Source};
use crate::ui::number::{count, three};
use crate::ui::reactive::memo;

/// Bits per character on the validation split: the preset `tiny` after 2000 updates, README.md. Merges, bits.
const RECORDED_CHARACTERS: &str = "2.345";
const RECORDED_PAIRS: (usize, &str) = (256, "2.202");

/// A row of the table.
#[derive(Clone, PartialEq)]
struct Row {
    vocabulary: Vocabulary,
    name: String,
    /// Tokens of the text; `None` where it has a character that the vocabulary lacks.
    tokens: Option<usize>,
    rows: usize,
    /// Whether the loaded model reads these tokens.
    own: bool,
}

/// Four vocabularies, one text.
#[component]
pub fn Compare(splitting: Splitting) -> impl IntoView {
    let store = splitting.store;
    let live = live_bits(store);
    let rows = memo(move || rows(splitting));
    let channels = move || store.model.with(|model| model.as_ref().map_or(0, |model| model.config.n_embd));
    let characters = memo(move || store.view.text.with(|text| text.chars().count()));
    let row = move |row: Row| {
        let characters = characters.get();
        let measure = |number: fn(usize, usize, usize) -> f64| {
            row.tokens
                .filter(|_| characters > 0)
                .map_or("–".into(), |tokens| three(number(tokens, characters, row.rows)))
        };
        let each = measure(|tokens, characters, _| characters as f64 / tokens as f64);
        let plain = measure(|tokens, characters, rows| tokens as f64 * (rows as f64).log2() / characters as f64);
        let model = row.own.then(|| match live.get() {
            Some(Ok((bits, _))) => three(bits),
            _ => "–".into(),
        });
        let recorded = match row.vocabulary {
            // Of the corpus' characters: whether these are the same is known when it is.
            Vocabulary::Char if splitting.learnt.get().is_some() => RECORDED_CHARACTERS,
            Vocabulary::Bpe { merges } if merges == RECORDED_PAIRS.0 => RECORDED_PAIRS.1,
            _ => "–",
        };
        let chosen = splitting.by.get();
        let current = chosen == row.vocabulary || chosen == Vocabulary::Model && row.own;
        let table = format!("{} × {} = {}", count(row.rows as u64), channels(), count((row.rows * channels()) as u64));
        let length = row.tokens.map_or("cannot write it".into(), |tokens| count(tokens as u64));
        view! {
            <tr class:current=current aria-current=current.then_some("true")>
                <th scope="row">{row.name}</th>
                <td class="number" data-label="tokens of your text">{length}</td>
                <td class="number" data-label="characters per token">{each}</td>
                <td class="number" data-label="token table">{table}</td>
                <td class="number" data-label="bits per character, ids alone">{plain}</td>
                <td class="number" data-label="… by the loaded model">{model.unwrap_or("–".into())}</td>
                <td class="number" data-label="… by a model trained on it">{recorded}</td>
            </tr>
        }
    };
    let live_shape = Signal::derive(move || match live.get() {
        Some(Ok((_, characters))) => {
            format!("… by the loaded model: loss on your last {} characters", count(characters as u64))
        }
        _ => String::new(),
    });
    let no_loss = move || Some(format!("By the loaded model: {}", live.get()?.err()?.message));
    view! {
        <div class="panel tk-compare">
            <h3>"The same text, four vocabularies"</h3>
            <table>
                <thead><tr>
                    <th scope="col">"split by"</th>
                    <th scope="col" class="number">"tokens of your text"</th>
                    <th scope="col" class="number">"characters per token"</th>
                    <th scope="col" class="number">"token table, rows × channels = weights"</th>
                    <th scope="col" class="number">"bits per character: ids alone"</th>
                    <th scope="col" class="number">"… by the loaded model"</th>
                    <th scope="col" class="number">"… by a model trained on it"</th>
                </tr></thead>
                <tbody>{move || rows.get().into_iter().map(row).collect_view()}</tbody>
            </table>
            <p class="tk-chips-line">
                <Chip source=Source::Live shape=live_shape/>
                <Chip source=Source::Recorded shape="… by a model trained on it: tiny, 2000 updates, validation split"/>
            </p>
            <p class="small soft">{no_loss}</p>
            <details>
                <summary>"What these numbers are"</summary>
                <p class="small">
                    "A loss per token cannot be compared between vocabularies, as their tokens are of different lengths; bits per character can. "
                    <em>"Ids alone"</em> " is what the ids cost if all are taken to be equally likely: log₂ of the table’s rows for each token. "
                    <em>"By the loaded model"</em> " is its loss on your text, divided by ln 2 and by the characters that it had to guess. "
                    <em>"By a model trained on it"</em> " was measured by the trainer, not on your text: the same small model learnt with each vocabulary, and none with bytes. "
                    "It is known for 256 merges (2.202) and for 2,744 (2.203), more than the slider goes to. A larger table shortens the text, but every row has to be learnt."
                </p>
            </details>
        </div>
    }
}

/// The model's own vocabulary, unless it is one of the other three; then these, as far as the corpus is known.
fn rows(splitting: Splitting) -> Vec<Row> {
    let store = splitting.store;
    let (learnt, grown) = (splitting.learnt.get(), splitting.grown.get());
    let merges = store.view.merges.get().min(MOST_MERGES);
    let mut rows = Vec::new();
    let own = store.model.get();
    let own_characters = own.as_ref().filter(|model| model.tokenizer == "char").map(|model| model.vocabulary.concat());
    let own_is_char = own_characters.is_some_and(|own| learnt.as_ref().is_none_or(|learnt| learnt.characters == own));
    let own_is_byte = own.as_ref().is_some_and(|model| model.tokenizer == "byte");
    let named = |name: &str, own: bool| if own { format!("{name} (the model’s own)") } else { name.to_owned() };
    if let Some(tokens) = store.tokens.get() {
        let known = tokens.unknown.is_none().then_some(tokens.tokens.len());
        if !own_is_byte {
            let vocabulary = if own_is_char { Vocabulary::Char } else { Vocabulary::Model };
            let name = if own_is_char { named("characters", true) } else { "the model’s own".into() };
            rows.push(Row { vocabulary, name, tokens: known, rows: tokens.vocab_size, own: true });
        }
    }
    store.view.text.with(|text| {
        if let Some(learnt) = learnt.as_ref().filter(|_| !own_is_char) {
            let known = text.chars().all(|c| learnt.characters.contains(c)).then(|| text.chars().count());
            let rows_of = learnt.characters.chars().count();
            rows.push(Row {
                vocabulary: Vocabulary::Char,
                name: "characters".into(),
                tokens: known,
                rows: rows_of,
                own: false,
            });
        }
        let name = named("bytes", own_is_byte);
        rows.push(Row { vocabulary: Vocabulary::Byte, name, tokens: Some(text.len()), rows: 256, own: own_is_byte });
    });
    if let (Some(learnt), Some(grown)) = (learnt, grown) {
        let made = learnt.merges.iter().take(merges).map(|merge| merge.id as usize + 1).max();
        rows.push(Row {
            vocabulary: Vocabulary::Bpe { merges },
            name: format!("byte pairs, {} merges", count(merges as u64)),
            tokens: grown.lengths.get(merges).map(|&length| length as usize),
            rows: made.unwrap_or(256),
            own: false,
        });
    }
    rows
}
