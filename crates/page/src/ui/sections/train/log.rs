//! What was heard of a run: its points, samples and snapshots, in the order of its steps.

use crate::protocol::train::{Evaluated, RunPart, StepPoint};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// Updates, in order.
    pub steps: Vec<StepPoint>,
    /// Their losses, smoothed.
    pub smooth: Vec<f32>,
    /// Evaluations, in order.
    pub evaluations: Vec<Evaluated>,
    /// Steps and texts, in order.
    pub samples: Vec<(u64, String)>,
    /// Steps whose model can be looked at, in order.
    pub snapshots: Vec<u64>,
    /// Updates done.
    pub step: u64,
    /// Of late.
    pub tokens_per_second: f64,
    /// Seconds of its own work.
    pub elapsed: f64,
    /// Bytes of the learner's memory.
    pub memory: u64,
    /// The browser keeps it as of this step, or cannot.
    pub kept: Option<Result<u64, String>>,
    /// Another engine took over: which, and why.
    pub moved: Option<(String, String)>,
}

/// The longest memory of the smoothed loss, in steps.
const LONGEST: f32 = 40.0;

impl Log {
    /// Takes what was heard; says whether it was anything that is drawn.
    pub fn hear(&mut self, part: RunPart) {
        match part {
            RunPart::Steps { steps, tokens_per_second, elapsed, memory } => {
                if let Some(last) = steps.last() {
                    self.step = last.step;
                }
                self.tokens_per_second = tokens_per_second;
                self.elapsed = elapsed;
                self.memory = self.memory.max(memory);
                steps.into_iter().for_each(|point| self.push(point));
            }
            RunPart::Evaluated(evaluated) => {
                self.step = self.step.max(evaluated.step);
                self.evaluations.push(evaluated);
            }
            RunPart::Snapshot { step } => {
                if let Err(place) = self.snapshots.binary_search(&step) {
                    self.snapshots.insert(place, step);
                }
            }
            RunPart::SnapshotGone { step } => self.snapshots.retain(|&known| known != step),
            RunPart::Sample { step, text } => self.samples.push((step, text)),
            RunPart::Kept { step } => self.kept = Some(Ok(step)),
            RunPart::NotKept { why } => self.kept = Some(Err(why)),
            RunPart::Moved { engine, why } => self.moved = Some((engine, why)),
            RunPart::Rewound { step } => self.rewind(step),
            RunPart::Opened(card) => self.step = card.step,
            RunPart::State(_) => {}
        }
    }

    /// The mean `m ← m + 2 (x − m) / (span + 1)`, whose span grows with the number of points: a fixed one would drag far behind the steep
    /// beginning.
    fn push(&mut self, point: StepPoint) {
        let span = (self.steps.len() as f32 / 8.0).clamp(1.0, LONGEST);
        let last = self.smooth.iter().rev().copied().find(|mean| mean.is_finite()).unwrap_or(point.loss);
        let mean = if point.loss.is_finite() { last + 2.0 / (span + 1.0) * (point.loss - last) } else { point.loss };
        self.smooth.push(mean);
        self.steps.push(point);
    }

    fn rewind(&mut self, step: u64) {
        self.step = step;
        let stay = self.steps.partition_point(|point| point.step <= step);
        self.steps.truncate(stay);
        self.smooth.truncate(stay);
        self.evaluations.retain(|evaluated| evaluated.step <= step);
        self.samples.retain(|(at, _)| *at <= step);
        self.snapshots.retain(|&at| at <= step);
    }

    /// The best evaluation.
    pub fn best(&self) -> Option<&Evaluated> {
        self.evaluations.iter().rfind(|evaluated| evaluated.best)
    }

    /// The update that led to a step, and the smoothed loss there.
    pub fn at(&self, step: u64) -> Option<(&StepPoint, f32)> {
        let place = self.steps.partition_point(|point| point.step < step).min(self.steps.len().checked_sub(1)?);
        Some((&self.steps[place], self.smooth[place]))
    }

