//! What a model costs, and how fast this device is.

use super::Workshop;
use crate::protocol::Failure;
use crate::protocol::stack::{Estimate, Estimated, Probe, Probed};

/// What a model would cost.
pub fn estimate(_: &Estimate) -> Result<Estimated, Failure> {
    Err(Failure::no_model())
}

impl Workshop {
    pub(super) async fn probe(&mut self, _: Probe) -> Result<Probed, Failure> {
        Err(Failure::no_model())
    }
}
