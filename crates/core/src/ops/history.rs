//! What a run reports of each update, kept on the device, so that training need not wait for it:
//!
//! ```text
//! each micro-batch   running += loss · loss_scale
//! each update        ring[slot] = running, gradient norm, scale of the loss, 1 if the update was left out;   running = 0
//! ```
//!
//! `slot` is the step's; whoever reads the ring does so before it comes round.

use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// Updates that a ring holds: enough that reading it costs nothing per update, few enough that a reader is never far behind.
pub const SLOTS: usize = 64;
/// Numbers per update.
pub const FIELDS: usize = 4;

/// Adds a micro-batch's share of the loss.
#[derive(Debug)]
pub struct AccumulateLoss {
    /// Mean loss of the micro-batch, `[1]`.
    pub loss: Tensor,
    /// `[1]`, accumulated.
    pub running: Tensor,
}

impl Op for AccumulateLoss {
    fn name(&self) -> &'static str {
        "accumulate loss"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        mem.write(self.running)[0] += mem.read(self.loss)[0] * step.loss_scale;
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        kernels.push(
            Dispatch::new(shader::HISTORY, "accumulate_loss").bind("loss", self.loss).bind("running", self.running),
        );
    }
}

/// Takes note of an update.
#[derive(Debug)]
pub struct RecordStep {
    /// The update's loss, `[1]`; zero afterwards.
    pub running: Tensor,
    /// `[2]`: gradient norm; clip factor, 0 where the update was left out.
    pub stats: Tensor,
    /// `[2]`, its first the scale of the loss.
    pub scaler: Option<Tensor>,
    /// `[SLOTS, FIELDS]`, one row assigned.
    pub ring: Tensor,
}

impl Op for RecordStep {
    fn name(&self) -> &'static str {
        "record step"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let stats = mem.read(self.stats);
        let scale = self.scaler.map_or(1.0, |scaler| mem.read(scaler)[0]);
        let mut running = mem.write(self.running);
        let skipped = if stats[1] == 0.0 { 1.0 } else { 0.0 };
        let at = FIELDS * step.slot as usize;
        mem.write(self.ring)[at..at + FIELDS].copy_from_slice(&[running[0], stats[0], scale, skipped]);
        running[0] = 0.0;
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        kernels.push(
            Dispatch::new(shader::HISTORY, "record_step")
                .bind("running", self.running)
                .bind("stats", self.stats)
                .bind("scaler", self.scaler)
                .assign("ring", self.ring)
                .constant("HAS_SCALER", self.scaler.is_some()),
        );
    }
}
