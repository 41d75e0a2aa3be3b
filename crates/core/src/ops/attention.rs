//! Causal multi-head self-attention (Vaswani et al. 2017). `qkv` holds the queries of all heads, then their keys, then their
//! values: `[B, T, NH + 2 NKV, D]`.
//!
//! ```text
//! S = Q Kᵀ / √D, -∞ where query i does not see key j     P = softmax(S)     O = dropout(P) V
//! dV = dropout(P)ᵀ dO      dP = dropout(dO Vᵀ)      dS = P ∘ (dP - rowsum(dO ∘ O))      dQ = dS K / √D      dK = dSᵀ Q / √D
//! ```
//!
//! With fewer heads of keys than of queries (grouped queries, Ainslie et al. 2023) the query heads of a group share one K and V, whose
//! gradients are summed over the group. A query sees the keys up to its own, or with a sliding window (Mistral 7B, Jiang et al. 2023) the
//! last `window` of them.
//!
//! Flash style (Dao et al. 2022): a block of queries at a time against the keys from the first to the last that any of them sees, so that
//! most of what is hidden costs nothing and the scores stay in cache. Only the log-sum-exp of each row is kept; the backward pass computes
//! P again from it. One task per sequence: its rows of every tensor are contiguous, and no sum crosses tasks.

mod heads;

use std::cell::RefCell;
use std::ops::Range;

use inkling_kernels::lanes::attention as lanes;

use self::heads::{Block, QUERY_BLOCK};
pub use self::heads::{Heads, Mask};
use crate::cpu::Pool;
use crate::cpu::aligned::AlignedVec;
use crate::cpu::gemm::{Beta, Mat, PackedMat, gemm_packed, gemm_serial};
use crate::gpu::{Kernels, shader};
use crate::memory::Memory;
use crate::ops::dropout::{DropoutSite, drop_slice};
use crate::program::{Op, Tensor};
use crate::rng::Dropout;
use crate::step::Step;

/// What a thread needs to attend: scores and their gradients for a block of queries, and a head's operands packed.
#[derive(Default)]
struct Scratch {
    weights: AlignedVec,
    dweights: AlignedVec,
    packed: [AlignedVec; 3],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The forward pass.
#[derive(Debug)]
pub struct Attention {
    /// `[B·T, (NH + 2 NKV) D]`.
    pub qkv: Tensor,
    /// Heads side by side, `[B·T, C]`, assigned.
    pub out: Tensor,
    /// Log-sum-exp of each row of scores, `[B, NH, T]`, assigned.
    pub lse: Tensor,
    /// Sizes.
    pub heads: Heads,
    /// Applied to the weights.
    pub dropout: DropoutSite,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn flops(&self) -> u64 {
        self.heads.flops(2)
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        forward(
            &mem.pool,
            &mem.read(self.qkv),
            &mut mem.write(self.out),
            &mut mem.write(self.lse),
            self.heads,
            self.dropout.mask(step),
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let dispatch = self.heads.sums(shader::ATTENTION, "forward", self.heads.heads);
        let dispatch = dispatch.bind("qkv", self.qkv).assign("out", self.out).assign("lse", self.lse);
        kernels.push(self.dropout.params(dispatch));
    }
}

/// See the module.
pub fn forward(pool: &Pool, qkv: &[f32], out: &mut [f32], lse: &mut [f32], heads: Heads, dropout: Option<Dropout>) {
    let (t, c, d) = (heads.context, heads.channels(), heads.head_dim);
    pool.pieces([(out, t * c), (lse, heads.heads * t)], |b, [out, lse]| {
        let qkv = heads.sequence(qkv, b);
        SCRATCH.with_borrow_mut(|Scratch { weights, packed: [packed_key, packed_value, _], .. }| {
            weights.grow(QUERY_BLOCK * t);
            for kv_head in 0..heads.kv_heads {
                let key = PackedMat::pack(heads.part(qkv, heads.key(kv_head)).t(), packed_key);
                let value = PackedMat::pack(heads.part(qkv, heads.value(kv_head)), packed_value);
                for h in heads.group(kv_head) {
                    let query = heads.part(qkv, heads.query(h));
                    for block in heads.blocks() {
                        let Block { queries, keys, .. } = block.clone();
                        let (n, first) = (keys.len(), keys.start);
                        let weights = &mut weights[..block.len()];
                        gemm_packed(query.row_range(queries.clone()), key.part(0, first), n, weights, n);
                        softmax(weights, &block, &mut lse[h * t + queries.start..h * t + queries.end]);
                        drop_weights(weights, n, heads.index(b, h, queries.start, first), t, dropout);
                        let out = &mut out[queries.start * c + h * d..];
                        gemm_packed(Mat::new(weights, queries.len(), n), value.part(first, 0), d, out, c);
                    }
                }
            }
        });
    });
}

/// Applies the mask of rows that are `width` of `stride` weights long.
fn drop_weights(weights: &mut [f32], width: usize, first: u32, stride: usize, dropout: Option<Dropout>) {
    if let Some(dropout) = dropout {
        for (i, row) in weights.chunks_exact_mut(width).enumerate() {
            drop_slice(dropout, first.wrapping_add((i * stride) as u32), row);
        }
    }
}

/// Scores of a block to softmax weights.
fn softmax(scores: &mut [f32], block: &Block, lse: &mut [f32]) {
    let scale = block.heads.scale();
    for ((i, row), lse) in scores.chunks_exact_mut(block.keys.len()).enumerate().zip(lse) {
        *lse = lanes::softmax(hide(row, block.visible(i)), scale);
    }
}

/// Scores of a block to weights with the log-sum-exp of the forward pass: `P = exp(S - lse)`.
fn weights_again(scores: &mut [f32], block: &Block, lse: &[f32]) {
    let scale = block.heads.scale();
    for ((i, row), &lse) in scores.chunks_exact_mut(block.keys.len()).enumerate().zip(lse) {
        lanes::exp_row(hide(row, block.visible(i)), scale, lse);
    }
}

/// The part of a row that its query sees; the rest becomes 0.
fn hide(row: &mut [f32], visible: Range<usize>) -> &mut [f32] {
    row[..visible.start].fill(0.0);
    row[visible.end..].fill(0.0);
    &mut row[visible]
}

/// The backward pass.
#[derive(Debug)]
pub struct AttentionBackward {
    /// Gradient of `out`, `[B·T, C]`.
    pub dout: Tensor,
    /// As in the forward pass.
    pub qkv: Tensor,
    /// As in the forward pass.
    pub out: Tensor,
    /// As in the forward pass.
    pub lse: Tensor,
    /// Gradient of `qkv`, assigned.
    pub dqkv: Tensor,
    /// Sizes.
    pub heads: Heads,
    /// As in the forward pass.
    pub dropout: DropoutSite,
}

impl Op for AttentionBackward {
    fn name(&self) -> &'static str {
        "attention backward"
    }

