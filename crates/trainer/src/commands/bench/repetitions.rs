//! How often something is measured, and what of it counts.

use std::time::Instant;

/// How much patience a device deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Two repetitions to warm up, then at least five.
    Full,
    /// One to warm up, then at least two: for software adapters, where each takes seconds.
    Least,
}

/// Durations of repeated work.
pub struct Repetitions {
    budget: f64,
    warm_ups: usize,
    least: usize,
    seconds: Vec<f64>,
}

impl Repetitions {
    /// Until `budget` seconds are spent.
    pub fn new(budget: f64, effort: Effort) -> Self {
        let (warm_ups, least) = match effort {
            Effort::Full => (2, 5),
            Effort::Least => (1, 2),
        };
        Self { budget, warm_ups, least, seconds: Vec::new() }
    }

    /// Whether to do it once more.
    pub fn go_on(&self) -> bool {
        self.seconds.len() < self.least || self.seconds.iter().sum::<f64>() < self.budget
    }

    /// One repetition, from `started` to now.
    pub fn add(&mut self, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        match self.warm_ups.checked_sub(1) {
            Some(left) => self.warm_ups = left,
            None => self.seconds.push(seconds),
        }
    }

    /// The middle one; of an even number, the mean of the middle two.
    pub fn median(mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        let middle = self.seconds.len() / 2;
        match self.seconds.len() % 2 {
            1 => self.seconds[middle],
            _ => (self.seconds[middle - 1] + self.seconds[middle]) / 2.0,
        }
    }
}
