//! A forward pass, and what its heads did.

use super::Workshop;
use crate::protocol::Failure;
use crate::protocol::attention::{Head, HeadView, Inspect, Inspected};

/// Keeps the program of whole texts and its last pass.
#[derive(Default)]
pub struct Inspector;

impl Workshop {
    pub(super) async fn inspect(&mut self, _: Inspect) -> Result<Inspected, Failure> {
        Err(Failure::no_model())
    }

    pub(super) async fn head(&mut self, _: Head) -> Result<HeadView, Failure> {
        Err(Failure::no_model())
    }
}
