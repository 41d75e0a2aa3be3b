//! Writing a text, a slice at a time.

use super::Workshop;
use crate::protocol::Failure;
use crate::protocol::sample::{Generate, Generated, Written};

/// A text in the making.
pub struct Writing;

impl Workshop {
    pub(super) async fn begin_writing(&mut self, _: Generate) -> Result<Writing, Failure> {
        Err(Failure::no_model())
    }
}

impl Writing {
    /// Draws for some milliseconds. Also the end, if it is reached.
    pub async fn slice(&mut self) -> Result<(Generated, Option<Written>), Failure> {
        Err(Failure::no_model())
    }
}
