//! Rows of tables.

use super::Workshop;
use crate::protocol::Failure;
use crate::protocol::embed::{Neighbours, NeighboursFound, PositionMap, PositionSimilarity, TokenRows, TokenRowsRead};

impl Workshop {
    pub(super) fn token_rows(&self, _: TokenRows) -> Result<TokenRowsRead, Failure> {
        Err(Failure::no_model())
    }

    pub(super) fn position_map(&self, _: PositionMap) -> Result<PositionSimilarity, Failure> {
        Err(Failure::no_model())
    }

    pub(super) fn neighbours(&self, _: Neighbours) -> Result<NeighboursFound, Failure> {
        Err(Failure::no_model())
    }
}
