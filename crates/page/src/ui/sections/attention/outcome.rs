//! What an experiment does to the model's guesses. Small arithmetic on the two passes that the worker ran.

use crate::ui::number::percent;
use crate::ui::order::largest_first;

/// Nats per token; `None` where no token is guessed.
pub fn mean(losses: &[f32]) -> Option<f64> {
    (!losses.is_empty()).then(|| losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64)
}

/// Chances of the next token.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|exp| (exp / sum) as f32).collect()
}

/// The logits after a token of `n`, and whether they are those of that token: where only the last token's were sent, it is them.
pub fn logits_after(logits: &[f32], vocab: usize, n: usize, at: usize) -> (&[f32], bool) {
    let rows = logits.len() / vocab.max(1);
    let row = if rows == n { at.min(n - 1) } else { rows - 1 };
    (&logits[row * vocab..(row + 1) * vocab], rows == n || at + 1 == n)
}

/// A chance as it is written: what is next to nothing is not counted in digits.
pub fn chance(share: f32) -> String {
    if share < 1e-4 { "<\u{202f}0.01\u{202f}%".into() } else { percent(f64::from(share)) }
}

/// The ten tokens that either finds likeliest, the likeliest first: id, chance before, chance after.
pub fn likeliest(before: &[f32], after: &[f32]) -> Vec<(u32, f32, f32)> {
    let either = before.iter().zip(after).map(|(&before, &after)| before.max(after));
    largest_first(either).into_iter().take(10).map(|id| (id as u32, before[id], after[id])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_sum_to_one() {
        let chances = softmax(&[1000.0, 1000.0 + 3.0_f32.ln(), f32::NEG_INFINITY]);
        assert!((chances[0] - 0.25).abs() < 1e-4 && (chances[1] - 0.75).abs() < 1e-4 && chances[2] == 0.0);
    }

    #[test]
    fn logits_are_found_by_their_token() {
        let logits = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(logits_after(&logits, 2, 2, 0), (&logits[..2], true));
        assert_eq!(logits_after(&logits, 2, 2, 9), (&logits[2..], true));
        assert_eq!(logits_after(&logits[2..], 2, 5, 1), (&logits[2..], false));
        assert_eq!(logits_after(&logits[2..], 2, 5, 4), (&logits[2..], true));
    }

    #[test]
    fn a_single_token_is_not_guessed() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, 2.0]), Some(1.5));
    }

    #[test]
    fn both_sides_have_their_likeliest() {
        let found = likeliest(&[0.5, 0.4, 0.1], &[0.1, 0.2, 0.7]);
        assert_eq!(found.iter().map(|token| token.0).collect::<Vec<_>>(), [2, 0, 1]);
    }
}
