//! The matrix products of a linear layer as a GPU runs them: which tile, how many parts of the depth, and the dispatch that follows.
//! `shaders/linear.wgsl` explains what the numbers mean.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::dispatch::{Dispatch, Source};
use super::shader;
use crate::ops::linear::Sizes;
use crate::program::DType;

/// Which of a layer's products; the name is its entry point's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `Y = X Wᵀ`.
    Forward,
    /// `dX = dY W`.
    BackwardInput,
    /// `dW += dYᵀ X`.
    BackwardWeight,
}

impl Layout {
    /// The entry point.
    pub fn entry(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::BackwardInput => "backward_input",
            Self::BackwardWeight => "backward_weight",
        }
    }
}

/// What a workgroup makes of `C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tile {
    /// 64 threads of 4 × 4: many workgroups from little.
    #[serde(rename = "32x32 by 4")]
    T32x32By4,
    /// 256 threads of 4 × 4.
    #[serde(rename = "64x64 by 4")]
    T64x64By4,
    /// 64 threads of 8 × 8.
    #[serde(rename = "64x64 by 8")]
    T64x64By8,
    /// 128 threads of 8 × 8.
    #[serde(rename = "128x64 by 8")]
    T128x64By8,
    /// 256 threads of 8 × 8: the least traffic, for large products on large GPUs.
    #[serde(rename = "128x128 by 8")]
    T128x128By8,
}

/// Sizes of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileShape {
    /// Rows of C.
    pub rows: usize,
    /// Columns of C.
    pub cols: usize,
    /// Depth of a step.
    pub depth: usize,
    /// A thread makes so many rows by as many columns.
    pub per_thread: usize,
}

impl Tile {
    /// All of them, smallest first.
    pub const ALL: [Self; 5] = [Self::T32x32By4, Self::T64x64By4, Self::T64x64By8, Self::T128x64By8, Self::T128x128By8];

    /// Its sizes. Every thread loads one or two patches of 4 × 4; no tile takes more than 16,384 bytes.
    pub fn shape(self) -> TileShape {
        let (rows, cols, depth, per_thread) = match self {
            Self::T32x32By4 => (32, 32, 16, 4),
            Self::T64x64By4 => (64, 64, 32, 4),
            Self::T64x64By8 => (64, 64, 16, 8),
            Self::T128x64By8 => (128, 64, 16, 8),
            Self::T128x128By8 => (128, 128, 16, 8),
        };
        TileShape { rows, cols, depth, per_thread }
    }
}

/// How to run a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Tile of a workgroup.
    pub tile: Tile,
    /// Parts that the depth is summed in; 1 unless the product is [`Layout::BackwardWeight`].
    pub splits: usize,
}

/// Most parts of a depth: their sums are written and read again.
pub const MAX_SPLITS: usize = 16;
/// Least depth of a part: below, making it costs less than adding it.
const MIN_SPLIT_DEPTH: usize = 128;
/// Workgroups that keep a GPU of the middle class busy: some 30 cores with a handful each.
const ENOUGH_WORKGROUPS: usize = 256;

/// A product `C = A B`, as far as speed depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Which.
    pub layout: Layout,
    /// Sizes of the layer.
    pub sizes: Sizes,
    /// Element types of A, B and C.
    pub types: [DType; 3],
}

/// The key of a product in a [`Tuning`](super::Tuning).
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Sizes { rows, outputs, inputs }, [a, b, c]) = (self.sizes, self.types.map(DType::wgsl));
        write!(f, "{} {rows}x{outputs}x{inputs} {a} {b} {c}", self.layout.entry())
    }
}

impl Product {
    /// Rows and columns of C, and the depth that is summed.
    fn extents(&self) -> [usize; 3] {
        let Sizes { rows: m, outputs: n, inputs: k } = self.sizes;
        match self.layout {
            Layout::Forward => [m, n, k],
            Layout::BackwardInput => [m, k, n],
            Layout::BackwardWeight => [n, k, m],
        }
    }

    /// Whether C is written by quads.
    fn aligned(&self) -> bool {
        self.extents()[1].is_multiple_of(4)
    }

    fn tiles(&self, tile: Tile) -> usize {
        let ([rows, cols, _], shape) = (self.extents(), tile.shape());
        rows.div_ceil(shape.rows) * cols.div_ceil(shape.cols)
    }

