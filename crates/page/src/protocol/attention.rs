//! A forward pass over a text, and what its heads did.

use serde::{Deserialize, Serialize};

use super::Values;

/// Runs the model over a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspect {
    /// Ids; the last `n_positions` of them are read.
    pub tokens: Vec<u32>,
    /// What is done to the model first.
    pub experiment: Experiment,
}

/// Interventions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Scores are not divided by √D.
    pub unscaled: bool,
    /// Queries see later keys too.
    pub unmasked: bool,
    /// Heads whose output is zero: layer and head.
    pub ablated: Vec<(usize, usize)>,
}

/// What a forward pass gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// What was done to the model.
    pub experiment: Experiment,
    /// How many tokens were left out at the front, as more than the context.
    pub skipped: usize,
    /// Tokens read, `n`.
    pub tokens: Vec<u32>,
    /// Nats for each token after the first: `[n - 1]`.
    pub losses: Values,
    /// Logits after the last `rows` tokens, `[rows, V]`: after all of them where that is little to send, else after the last alone.
    pub logits: Values,
    /// Small pictures of every head's weights: `[L, NH, size, size]`, the largest weight of each cell, rows are queries.
    pub thumbnails: Values,
    /// Side of a picture.
    pub thumbnail_size: usize,
    /// How much of each [`Pattern`] is in every head, `[L, NH, 12]`: the mean weight over the queries that have such keys; 0 where none has.
    pub patterns: Values,
    /// The same of a head that looks at all keys up to its query alike, `[12]`.
    pub chance: Values,
    /// Mean entropy of every head's rows in bits, `[L, NH]`.
    pub entropies: Values,
}

/// Keys by their place beside the query: what a head may be seen to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// The query's own.
    Itself,
    /// The one before.
    Previous,
    /// Two before.
    TwoBack,
    /// Three before.
    ThreeBack,
    /// The first of the text, from the fifth query on.
    First,
    /// The last space or line's end before.
    LastSpace,
    /// The last line's end before.
    LastLine,
    /// The last vowel before.
    LastVowel,
    /// The first after the last space or line's end, before the query.
    WordStart,
    /// Earlier ones that are the query's token.
    Same,
    /// Earlier ones that come after the query's token: what followed the last time ("induction", Olsson et al. 2022).
    AfterSame,
    /// All since the last space or line's end, the query's own among them.
    Word,
}

impl Pattern {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Itself,
        Self::Previous,
        Self::TwoBack,
        Self::ThreeBack,
        Self::First,
        Self::LastSpace,
        Self::LastLine,
        Self::LastVowel,
        Self::WordStart,
        Self::Same,
        Self::AfterSame,
        Self::Word,
    ];
}

/// Asks for one head of the same pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// As in [`Inspect`]; a pass that has just been run is not run again.
    pub inspect: Inspect,
    /// From 0.
    pub layer: usize,
    /// From 0.
    pub head: usize,
}

/// One head's scores and weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadView {
    /// From 0.
    pub layer: usize,
    /// From 0.
    pub head: usize,
    /// `NH`.
    pub heads: usize,
    /// How many tokens were left out at the front.
    pub skipped: usize,
    /// Tokens read, `n`.
    pub tokens: Vec<u32>,
    /// Channels of a head, `D`.
    pub head_dim: usize,
    /// What scores were multiplied by: 1/√D, or 1 without scale.
    pub factor: f32,
    /// Whether later keys are hidden.
    pub causal: bool,
    /// Of the keys up to its own a query sees so many; `None` is all.
    pub window: Option<usize>,
    /// `q · k` for all pairs, before scale and mask: `[n, n]`.
    pub scores: Values,
    /// The weights that the pass computed, `[n, n]`.
    pub weights: Values,
}

impl HeadView {
    /// Whether the mask hides a key from a query.
    pub fn is_masked(&self, query: usize, key: usize) -> bool {
        self.causal && (key > query || self.window.is_some_and(|window| key + window <= query))
    }
}
