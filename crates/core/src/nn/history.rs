//! The ring of an update pass's results, which the host reads now and then.

use crate::ops::history::{AccumulateLoss, FIELDS, RecordStep, SLOTS};
use crate::program::{Pass, Program, Tensor};

/// What one update left in the ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Mean loss of the update's batches, nats per token.
    pub loss: f32,
    /// Global gradient norm before clipping.
    pub grad_norm: f32,
    /// Factor on the next loss's gradient: 1 unless activations are float16.
    pub loss_scale: f32,
    /// Whether the update was left out because the gradient was not finite.
    pub skipped: bool,
}

/// A recorded ring.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// The loss of an update, so far, `[1]`.
    pub running: Tensor,
    /// `[SLOTS, FIELDS]`.
    pub ring: Tensor,
}

impl History {
    /// Records the ring of a program whose other passes are complete. `stats` is what the optimizer recorded.
    pub fn record(p: &mut Program, loss: Tensor, stats: Tensor) -> Self {
        let running = p.tensor("history.running", &[1]);
        let ring = p.tensor("history", &[SLOTS, FIELDS]);
        let scaler = p.loss_scaler();
        p.push(Pass::Backward, AccumulateLoss { loss, running });
        p.push(Pass::Update, RecordStep { running, stats, scaler, ring });
        Self { running, ring }
    }

    /// The slot of an update.
    pub fn slot(update: u64) -> u32 {
        (update % SLOTS as u64) as u32
    }

    /// What an update left in its slot; `None` where that is still zero. No record is: a loss may be, but its scale never.
    pub fn find(ring: &[f32], update: u64) -> Option<Record> {
        let at = FIELDS * Self::slot(update) as usize;
        let [loss, grad_norm, loss_scale, skipped] = *ring[at..].first_chunk::<FIELDS>()?;
        (loss_scale != 0.0).then_some(Record { loss, grad_norm, loss_scale, skipped: skipped != 0.0 })
    }
}
