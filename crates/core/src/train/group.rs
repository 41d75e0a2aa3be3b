//! How many updates are begun before anybody waits for them.
//!
//! A GPU works through a queue; to ask it for a loss is to let the queue run dry. So updates are begun in groups and their reports
//! read together, several times a second: often enough for a progress bar and for Ctrl-C. The CPU engine has
//! no queue, and every update is a group.

use web_time::Instant;

use crate::ops::history::SLOTS;

/// What a reader of the progress bar calls at once.
const REPORTS_PER_SECOND: f64 = 8.0;
/// Reports that are kept for updates that nobody has asked about yet.
const MOST: u64 = SLOTS as u64;

/// The updates since reports were last taken.
#[derive(Debug)]
pub struct Group {
    is_queue: bool,
    /// Updates done when it began.
    from: u64,
    started: Instant,
    size: u64,
}

impl Group {
    /// From `step` on, on a device that has a queue or has not.
    pub fn new(step: u64, is_queue: bool) -> Self {
        Self { is_queue, from: step, started: Instant::now(), size: 1 }
    }

    /// Whether it is time to ask, after update `step`.
    pub fn is_full(&self, step: u64) -> bool {
        step - self.from >= self.size
    }

    /// Ends the group after update `step` and begins the next; the seconds that it took.
    pub fn end(&mut self, step: u64) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.is_queue && step > self.from {
            self.size = next_size(self.size, (step - self.from) as f64 / seconds);
        }
        self.from = step;
        self.restart();
        seconds
    }

    /// Leaves out the time since the last group: it went into something else than training.
    pub fn restart(&mut self) {
        self.started = Instant::now();
    }
}

/// As many updates as take the time between two reports, but at most twice as many as before: the first ones are slow, and one
/// quick one proves little.
fn next_size(size: u64, steps_per_s: f64) -> u64 {
    ((steps_per_s / REPORTS_PER_SECOND) as u64).clamp(1, MOST.min(2 * size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_grow_to_the_time_between_reports_and_shrink_at_once() {
        assert_eq!(next_size(1, 1e9), 2);
        assert_eq!(next_size(64, 1e9), MOST);
        assert_eq!(next_size(16, 160.0), 20);
        assert_eq!(next_size(16, 80.0), 10);
        assert_eq!(next_size(64, 0.5), 1);
    }

    #[test]
    fn without_a_queue_every_update_is_a_group() {
        let mut group = Group::new(7, false);
        for step in 8..30 {
            assert!(group.is_full(step) && !group.is_full(step - 1));
            group.end(step);
        }
    }
}
