//! What goes into the first block: rows of tables, and what is near what in them.

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
    /// What the token's row of `wte` is multiplied by: `√C` where positions are sines, else 1.
    pub scale: f32,
    /// The token's row of `wte`, times that.
    pub token: Values,
    /// The position's row, learned or fixed; `None` where no row is added (rope, bigram).
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
    /// `n`; 0 where the model has no rows of positions to compare (rope, bigram).
    pub positions: usize,
    /// Rows that the model has, `n` or more.
    pub all: usize,
    /// Cosines, `[n, n]`.
    pub cosines: Values,
}

/// Asks what is near in the token table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbours {
    /// Near to what.
    pub of: Near,
    /// At most so many.
    pub count: usize,
}

/// Near to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Near {
    /// To a token.
    Token(u32),
    /// `a` is to `b` as `c` to whom?
    Analogy(u32, u32, u32),
}

/// What is near.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighboursFound {
    /// To what.
    pub of: Near,
    /// Nearest first: id and cosine.
    pub nearest: Vec<(u32, f32)>,
}

/// Asks what chance would put there: the same question to shuffled tables. In a large table this takes a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline(pub Neighbours);

/// What chance puts there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineFound {
    /// Near to what.
    pub of: Near,
    /// Tables that were shuffled.
    pub shuffles: u32,
    /// Rank by rank: mean and largest cosine.
    pub ranks: Vec<(f32, f32)>,
}

/// Asks for the token table in two dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMap;

/// The largest vocabulary that is projected.
pub const MAX_MAP_TOKENS: usize = 5000;

/// The token table on its two principal components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenMapFound {
    /// `[V, 2]`; empty where there are more than [`MAX_MAP_TOKENS`].
    pub places: Values,
    /// Share of the table's variance on each axis.
    pub shares: [f32; 2],
}