    fn flops(&self) -> u64 {
        self.heads.flops(5)
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        backward(
            &mem.pool,
            &Saved { qkv: &mem.read(self.qkv), out: &mem.read(self.out), lse: &mem.read(self.lse) },
            &mem.read(self.dout),
            &mut mem.write(self.dqkv),
            self.heads,
            self.dropout.mask(step),
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let shader = shader::ATTENTION_BACKWARD;
        let rows = self.heads.batch * self.heads.heads * self.heads.context;
        let delta = kernels.scratch(rows);
        let dot_rows = self.heads.dispatch(shader, "dot_rows").linear(rows.div_ceil(shader.constant("TILE")));
        kernels.push(dot_rows.bind("dout", self.dout).bind("out", self.out).assign("delta", delta));
        for (entry, heads) in [("keys_values", self.heads.kv_heads), ("queries", self.heads.heads)] {
            let dispatch = self.heads.sums(shader, entry, heads).bind("qkv", self.qkv).bind("dout", self.dout);
            let dispatch = dispatch.bind("lse", self.lse).bind("delta", delta).assign("dqkv", self.dqkv);
            kernels.push(self.dropout.params(dispatch));
        }
    }
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// `[B·T, (NH + 2 NKV) D]`.
    pub qkv: &'a [f32],
    /// `[B·T, C]`.
    pub out: &'a [f32],
    /// `[B, NH, T]`.
    pub lse: &'a [f32],
}

/// See the module.
pub fn backward(
    pool: &Pool,
    saved: &Saved<'_>,
    dout: &[f32],
    dqkv: &mut [f32],
    heads: Heads,
    dropout: Option<Dropout>,
) {
    let (t, c, d, stride) = (heads.context, heads.channels(), heads.head_dim, heads.qkv_channels());
    pool.pieces([(dqkv, t * stride)], |b, [dqkv]| {
        let qkv = heads.sequence(saved.qkv, b);
        let (out, dout) = (&saved.out[b * t * c..(b + 1) * t * c], &dout[b * t * c..(b + 1) * t * c]);
        SCRATCH.with_borrow_mut(|Scratch { weights, dweights, packed: [packed_key, packed_value, packed_rows] }| {
            weights.grow(QUERY_BLOCK * t);
            dweights.grow(QUERY_BLOCK * t);
            for kv_head in 0..heads.kv_heads {
                let (key_at, value_at) = (heads.key(kv_head), heads.value(kv_head));
                let (key, value) = (heads.part(qkv, key_at), heads.part(qkv, value_at));
                let key_t = PackedMat::pack(key.t(), packed_key);
                let value_t = PackedMat::pack(value.t(), packed_value);
                let key = PackedMat::pack(key, packed_rows);
                // The gradients of the keys from here on hold sums.
                let mut assigned = t;
                for h in heads.group(kv_head) {
                    let lse = &saved.lse[(b * heads.heads + h) * t..][..t];
                    let (query, dout_head) = (heads.part(qkv, heads.query(h)), heads.head(dout, h));
                    for block in heads.blocks().rev() {
                        let Block { queries, keys, .. } = block.clone();
                        let (q, dout_block) = (query.row_range(queries.clone()), dout_head.row_range(queries.clone()));
                        let (n, first) = (keys.len(), keys.start);
                        let weights = &mut weights[..block.len()];
                        let dweights = &mut dweights[..block.len()];
                        let index = heads.index(b, h, queries.start, first);

                        gemm_packed(dout_block, value_t.part(0, first), n, dweights, n);
                        drop_weights(dweights, n, index, t, dropout);
                        gemm_packed(q, key_t.part(0, first), n, weights, n);
                        weights_again(weights, &block, &lse[queries.clone()]);
                        let rows = weights.chunks_exact(n).zip(dweights.chunks_exact_mut(n));
                        for (i, (p, dp)) in queries.clone().zip(rows) {
                            let row = i * c + h * d;
                            lanes::score_gradient(p, dp, &dout[row..row + d], &out[row..row + d], heads.scale());
                        }
                        drop_weights(weights, n, index, t, dropout);

                        let (p, ds) = (Mat::new(weights, queries.len(), n), Mat::new(dweights, queries.len(), n));
                        let dquery = &mut dqkv[queries.start * stride + heads.query(h)..];
                        gemm_packed(ds, key.part(first, 0), d, dquery, stride);
                        let beta = begin_sums(dqkv, &keys, &mut assigned, [key_at, value_at], heads);
                        gemm_serial(ds.t(), q, beta, &mut dqkv[first * stride + key_at..], stride);
                        gemm_serial(p.t(), dout_block, beta, &mut dqkv[first * stride + value_at..], stride);
                    }
                }
            }
        });
    });
}

/// How a block's part of the gradients of `keys` is to be stored, those of the keys from `assigned` on being sums so far. Blocks come from
/// the last to the first. Without a window the last sees all keys and assigns; a window shows some keys to one block for the first time and
/// others again.
fn begin_sums(dqkv: &mut [f32], keys: &Range<usize>, assigned: &mut usize, parts: [usize; 2], heads: Heads) -> Beta {
    let new = keys.start..keys.end.min(*assigned);
    *assigned = keys.start.min(*assigned);
    if new == *keys {
        return Beta::Assign;
    }
    for key in new {
        for part in parts {
            dqkv[key * heads.qkv_channels() + part..][..heads.head_dim].fill(0.0);
        }
    }
    Beta::Accumulate
}

/// The weights themselves, for showing: `probs[b, h, i, j]`, exactly 0 where query `i` does not see key `j`.
#[derive(Debug)]
pub struct AttentionProbs {
    /// `[B·T, (NH + 2 NKV) D]`.
    pub qkv: Tensor,
    /// `[B, NH, T]`.
    pub lse: Tensor,
    /// `[B, NH, T, T]`, assigned.
    pub probs: Tensor,
    /// Sizes.
    pub heads: Heads,
}

impl Op for AttentionProbs {
    fn name(&self) -> &'static str {
        "attention weights"
    }

