//! What the loaded model's loss on the text comes to in bits per character.

use leptos::prelude::*;

use crate::protocol::Failure;
use crate::protocol::tokenize::Token;
use crate::ui::reactive::memo_from_last;
use crate::ui::store::Store;

/// Bits per character and of how many characters, or the sentence why there are none.
type LiveBits = Option<Result<(f64, usize), Failure>>;

/// What they are, or were until the model has read the present text.
pub fn live_bits(store: Store) -> Memo<LiveBits> {
    let inspected = store.reading.plain;
    memo_from_last(move |earlier: Option<&LiveBits>| {
        if let Some(failure) = inspected.failure.get() {
            return Some(Err(failure));
        }
        let (tokens, inspected) = (store.tokens.get()?, inspected.get()?);
        let read = tokens.tokens.get(inspected.skipped..=inspected.skipped + inspected.losses.len());
        // The text may be ahead of the model's reading of it.
        match read.filter(|read| read.iter().map(|token| &token.id).eq(&inspected.tokens)) {
            Some(read) => store.view.text.with(|text| bits(text, read, &inspected.losses)).map(Ok),
            None => earlier.cloned().flatten(),
        }
    })
}

/// Nats of all tokens but the first, over the characters that these stand for.
fn bits(text: &str, read: &[Token], losses: &[f32]) -> Option<(f64, usize)> {
    let (from, to) = (read.get(1)?.start, read.last()?.end);
    let within = |at: &usize| (from..to).contains(at);
    let starts = text.chars().scan(0, |at, c| Some(std::mem::replace(at, *at + c.len_utf16())));
    let characters = starts.filter(within).count();
    let nats: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
    (characters > 0).then(|| (nats / std::f64::consts::LN_2 / characters as f64, characters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_count_by_the_characters_they_predict() {
        let token = |start, end| Token { id: 0, text: String::new(), start, end };
        let losses = [std::f32::consts::LN_2, 3.0 * std::f32::consts::LN_2];
        let (bits, characters) = bits("a🦀bc", &[token(0, 1), token(1, 3), token(3, 5)], &losses).unwrap();
        assert_eq!(characters, 3);
        assert!((bits - 4.0 / 3.0).abs() < 1e-6);
    }
}
