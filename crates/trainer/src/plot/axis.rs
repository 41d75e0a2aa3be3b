//! A linear axis: which values are marked, how they are written, and where a value lies on the paper.

use crate::format;

/// How many intervals between marks to aim for.
const INTERVALS: f64 = 6.0;

/// Values `low..=high` laid out on the coordinates `start..=end` (which may fall: SVG's y grows downwards).
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    step: f64,
    start: f64,
    end: f64,
    /// From this magnitude on, labels have exponents: more digits would not fit.
    exponents_from: f64,
}

impl Axis {
    /// From step 0 to the last one, which is the very end of the axis.
    pub fn steps(last: u64, start: f64, end: f64) -> Self {
        let axis = Self::amounts(last.max(1) as f64, start, end);
        Self { step: axis.step.max(1.0), ..axis }
    }

    /// From 0 to `high` (positive), which is the very end of the axis.
    pub fn amounts(high: f64, start: f64, end: f64) -> Self {
        Self { low: 0.0, high, step: nice_step(high), start, end, exponents_from: 1e7 }
    }

    /// Covers all `values` (finite, maybe none), widened to whole intervals.
    pub fn values(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // A curve that is all but flat lies in the middle: differences below a twentieth are not blown up to full height.
        let missing = (0.05 * high.abs().max(low.abs()).max(1e-3) - (high - low)).max(0.0);
        let (low, high) = (low - missing / 2.0, high + missing / 2.0);
        let step = nice_step(high - low);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { low, high, step, start, end, exponents_from: 1e4 }
    }

    /// The coordinate of a value.
    pub fn place(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    /// The marked values with their labels.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step).round();
        let count = ((self.high - self.low) / self.step + 1e-9).floor() as u32;
        let values = (0..=count).map(|i| (first + f64::from(i)) * self.step);
        values.map(|value| (value, self.label(value))).collect()
    }

    /// As many decimals as the interval needs; exponents where plain digits would be a crowd.
    fn label(&self, value: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if value == 0.0 && self.step >= 1.0 {
            return "0".into();
        }
        if largest >= self.exponents_from || self.step < 1e-3 {
            return format!("{value:.1e}");
        }
        if self.step < 1.0 {
            let decimals = -self.step.log10().floor() as usize;
            return format!("{value:.decimals$}");
        }
        let sign = if value < 0.0 { "−" } else { "" };
        format!("{sign}{}", format::count(value.abs() as u64))
    }
}

/// The smallest of 1, 2, 5 × 10ⁿ that divides `span` into at most [`INTERVALS`].
fn nice_step(span: f64) -> f64 {
    let rough = span / INTERVALS;
    let power = 10f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= rough * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn losses_are_marked_at_round_values_that_enclose_them() {
        let axis = Axis::values([4.17, 1.47].into_iter(), 0.0, 1.0);
        assert_eq!(labels(axis), ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5"]);
        assert_eq!((axis.place(1.0), axis.place(4.5)), (0.0, 1.0));
    }

    #[test]
    fn steps_are_marked_at_round_numbers_and_end_at_the_last() {
        let axis = Axis::steps(3000, 10.0, 110.0);
        assert_eq!(labels(axis), ["0", "500", "1,000", "1,500", "2,000", "2,500", "3,000"]);
        assert_eq!(axis.place(3000.0), 110.0);
        assert_eq!(labels(Axis::steps(3, 0.0, 1.0)), ["0", "1", "2", "3"]);
        assert_eq!(labels(Axis::steps(0, 0.0, 1.0)), ["0", "1"]);
    }

    #[test]
    fn any_range_has_a_handful_of_distinct_labels_in_reach() {
        let max = f64::from(f32::MAX);
        for (low, high) in
            [(0.0, 0.0), (2.5, 2.5), (-max, max), (1e-30, max), (1e-9, 2e-9), (-3.0, 8.0), (0.999, 1.001)]
        {
            let axis = Axis::values([low, high].into_iter(), 0.0, 1.0);
            let ticks = labels(axis);
            assert!((2..=10).contains(&ticks.len()), "{low}..{high}: {ticks:?}");
            assert!(ticks.windows(2).all(|pair| pair[0] != pair[1]), "{low}..{high}: {ticks:?}");
            for value in [low, high] {
                assert!((-1e-9..=1.0 + 1e-9).contains(&axis.place(value)), "{low}..{high}");
            }
        }
    }
}
