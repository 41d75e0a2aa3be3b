//! Sizes of an attention layer, and which keys its queries see.

use std::ops::Range;

use crate::cpu::gemm::{Mat, PackedMat};
use crate::gpu::Dispatch;
use crate::gpu::shader::Shader;

/// Queries per block: with 256 keys the scores take 64 KiB, and at T = 128 a quarter of the square is skipped. In a browser models are small: half of
/// that skips a quarter at T = 64.
pub(super) const QUERY_BLOCK: usize = if cfg!(target_family = "wasm") { 32 } else { 64 };

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Those up to its own: nobody sees what is to be predicted.
    Causal,
    /// The last so many of these.
    Window(usize),
    /// All, the later ones too: what a language model must not do. For showing why.
    Open,
}

impl Mask {
    /// The mask of a model whose queries see at most so many keys.
    pub const fn causal(window: Option<usize>) -> Self {
        match window {
            Some(window) => Self::Window(window),
            None => Self::Causal,
        }
    }
}

/// Sizes of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// `B`.
    pub batch: usize,
    /// `T`.
    pub context: usize,
    /// `NH`, of queries.
    pub heads: usize,
    /// `NKV`, of keys and values: a divisor of `NH`. Query head `h` attends to head `h / (NH / NKV)` of these.
    pub kv_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// Query `i` sees the keys `j <= i`; with a window those with `i - window < j <= i`.
    pub mask: Mask,
}

impl Heads {
    /// `C = NH · D`.
    pub fn channels(self) -> usize {
        self.heads * self.head_dim
    }

    /// Channels of the keys, and of the values: `NKV · D`.
    pub fn kv_channels(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Channels of queries, keys and values side by side: `(NH + 2 NKV) · D`.
    pub fn qkv_channels(self) -> usize {
        self.channels() + 2 * self.kv_channels()
    }

    /// Query heads to a head of keys and values: `NH / NKV`.
    pub fn group_size(self) -> usize {
        self.heads / self.kv_heads
    }

    /// The query heads that attend to a head of keys and values.
    pub(super) fn group(self, kv_head: usize) -> Range<usize> {
        kv_head * self.group_size()..(kv_head + 1) * self.group_size()
    }

    /// The keys that a query sees.
    pub fn visible(self, query: usize) -> Range<usize> {
        match self.mask {
            Mask::Causal => 0..query + 1,
            Mask::Window(window) => (query + 1).saturating_sub(window)..query + 1,
            Mask::Open => 0..self.context,
        }
    }

    /// The window over `context` keys as shaders take it: one as long as the context hides nothing, so that they need not know of `None`.
    pub(in crate::ops) fn window_of(self, context: usize) -> usize {
        match self.mask {
            Mask::Window(window) => window.min(context),
            Mask::Causal | Mask::Open => context,
        }
    }

    pub(in crate::ops) fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Of `products` matrix products over the pairs of a query and a key that it sees.
    pub(super) fn flops(self, products: u64) -> u64 {
        let [context, window] = [self.context, self.window_of(self.context)].map(|n| n as u64);
        let pairs = match self.mask {
            // Query `i` sees `min(i + 1, window)` keys.
            Mask::Causal | Mask::Window(_) => window * (window + 1) / 2 + (context - window) * window,
            Mask::Open => context * context,
        };
        products * 2 * (self.batch * self.channels()) as u64 * pairs
    }

    /// Index of `P[b, h, i, j]` among all weights, modulo 2³²: the dropout mask's counter.
    pub(super) fn index(self, b: usize, h: usize, i: usize, j: usize) -> u32 {
        (((b * self.heads + h) * self.context + i) * self.context + j) as u32
    }

    /// A sequence's rows of `qkv`, or of its gradient.
    pub(super) fn sequence(self, qkv: &[f32], b: usize) -> &[f32] {
        let size = self.context * self.qkv_channels();
        &qkv[b * size..][..size]
    }

    /// Where query head `h` begins in a row of `qkv`.
    pub(super) fn query(self, h: usize) -> usize {
        h * self.head_dim
    }

    /// Where a head of keys begins in a row of `qkv`.
    pub(super) fn key(self, kv_head: usize) -> usize {
        (self.heads + kv_head) * self.head_dim
    }

    /// Where a head of values begins in a row of `qkv`.
    pub(super) fn value(self, kv_head: usize) -> usize {
        (self.heads + self.kv_heads + kv_head) * self.head_dim
    }

    /// The head that begins at a channel of a sequence's `qkv`, `[T, D]`.
    pub(super) fn part(self, qkv: &[f32], channel: usize) -> Mat<'_> {
        Mat::strided(&qkv[channel..], self.context, self.head_dim, self.qkv_channels())
    }