    /// The last evaluation up to a step.
    pub fn evaluated_at(&self, step: u64) -> Option<&Evaluated> {
        self.evaluations.iter().rfind(|evaluated| evaluated.step <= step)
    }

    /// Seconds to the end, where the speed is known.
    pub fn seconds_left(&self, last: u64, tokens_per_step: u64) -> Option<f64> {
        let left = last.saturating_sub(self.step) as f64 * tokens_per_step as f64;
        (self.tokens_per_second > 0.0).then(|| left / self.tokens_per_second)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A run of so many steps with an evaluation every ten.
    pub fn run(steps: u64, train: impl Fn(u64) -> f32, val: impl Fn(u64) -> f64) -> Log {
        let mut log = Log::default();
        let mut best = f64::INFINITY;
        for step in 1..=steps {
            let point = StepPoint { step, loss: train(step), learning_rate: 1e-3, grad_norm: 0.5 };
            log.hear(RunPart::Steps { steps: vec![point], tokens_per_second: 100.0, elapsed: step as f64, memory: 0 });
            if step % 10 == 0 {
                let val_loss = val(step);
                let train_loss = Some(train(step));
                let is_best = val_loss < best;
                best = best.min(val_loss);
                log.hear(RunPart::Evaluated(Evaluated {
                    step,
                    val_loss,
                    train_loss,
                    bits_per_char: 1.0,
                    best: is_best,
                }));
                log.hear(RunPart::Snapshot { step });
                log.hear(RunPart::Sample { step, text: format!("text {step}") });
            }
        }
        log
    }

    #[test]
    fn going_back_forgets_what_is_no_longer_true() {
        let mut log =
            run(100, |step| 4.0 - step as f32 / 100.0, |step| if step <= 50 { 3.0 - step as f64 / 100.0 } else { 3.0 });
        assert_eq!(log.best().unwrap().step, 50);
        log.hear(RunPart::Rewound { step: 50 });
        assert_eq!((log.step, log.steps.len(), log.smooth.len(), log.evaluations.len()), (50, 50, 50, 5));
        assert_eq!((log.samples.len(), log.snapshots.last()), (5, Some(&50)));
        log.hear(RunPart::SnapshotGone { step: 20 });
        assert_eq!(log.snapshots, [10, 30, 40, 50]);
    }

    #[test]
    fn the_smoothed_loss_follows_and_is_smooth() {
        let log = run(400, |step| 2.0 + if step % 2 == 0 { 0.2 } else { -0.2 }, |_| 2.0);
        assert_eq!(log.smooth[0], log.steps[0].loss);
        assert!(log.smooth[200..].iter().all(|mean| (mean - 2.0).abs() < 0.02));
        let mut broken = log.clone();
        broken.hear(RunPart::Steps {
            steps: vec![StepPoint { step: 401, loss: f32::NAN, learning_rate: 0.0, grad_norm: 0.0 }],
            tokens_per_second: 0.0,
            elapsed: 0.0,
            memory: 0,
        });
        broken.push(StepPoint { step: 402, loss: 2.0, learning_rate: 0.0, grad_norm: 0.0 });
        assert!(broken.smooth[400].is_nan() && broken.smooth[401].is_finite());
        assert_eq!(broken.seconds_left(500, 10), None);
        assert_eq!(log.seconds_left(500, 10), Some(10.0));
    }

    #[test]
    fn a_step_is_looked_up() {
        let log = run(30, |step| step as f32, |step| step as f64);
        assert_eq!(log.at(7).unwrap().0.step, 7);
        assert_eq!(log.at(99).unwrap().0.step, 30);
        assert_eq!(log.evaluated_at(25).unwrap().step, 20);
        assert_eq!(log.evaluated_at(5), None);
        assert_eq!(Log::default().at(1), None);
    }
}
