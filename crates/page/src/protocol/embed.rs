//! What goes into the first block: rows of tables.

use serde::{Deserialize, Serialize};

use super::Values;

/// Reads what the tables have for a token at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRows {
    /// Of the token.
    pub id: u32,
    /// From 0.
    pub position: usize,
}

/// Rows of `C` numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRowsRead {
    /// The token's row of `wte`.
    pub token: Values,
    /// The position's row, learned or fixed; `None` where positions enter elsewhere (rope).
    pub position: Option<Values>,
    /// Their sum: the residual stream before the first block.
    pub sum: Values,
}

/// Asks how alike positions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionMap {
    /// At most so many, from the first.
    pub positions: usize,
}

/// How alike positions are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionSimilarity {
    /// `n`; 0 where the model has no positions to compare (rope).
    pub positions: usize,
    /// Cosines, `[n, n]`.
    pub cosines: Values,
}

/// Asks what is near in the token table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Neighbours {
    /// To a token.
    Of(u32),
    /// `a` is to `b` as `c` to whom?
    Analogy(u32, u32, u32),
}

/// What is near, beside what chance gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighboursFound {
    /// Nearest first: id and cosine.
    pub nearest: Vec<(u32, f32)>,
    /// The same rank by rank in shuffled tables: mean and largest cosine.
    pub chance: Vec<(f32, f32)>,
}
