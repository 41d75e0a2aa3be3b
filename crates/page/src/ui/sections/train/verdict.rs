//! What became of a run, out of its curves.

use crate::protocol::train::Evaluated;
use crate::ui::number::{count, three};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Validation loss was still falling.
    Underfit,
    /// It has stopped to fall, and not risen.
    Settled {
        /// Its best evaluation.
        best: u64,
    },
    /// It has risen since, while training loss fell on.
    Overfit {
        /// Its best evaluation.
        best: u64,
        /// By so many nats.
        by: f64,
    },
    /// Both losses rise.
    Unsteady {
        /// Its best evaluation.
        best: u64,
    },
    /// Losses are no numbers any more, or as bad as in the beginning.
    Diverged,
}

/// Nats by which the loss has to rise, or to fall over the last fifth of a run, to mean anything: what other seeds make of a small model.
const MATTERS: f64 = 0.02;

impl Verdict {
    /// Judges evaluations, in order; none of fewer than four.
    pub fn of(evaluations: &[Evaluated], uniform_loss: f64) -> Option<Self> {
        let [.., last] = evaluations else { return None };
        if evaluations.len() < 4 {
            return None;
        }
        // Who knows a short text by heart may be worse than nothing at any other, but not at that one.
        let learnt = last.train_loss.map_or(last.val_loss, f64::from);
        if !last.val_loss.is_finite() || !learnt.is_finite() || learnt > uniform_loss {
            return Some(Self::Diverged);
        }
        let best = evaluations
            .iter()
            .filter(|e| e.val_loss.is_finite())
            .reduce(|a, b| if b.val_loss < a.val_loss { b } else { a })?;
        let by = last.val_loss - best.val_loss;
        // Both losses rise where the strides are too long: that is not learning by heart.
        let learns_on = last.train_loss.zip(best.train_loss).is_none_or(|(now, then)| now < then);
        if by > MATTERS {
            return Some(if learns_on {
                Self::Overfit { best: best.step, by }
            } else {
                Self::Unsteady { best: best.step }
            });
        }
        let before = &evaluations[evaluations.len() - 1 - (evaluations.len() / 5).max(1)];
        let falls = before.val_loss - last.val_loss;
        Some(if falls > MATTERS { Self::Underfit } else { Self::Settled { best: best.step } })
    }

    /// In a sentence, and what to try next.
    pub fn words(self) -> (String, &'static str) {
        match self {
            Self::Underfit => (
                "Underfit: the validation loss was still falling when the steps ran out.".into(),
                "Give it more steps, or a larger model.",
            ),
            Self::Settled { best } => (
                format!("Best here: after step {} the validation loss did not fall any more.", count(best)),
                "A wider or deeper model, or a longer context, may reach lower; more steps of this one will not.",
            ),
            Self::Overfit { best, by } => (
                format!(
                    "Overfit since step {}: the validation loss rose by {} after it, while the training loss fell on: the model learns its text by heart.",
                    count(best),
                    three(by)
                ),
                "Rewind to the best, then try more text, some dropout, a smaller model or fewer steps.",
            ),
            Self::Unsteady { best } => (
                format!("Unsteady: after step {} both losses rose again.", count(best)),
                "Try a lower learning rate, a larger batch, or a limit on the gradient norm.",
            ),
            Self::Diverged => (
                "It diverged: the model is no better than one that knows nothing.".into(),
                "Try a lower learning rate, a longer warm-up, or a limit on the gradient norm.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(losses: &[f64]) -> Option<Verdict> {
        judged_beside(losses, None)
    }

    fn judged_beside(losses: &[f64], train_loss: Option<f32>) -> Option<Verdict> {
        Verdict::of(&evaluations(losses, train_loss), 4.17)
    }

    fn evaluations(losses: &[f64], train_loss: Option<f32>) -> Vec<Evaluated> {
        (1..)
            .zip(losses)
            .map(|(step, &val_loss)| Evaluated {
                step: step * 100,
                val_loss,
                // Falling to what is given.
                train_loss: train_loss.map(|loss| loss + 0.1 * (losses.len() as u64 - step) as f32),
                bits_per_char: 0.0,
                best: false,
            })
            .collect()
    }

    #[test]
    fn the_curve_decides() {
        assert_eq!(judged(&[3.0, 2.0, 1.9]), None);
        assert_eq!(judged(&[3.0, 2.5, 2.2, 2.0]), Some(Verdict::Underfit));
        assert_eq!(judged(&[3.0, 2.0, 1.7, 1.701, 1.699]), Some(Verdict::Settled { best: 500 }));
        assert_eq!(judged(&[3.0, 2.0, 1.7, 1.8, 2.2]), Some(Verdict::Overfit { best: 300, by: 2.2 - 1.7 }));
        assert_eq!(judged(&[3.0, 2.0, 1.7, 9.0]), Some(Verdict::Diverged));
        // By heart, and worse than nothing at what it has not read.
        let by_heart = Some(Verdict::Overfit { best: 200, by: 9.0 - 2.5 });
        assert_eq!(judged_beside(&[3.0, 2.5, 3.5, 9.0], Some(0.5)), by_heart);
        assert_eq!(judged_beside(&[3.0, 2.5, 3.5, 9.0], Some(f32::NAN)), Some(Verdict::Diverged));
        // Strides that are too long: both losses rise.
        let mut wobbling: Vec<_> = evaluations(&[3.0, 2.5, 2.4, 2.6], Some(2.0));
        wobbling[3].train_loss = Some(2.5);
        assert_eq!(Verdict::of(&wobbling, 4.17), Some(Verdict::Unsteady { best: 300 }));
        assert_eq!(judged(&[3.0, 2.0, 1.7, f64::NAN]), Some(Verdict::Diverged));
    }

    #[test]
    fn every_verdict_says_what_to_try() {
        for verdict in [
            Verdict::Underfit,
            Verdict::Settled { best: 1 },
            Verdict::Overfit { best: 1200, by: 0.5 },
            Verdict::Unsteady { best: 1 },
            Verdict::Diverged,
        ] {
            let (sentence, next) = verdict.words();
            assert!(sentence.ends_with('.') && next.ends_with('.'));
        }
        assert!(Verdict::Overfit { best: 1200, by: 0.5 }.words().0.contains("since step 1\u{202f}200"));
    }
}