    /// A head's channels of a sequence's `[T, C]`.
    pub(super) fn head(self, x: &[f32], h: usize) -> Mat<'_> {
        Mat::strided(&x[h * self.head_dim..], self.context, self.head_dim, self.channels())
    }

    /// The scores that are computed, in blocks of queries.
    pub(super) fn blocks(self) -> impl DoubleEndedIterator<Item = Block> {
        (0..self.context.div_ceil(QUERY_BLOCK)).map(move |i| {
            let queries = i * QUERY_BLOCK..self.context.min((i + 1) * QUERY_BLOCK);
            let first = PackedMat::panel_start(self.visible(queries.start).start);
            Block { heads: self, keys: first..self.visible(queries.end - 1).end, queries }
        })
    }

    /// A kernel with what it has to know of the layer.
    pub(super) fn dispatch(self, shader: Shader, entry: &'static str) -> Dispatch {
        Dispatch::new(shader, entry)
            .constant("HEAD_DIM", self.head_dim as u32)
            .param("batch_heads", self.batch * self.heads)
            .param("heads", self.heads)
            .param("group_size", self.group_size())
            .param("context", self.context)
            .param("window", self.window_of(self.context))
            .param("open", usize::from(self.mask == Mask::Open))
            .param("score_scale", self.scale())
    }

    /// A kernel that makes sums over keys or queries, for each of `heads` heads: 64 rows and 64 channels of a head to a workgroup.
    pub(super) fn sums(self, shader: Shader, entry: &'static str, heads: usize) -> Dispatch {
        let tiles = |n: usize| n.div_ceil(shader.constant("TILE"));
        self.dispatch(shader, entry).linear(self.batch * heads * tiles(self.context) * tiles(self.head_dim))
    }
}

/// A rectangle of scores: the rows are queries, the columns are keys.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub heads: Heads,
    pub queries: Range<usize>,
    /// All that any of the queries sees, and up to a panel of a packed matrix before them.
    pub keys: Range<usize>,
}

impl Block {
    /// Scores.
    pub fn len(&self) -> usize {
        self.queries.len() * self.keys.len()
    }

    /// The columns that the query of a row sees.
    pub fn visible(&self, row: usize) -> Range<usize> {
        let keys = self.heads.visible(self.queries.start + row);
        keys.start.saturating_sub(self.keys.start)..keys.end - self.keys.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_and_done_where_there_is_something_to_see() {
        for context in [1, 63, 64, 65, 300] {
            let windows = [1, 2, 64, 65, 299, 1000].map(Mask::Window);
            for mask in windows.into_iter().chain([Mask::Causal, Mask::Open]) {
                let heads = Heads { batch: 2, context, heads: 6, kv_heads: 3, head_dim: 5, mask };
                let pairs: usize = (0..context).map(|i| heads.visible(i).len()).sum();
                assert_eq!(heads.flops(1), 2 * 2 * 30 * pairs as u64, "{heads:?}");
                for block in heads.blocks() {
                    let first = heads.visible(block.queries.start).start;
                    let panel = PackedMat::panel_start(first);
                    let end = if mask == Mask::Open { context } else { block.queries.end };
                    assert_eq!(block.keys, panel..end, "{heads:?}");
                    for (row, query) in block.queries.clone().enumerate() {
                        let columns = block.visible(row);
                        let keys = panel + columns.start..panel + columns.end;
                        assert_eq!(keys, heads.visible(query), "{heads:?}");
                    }
                }
            }
        }
    }
}