    /// Parts and depth of a part, the latter in whole steps of the tile.
    fn split(&self, choice: Choice) -> (usize, usize) {
        let depth = self.extents()[2];
        let part = depth.div_ceil(choice.splits).next_multiple_of(choice.tile.shape().depth);
        (depth.div_ceil(part), part)
    }

    fn most_splits(&self) -> usize {
        match self.layout {
            Layout::BackwardWeight => (self.extents()[2] / MIN_SPLIT_DEPTH).clamp(1, MAX_SPLITS),
            Layout::Forward | Layout::BackwardInput => 1,
        }
    }

    /// What is run where nothing was measured: the largest tile of which there are enough to go round.
    pub fn default_choice(&self) -> Choice {
        let splits = |tile| ENOUGH_WORKGROUPS.div_ceil(self.tiles(tile)).min(self.most_splits());
        // 128 × 128 takes registers and memory that not every GPU has to spare: only a measurement chooses it.
        let wanted = [
            (Tile::T128x64By8, ENOUGH_WORKGROUPS),
            (Tile::T64x64By8, ENOUGH_WORKGROUPS),
            (Tile::T64x64By4, ENOUGH_WORKGROUPS / 4),
        ];
        let fits = |&(tile, enough): &(Tile, usize)| self.tiles(tile) * splits(tile) >= enough;
        let tile = wanted.into_iter().find(fits).map_or(Tile::T32x32By4, |(tile, _)| tile);
        Choice { tile, splits: splits(tile) }
    }

    /// What is worth measuring, the default first.
    pub fn candidates(&self) -> Vec<Choice> {
        let mut candidates = vec![self.default_choice()];
        for tile in Tile::ALL {
            for splits in [1, 2, 4, 8, 16] {
                let choice = Choice { tile, splits };
                // Splitting makes workgroups where there are few; with plenty it only makes traffic.
                let sensible = splits == 1 || self.tiles(tile) * splits <= 8 * ENOUGH_WORKGROUPS;
                if splits <= self.most_splits() && sensible && !candidates.contains(&choice) {
                    candidates.push(choice);
                }
            }
        }
        candidates
    }

    /// The dispatch of the product itself, without its tensors. The second value is the number of parts that C is made in.
    pub fn dispatch(&self, choice: Choice) -> (Dispatch, usize) {
        let ([rows, cols, depth], shape) = (self.extents(), choice.tile.shape());
        let (splits, split_depth) = self.split(choice);
        let a_transposed = self.layout == Layout::BackwardWeight;
        let b_transposed = self.layout == Layout::Forward;
        let whole_quads = |len: usize| f64::from(len.is_multiple_of(4));
        let dispatch = Dispatch::new(shader::LINEAR, self.layout.entry())
            .constant("TILE_ROWS", shape.rows as f64)
            .constant("TILE_COLS", shape.cols as f64)
            .constant("TILE_DEPTH", shape.depth as f64)
            .constant("PER_THREAD", shape.per_thread as f64)
            .constant("A_TRANSPOSED", a_transposed)
            .constant("B_TRANSPOSED", b_transposed)
            .constant("A_ALIGNED", whole_quads(if a_transposed { rows } else { depth }))
            .constant("B_ALIGNED", whole_quads(if b_transposed { depth } else { cols }))
            .constant("C_ALIGNED", self.aligned())
            .param("rows", rows)
            .param("cols", cols)
            .param("depth", depth)
            .param("splits", splits)
            .param("split_depth", split_depth)
            .linear(self.tiles(choice.tile) * splits);
        (dispatch, splits)
    }

    /// Binds a matrix of C's shape that is assigned, in the form that it is written in: by quads, or by scalars where lines are not
    /// whole quads.
    pub fn assign_output(&self, dispatch: Dispatch, forms: [&'static str; 2], source: impl Into<Source>) -> Dispatch {
        let [used, unused] = self.used_form(forms);
        dispatch.assign(used, source).bind(unused, Source::Nothing)
    }

    /// [`Self::assign_output`] of a matrix that is added to.
    pub fn bind_output(&self, dispatch: Dispatch, forms: [&'static str; 2], source: impl Into<Source>) -> Dispatch {
        let [used, unused] = self.used_form(forms);
        dispatch.bind(used, source).bind(unused, Source::Nothing)
    }

    fn used_form(&self, [quads, scalars]: [&'static str; 2]) -> [&'static str; 2] {
        if self.aligned() { [quads, scalars] } else { [scalars, quads] }
    }
}