    fn flops(&self) -> u64 {
        self.heads.flops(1)
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let (heads, t) = (self.heads, self.heads.context);
        let (qkv, lse) = (mem.read(self.qkv), mem.read(self.lse));
        let (qkv, lse) = (&*qkv, &*lse);
        mem.pool.pieces([(&mut mem.write(self.probs), t * t)], |i, [probs]| {
            let (b, h) = (i / heads.heads, i % heads.heads);
            let qkv = heads.sequence(qkv, b);
            let query = heads.part(qkv, heads.query(h));
            let key = heads.part(qkv, heads.key(h / heads.group_size()));
            for block in heads.blocks() {
                let Block { queries, keys, .. } = block;
                let rows = &mut probs[queries.start * t..queries.end * t];
                let key = key.row_range(keys.clone());
                gemm_serial(query.row_range(queries.clone()), key.t(), Beta::Assign, &mut rows[keys.start..], t);
                weights_again(rows, &Block { heads, queries: queries.clone(), keys: 0..t }, &lse[i * t..][queries]);
            }
        });
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Heads { batch, context, heads, .. } = self.heads;
        let tiles = context.div_ceil(shader::ATTENTION.constant("TILE"));
        let dispatch = self.heads.dispatch(shader::ATTENTION, "weights").linear(batch * heads * tiles * tiles);
        kernels.push(dispatch.bind("qkv", self.qkv).bind("lse", self.lse).assign("probs", self.probs));
    }
}
