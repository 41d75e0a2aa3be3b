//! What updates did, read from the device a ring at a time: waiting for it after each would leave it idle in between.

use super::StepReport;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::nn::history::History;
use crate::ops::history::SLOTS;
use crate::ops::loss_scaler::LEAST_SCALE;

/// Updates in a row whose gradient was not finite before a run is given up.
const MAX_SKIPS: u64 = 10;

/// Updates whose reports are on the device, and reports that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Reports {
    history: History,
    /// Updates done before each, and its learning rate.
    pending: Vec<(u64, f32)>,
    ready: Vec<StepReport>,
}

impl Reports {
    pub fn new(history: History) -> Self {
        Self { history, pending: Vec::new(), ready: Vec::new() }
    }

    /// Whether the ring has no slot left.
    pub fn is_full(&self) -> bool {
        self.pending.len() == SLOTS
    }

    /// Takes note of an update that was begun.
    pub fn expect(&mut self, done: u64, learning_rate: f32) {
        self.pending.push((done, learning_rate));
    }

    /// Reads the ring. `skips` counts the updates in a row that were left out: with a loss scale that can still be lowered, leaving one
    /// out is how a smaller one is found, and does not count.
    pub async fn drain(&mut self, engine: &Engine, skips: &mut u64) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let ring = engine.read(self.history.ring).await?;
        for (done, learning_rate) in self.pending.drain(..) {
            let record = History::find(&ring, done);
            *skips = match record.skipped {
                true if record.loss_scale > LEAST_SCALE => *skips,
                true => *skips + 1,
                false => 0,
            };
            let (step, loss) = (done + 1, f64::from(record.loss));
            let report = StepReport { step, loss, grad_norm: record.grad_norm, learning_rate, skipped: record.skipped };
            self.ready.push(report);
            if *skips >= MAX_SKIPS {
                return Err(Error::Diverged {
                    step,
                    problem: format!(
                        "the gradient was not finite for {MAX_SKIPS} updates in a row (loss {loss}); lower the learning rate"
                    ),
                });
            }
        }
        Ok(())
    }

    /// The reports that were read and not yet taken.
    pub fn take(&mut self) -> Vec<StepReport> {
        std::mem::take(&mut self.ready)
    }
}
