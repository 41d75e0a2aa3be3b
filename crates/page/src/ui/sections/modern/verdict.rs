//! Whether a change helps: its runs against the baseline's, judged by how far apart runs are that differ in nothing but their seed.

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A lower loss, by more than seeds differ.
    Better,
    /// Seeds alone make as much.
    Same,
    /// A higher loss, by more than seeds differ.
    Worse,
}

impl Outcome {
    /// As answers stand on buttons.
    pub const ALL: [(Self, &str); 3] =
        [(Self::Better, "Better"), (Self::Same, "No difference"), (Self::Worse, "Worse")];
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// Means of the baseline and of the variant.
    pub means: [f64; 2],
    /// By how much seeds of one model differ, at most.
    pub spread: f64,
}

impl Verdict {
    /// Of the losses of several seeds each.
    pub fn of(baseline: &[f64], variant: &[f64]) -> Self {
        let means = [baseline, variant].map(|losses| losses.iter().sum::<f64>() / losses.len().max(1) as f64);
        let spread = [baseline, variant].map(|losses| {
            let (low, high) = range(losses);
            high - low
        });
        let (spread, difference) = (spread[0].max(spread[1]), means[1] - means[0]);
        let outcome = match difference {
            _ if difference.abs() <= spread => Outcome::Same,
            ..0.0 => Outcome::Better,
            _ => Outcome::Worse,
        };
        Self { outcome, means, spread }
    }
}

/// Least and most.
pub fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sections::measured::entry::tests::recorded;

    #[test]
    fn a_difference_counts_if_it_is_more_than_seeds_make() {
        let baseline = [1.75, 1.76, 1.77];
        for (variant, outcome) in [
            ([1.70, 1.71, 1.72], Outcome::Better),
            ([1.74, 1.75, 1.76], Outcome::Same),
            ([1.80, 1.79, 1.81], Outcome::Worse),
            // Far away on the mean, but its own seeds are further apart than that.
            ([1.60, 1.70, 1.80], Outcome::Same),
        ] {
            assert_eq!(Verdict::of(&baseline, &variant).outcome, outcome, "{variant:?}");
        }
        let verdict = Verdict::of(&baseline, &[1.70, 1.71, 1.72]);
        assert!((verdict.means[0] - 1.76).abs() < 1e-12 && (verdict.means[1] - 1.71).abs() < 1e-12);
        assert!((verdict.spread - 0.02).abs() < 1e-12);
    }

    #[test]
    fn every_recorded_variant_can_be_judged() {
        let [_, variants] = recorded();
        for variant in &variants[1..] {
            let verdict = Verdict::of(&variants[0].seeds, &variant.seeds);
            assert!(verdict.spread > 0.0 && verdict.means.iter().all(|mean| (1.0..4.2).contains(mean)), "{verdict:?}");
            assert!(!variant.why.is_empty() && !variant.says.is_empty() && !variant.title.is_empty());
        }
    }
}
