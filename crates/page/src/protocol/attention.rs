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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// How many tokens were left out at the front, as more than the context.
    pub skipped: usize,
    /// Tokens read, `n`.
    pub count: usize,
    /// Nats for each token after the first: `[n - 1]`.
    pub losses: Values,
    /// Logits after the last token, `[V]`.
    pub logits: Values,
    /// Small pictures of every head's weights: `[L, NH, size, size]`, the largest weight of each cell, rows are queries.
    pub thumbnails: Values,
    /// Side of a picture.
    pub thumbnail_size: usize,
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
    /// `n`.
    pub count: usize,
    /// Channels of a head, `D`.
    pub head_dim: usize,
    /// `q · k` for all pairs, before scale and mask: `[n, n]`.
    pub scores: Values,
    /// The weights that the pass computed, `[n, n]`.
    pub weights: Values,
}
