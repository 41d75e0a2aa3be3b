//! What updates did, read from the device a ring at a time: waiting for it after each would leave it idle in between.

use super::StepReport;
use crate::engine::Engine;
use crate::error::{Error, GpuError, Result};
use crate::nn::history::History;
use crate::ops::history::SLOTS;
use crate::ops::loss_scaler::LEAST_SCALE;
use crate::program::Tensor;

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

    /// Where the loss of an update is summed up, `[1]`.
    pub fn running(&self) -> Tensor {
        self.history.running
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
    ///
    /// An update without a record is an error: whoever refused the device's work has not said so, and what is in its place is no loss.
    pub async fn drain(&mut self, engine: &mut Engine, skips: &mut u64) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let ring = engine.read(self.history.ring).await?;
        // An old record is not to be taken for a new one.
        engine.write(self.history.ring, &vec![0.0; ring.len()]);
        for (done, learning_rate) in self.pending.drain(..) {
            let Some(record) = History::find(&ring, done) else {
                return Err(GpuError::Validation(format!("update {} left no trace", done + 1)).into());
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::cpu::Pool;
    use crate::program::Pass;
    use crate::step::Step;
    use crate::train::{TrainConfig, record};

    #[test]
    fn an_update_that_never_ran_is_an_error() {
        let (settings, model) = (TrainConfig { batch_size: 1, ..TrainConfig::default() }, ModelConfig::default());
        let (program, _, history) = record(&model, &settings).unwrap();
        let mut engine = Engine::cpu(program, Pool::new(1));
        let (mut reports, mut skips) = (Reports::new(history), 0);
        // The second finds the slot as the first left it.
        for (update, runs) in [(3, true), (3 + SLOTS as u64, false)] {
            if runs {
                engine.replay(Pass::Update, &Step { slot: History::slot(update), ..Step::DEFAULT });
            }
            reports.expect(update, 0.1);
            let drained = pollster::block_on(reports.drain(&mut engine, &mut skips));
            assert_eq!(drained.is_ok(), runs, "{drained:?}");
        }
        assert_eq!(reports.take().len(), 1);
    }
}
