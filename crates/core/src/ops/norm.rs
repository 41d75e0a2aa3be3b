//! What the norms share: sums over blocks of rows, the vectors of a row, and their one shader.

use std::ops::Range;

use crate::cpu::gemm::Beta;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::elementwise::add;
use crate::program::Tensor;

/// Rows whose gradients of gain and bias are summed together before the sums are added up: fixed, so that the result does not depend on the
/// number of threads.
pub const ROWS_PER_PARTIAL: usize = 64;

/// How many sums of `channels` a block of rows has, from the length of all: `[⌈M / 64⌉, sums, C]`.
pub(super) fn sums_per_block(partials: usize, rows: usize, channels: usize) -> usize {
    partials / (rows.div_ceil(ROWS_PER_PARTIAL) * channels)
}

/// Adds those sums of every block that are a gradient's to it, for each gradient that is wanted.
pub(super) fn add_partials(
    mem: &Memory,
    partials: &[f32],
    rows: usize,
    gradients: impl IntoIterator<Item = (Option<Tensor>, Range<usize>)>,
) {
    for (gradient, which) in gradients {
        let Some(gradient) = gradient else { continue };
        // One at a time: they are parts of one arena.
        let mut gradient = mem.write(gradient);
        let c = gradient.len();
        for block in partials.chunks_exact(sums_per_block(partials.len(), rows, c) * c) {
            for sum in block[which.start * c..which.end * c].chunks_exact(c) {
                add(&mut gradient, sum);
            }
        }
    }
}

/// What is subtracted before a row is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Center {
    /// Its mean: layer norm.
    Mean,
    /// Nothing: RMS norm.
    Zero,
}

/// The groups of channels in a row that are normalised each on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    /// With the gain `weight`.
    pub queries: usize,
    /// With the gain `k_weight`.
    pub keys: usize,
    /// Passed unchanged.
    pub values: usize,
}

impl Groups {
    /// A plain norm's.
    pub const ROW: Self = Self { queries: 1, keys: 0, values: 0 };

    /// Those that are normalised.
    pub fn normed(self) -> usize {
        self.queries + self.keys
    }

    fn count(self) -> usize {
        self.normed() + self.values
    }

    /// An entry point for `x` of groups as long as `weight`, with the number of rows and of channels.
    fn dispatch(self, kernels: &Kernels<'_>, entry: &'static str, x: Tensor, weight: Tensor) -> (Dispatch, [usize; 2]) {
        let channels = kernels.len(weight);
        let rows = kernels.len(x) / (self.count() * channels);
        let dispatch = Dispatch::new(shader::NORM, entry)
            .constant("QUERIES", self.queries as f64)
            .constant("KEYS", self.keys as f64)
            .constant("VALUES", self.values as f64)
            .param("rows", rows)
            .param("channels", channels);
        (dispatch, [rows, channels])
    }
}

/// A norm's forward pass on a GPU; the ops have the docs of the fields.
pub(super) struct Forward {
    pub center: Center,
    pub groups: Groups,
    pub x: Tensor,
    pub weight: Tensor,
    pub k_weight: Option<Tensor>,
    pub bias: Option<Tensor>,
    pub y: Tensor,
    pub stats: Tensor,
    pub epsilon: f32,
}

impl Forward {
    pub fn push(self, kernels: &mut Kernels<'_>) {
        let (dispatch, [rows, channels]) = self.groups.dispatch(kernels, "forward", self.x, self.weight);
        // About eight channels a lane: enough lanes when there is one row, enough groups when they are short.
        let group_lanes = (channels / 8).next_power_of_two().clamp(16, 256);
        let dispatch = dispatch
            .constant("GROUP_LANES", group_lanes as f64)
            .constant("CENTERED", self.center == Center::Mean)
            .constant("HAS_BIAS", self.bias.is_some())
            .bind("x", self.x)
            .bind("weight", self.weight)
            .bind("k_weight", self.k_weight)
            .bind("bias", self.bias)
            .assign("y", self.y)
            .assign("stats", self.stats)
            .param("epsilon", self.epsilon);
        let groups_per_workgroup = shader::NORM.constant("WORKGROUP") / group_lanes;
        kernels.push(dispatch.linear((rows * self.groups.count()).div_ceil(groups_per_workgroup)));
    }
}

/// A norm's backward pass on a GPU; the ops have the docs of the fields.
pub(super) struct Backward {
    pub center: Center,
    pub groups: Groups,
    pub dy: Tensor,
    pub x: Tensor,
    pub stats: Tensor,
    pub weight: Tensor,
    pub k_weight: Option<Tensor>,
    pub dx: Tensor,
    pub beta: Beta,
    pub dweight: Option<Tensor>,
    pub dk_weight: Option<Tensor>,
    pub dbias: Option<Tensor>,
    pub partials: Tensor,
}

/// GPU invocations that share a group's sums in the backward pass: they read 64 bytes side by side, and a block takes four rounds of
/// barriers, where a whole workgroup to a row would take 64.
const BACKWARD_GROUP_LANES: u8 = 16;

impl Backward {
    pub fn push(self, kernels: &mut Kernels<'_>) {
        assert_eq!(shader::NORM.constant("BLOCK"), ROWS_PER_PARTIAL, "norm.wgsl and norm.rs share `partials`");
        let entry = |kernels: &Kernels<'_>, name| {
            let (dispatch, [rows, channels]) = self.groups.dispatch(kernels, name, self.x, self.weight);
            let blocks = rows.div_ceil(ROWS_PER_PARTIAL);
            let dispatch = dispatch
                .constant("HAS_DWEIGHT", self.dweight.is_some())
                .constant("HAS_DK_WEIGHT", self.dk_weight.is_some())
                .constant("HAS_DBIAS", self.dbias.is_some())
                .param("sums_per_block", sums_per_block(kernels.len(self.partials), rows, channels));
            (dispatch, blocks, channels)
        };
        let (dispatch, blocks, channels) = entry(kernels, "backward");
        let dispatch = dispatch
            .constant("CENTERED", self.center == Center::Mean)
            .constant("GROUP_LANES", BACKWARD_GROUP_LANES)
            .constant("ACCUMULATE", self.beta == Beta::Accumulate)
            .bind("x", self.x)
            .bind("weight", self.weight)
            .bind("k_weight", self.k_weight)
            .bind("stats", self.stats)
            .bind("dy", self.dy)
            .assign("partials", self.partials);
        let dispatch = match self.beta {
            Beta::Assign => dispatch.assign("dx", self.dx),
            Beta::Accumulate => dispatch.bind("dx", self.dx),
        };
        kernels.push(dispatch.linear(blocks * self.groups.count()));

        let second = self.dk_weight.or(self.dbias);
        if self.dweight.or(second).is_none() {
            return;
        }
        let (dispatch, ..) = entry(kernels, "reduce");
        let dispatch = dispatch
            .bind("partials", self.partials)
            .bind("dweight", self.dweight)
            .bind("dk_weight", self.dk_weight)
            .bind("dbias", self.dbias);
        let gradients = if second.is_some() { 2 } else { 1 };
        kernels.push(dispatch.grid(channels.div_ceil(shader::NORM.constant("REDUCE_COLUMNS")), gradients, 1));
    }
}
