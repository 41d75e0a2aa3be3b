//! Axes: where a value lies, which values are marked, and how they are written.

use crate::ui::number::count;

/// Values `from..=to` on the coordinates `start..=end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    log: bool,
}

impl Scale {
    /// In proportion.
    pub fn linear(from: f64, to: f64, start: f64, end: f64) -> Self {
        Self { from, to: if to > from { to } else { from + 1.0 }, start, end, log: false }
    }

    /// In proportion to logarithms; what is less than `from`, which is positive, lies there.
    pub fn log(from: f64, to: f64, start: f64, end: f64) -> Self {
        Self { from: from.ln(), to: if to > from { to.ln() } else { from.ln() + 1.0 }, start, end, log: true }
    }

    /// Steps up to the last one. A logarithm has no place for step 0: it lies with the first.
    pub fn steps(log: bool, last: u64, start: f64, end: f64) -> Self {
        if log { Self::log(1.0, last.max(2) as f64, start, end) } else { Self::linear(0.0, last as f64, start, end) }
    }

    /// Where a value lies; beyond the ends it lies at the nearest.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        self.start + share * (self.end - self.start)
    }

    /// The step at a coordinate.
    pub fn step_at(&self, at: f64) -> u64 {
        let share = ((at - self.start) / (self.end - self.start)).clamp(0.0, 1.0);
        let value = self.from + share * (self.to - self.from);
        (if self.log { value.exp() } else { value }).round().max(0.0) as u64
    }

    /// Steps that are marked, at most about so many.
    pub fn step_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let mut ticks = Vec::new();
        if self.log {
            let last = self.to.exp().round() as u64;
            let decades = (self.to / std::f64::consts::LN_10).max(1.0);
            // Ones alone, or twos and fives where there is room.
            let digits: &[u64] = if decades * 3.0 <= most as f64 { &[1, 2, 5] } else { &[1] };
            let mut power = 1;
            while power <= last {
                ticks.extend(digits.iter().map(|digit| digit * power).filter(|&step| step <= last));
                power *= 10;
            }
        } else {
            let step = (nice(self.to / most.max(2) as f64)).max(1.0) as u64;
            ticks.extend((0..=self.to as u64 / step).map(|i| i * step));
        }
        ticks.into_iter().map(|step| (self.place(step as f64), count(step))).collect()
    }
}

/// A range of losses, widened to whole intervals: bottom, top, and the interval.
pub fn levels(low: f64, high: f64) -> (f64, f64, f64) {
    let interval = nice((high - low).max(0.2) / 6.0);
    ((low / interval).floor() * interval, (high / interval).ceil() * interval, interval)
}

/// The values that are marked.
pub fn level_ticks((low, high, interval): (f64, f64, f64)) -> Vec<(f64, String)> {
    let first = (low / interval).round() as i64;
    let number = ((high - low) / interval).round() as i64;
    (first..=first + number)
        .map(|i| {
            let value = i as f64 * interval;
            (value, decimal(value, if interval < 0.1 { 2 } else { 1 }))
        })
        .collect()
}

/// The least of 1, 2, 5 × 10ⁿ that is no less.
pub fn nice(rough: f64) -> f64 {
    let power = 10_f64.powi(rough.max(1e-9).log10().floor() as i32);
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= rough * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

/// With so many digits after the point.
pub fn decimal(value: f64, digits: u32) -> String {
    let unit = 10_i64.pow(digits);
    let whole = (value * unit as f64).round() as i64;
    let (sign, whole) = (if whole < 0 { "−" } else { "" }, whole.unsigned_abs());
    let unit = unit.unsigned_abs();
    format!("{sign}{}.{:0width$}", whole / unit, whole % unit, width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<(f64, String)>) -> Vec<String> {
        ticks.into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn steps_lie_where_they_are_found_again() {
        for log in [false, true] {
            let scale = Scale::steps(log, 2000, 40.0, 740.0);
            assert_eq!((scale.place(2000.0), scale.place(1e9)), (740.0, 740.0));
            for step in [1, 2, 17, 400, 1999] {
                assert_eq!(scale.step_at(scale.place(step as f64)), step, "log: {log}");
            }
        }
        assert_eq!(Scale::steps(true, 2000, 40.0, 740.0).place(0.0), 40.0);
        // A run of one step has a place, too.
        assert_eq!(Scale::steps(true, 1, 0.0, 1.0).place(1.0), 0.0);
        assert_eq!(Scale::steps(false, 0, 0.0, 1.0).place(0.0), 0.0);
    }

    #[test]
    fn round_steps_are_marked() {
        let linear = Scale::steps(false, 2000, 0.0, 700.0);
        assert_eq!(labels(linear.step_ticks(5)), ["0", "500", "1\u{202f}000", "1\u{202f}500", "2\u{202f}000"]);
        let log = Scale::steps(true, 600, 0.0, 700.0);
        assert_eq!(labels(log.step_ticks(9)), ["1", "2", "5", "10", "20", "50", "100", "200", "500"]);
        assert_eq!(labels(log.step_ticks(5)), ["1", "10", "100"]);
        assert_eq!(labels(Scale::steps(false, 3, 0.0, 1.0).step_ticks(8)), ["0", "1", "2", "3"]);
    }

    #[test]
    fn losses_are_marked_at_round_values_around_them() {
        assert_eq!(labels(level_ticks(levels(1.47, 4.17))), ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5"]);
        let (low, high, _) = levels(2.0, 2.0);
        assert!(low <= 2.0 && high >= 2.0);
        assert_eq!(labels(level_ticks((0.0, 0.1, 0.05))), ["0.00", "0.05", "0.10"]);
    }

    #[test]
    fn decimals_are_rounded() {
        assert_eq!(decimal(1.005, 1), "1.0");
        assert_eq!(decimal(-0.26, 1), "−0.3");
        assert_eq!(decimal(12.0, 2), "12.00");
    }
}
