//! Causal multi-head self-attention (Vaswani et al. 2017). `qkv` holds the queries of all heads, then their keys, then their
//! values: `[B, T, NH + 2 NKV, D]`.
//!
//! ```text
//! S = Q Kᵀ / √D, -∞ above the diagonal     P = softmax(S)     O = dropout(P) V
//! dV = dropout(P)ᵀ dO      dP = dropout(dO Vᵀ)      dS = P ∘ (dP - rowsum(dO ∘ O))      dQ = dS K / √D      dK = dSᵀ Q / √D
//! ```
//!
//! Flash style (Dao et al. 2022): a block of queries at a time against the keys up to its last query, so that half of the masked triangle costs
//! nothing and the scores stay in cache. Only the log-sum-exp of each row is kept; the backward pass computes P again from it.
//! One task per sequence: its rows of every tensor are contiguous, and no sum crosses tasks.

use std::cell::RefCell;

use crate::cpu::Pool;
use crate::cpu::aligned::AlignedVec;
use crate::cpu::gemm::{Beta, Mat, PackedMat, gemm_packed, gemm_serial};
use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::gpu::shader::{self, Shader};
use crate::gpu::{Dispatch, Kernels};
use crate::memory::Memory;
use crate::ops::dropout::{DropoutSite, drop_slice};
use crate::program::{Op, Tensor};
use crate::rng::Dropout;
use crate::simd_dispatch;
use crate::step::Step;

/// Queries per block: with 256 keys the scores take 64 KiB, and at T = 128 a quarter of the square is skipped.
const QUERY_BLOCK: usize = 64;

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
    /// Query `i` sees the keys `j` with `i - window < j <= i`; `None` sees all up to `i`.
    pub window: Option<usize>,
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

    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Of `products` matrix products over the lower triangle.
    fn flops(self, products: u64) -> u64 {
        let pairs = (self.context * (self.context + 1) / 2) as u64;
        products * 2 * (self.batch * self.channels()) as u64 * pairs
    }

    /// Index of `P[b, h, i, 0]` among all weights, modulo 2³²: the dropout mask's counter.
    fn index(self, b: usize, h: usize, i: usize) -> u32 {
        (((b * self.heads + h) * self.context + i) * self.context) as u32
    }

    /// Query, key or value (`part` 0, 1, 2) of a head: rows `0..rows` of a sequence's `qkv`.
    fn part(self, qkv: &[f32], part: usize, h: usize, rows: usize) -> Mat<'_> {
        let c = self.channels();
        Mat::strided(&qkv[part * c + h * self.head_dim..], rows, self.head_dim, 3 * c)
    }

    /// A kernel with what it has to know of the layer.
    fn dispatch(self, shader: Shader, entry: &'static str) -> Dispatch {
        Dispatch::new(shader, entry)
            .constant("HEAD_DIM", self.head_dim as u32)
            .param("batch_heads", self.batch * self.heads)
            .param("heads", self.heads)
            .param("context", self.context)
            .param("score_scale", self.scale())
    }

    /// A kernel that makes sums over keys or queries: 64 rows and 64 channels of a head to a workgroup.
    fn sums(self, shader: Shader, entry: &'static str) -> Dispatch {
        let tiles = |n: usize| n.div_ceil(shader.constant("TILE"));
        let workgroups = self.batch * self.heads * tiles(self.context) * tiles(self.head_dim);
        self.dispatch(shader, entry).linear(workgroups)
    }

    /// A head's channels of a sequence's `[T, C]`.
    fn head(self, x: &[f32], h: usize) -> Mat<'_> {
        Mat::strided(&x[h * self.head_dim..], self.context, self.head_dim, self.channels())
    }
}

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

/// Blocks of queries `start..end` of a sequence.
fn query_blocks(t: usize) -> impl DoubleEndedIterator<Item = (usize, usize)> {
    (0..t.div_ceil(QUERY_BLOCK)).map(move |i| (i * QUERY_BLOCK, t.min((i + 1) * QUERY_BLOCK)))
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
        let dispatch = self.heads.sums(shader::ATTENTION, "forward");
        let dispatch = dispatch.bind("qkv", self.qkv).assign("out", self.out).assign("lse", self.lse);
        kernels.push(self.dropout.params(dispatch));
    }
}

/// See the module.
pub fn forward(pool: &Pool, qkv: &[f32], out: &mut [f32], lse: &mut [f32], heads: Heads, dropout: Option<Dropout>) {
    let (t, c) = (heads.context, heads.channels());
    pool.pieces([(out, t * c), (lse, heads.heads * t)], |b, [out, lse]| {
        let qkv = &qkv[b * t * 3 * c..(b + 1) * t * 3 * c];
        SCRATCH.with_borrow_mut(|Scratch { weights, packed: [packed_key, packed_value, _], .. }| {
            weights.grow(QUERY_BLOCK * t);
            for h in 0..heads.heads {
                let query = heads.part(qkv, 0, h, t);
                let key = PackedMat::pack(heads.part(qkv, 1, h, t).t(), packed_key);
                let value = PackedMat::pack(heads.part(qkv, 2, h, t), packed_value);
                for (start, end) in query_blocks(t) {
                    let weights = &mut weights[..(end - start) * end];
                    gemm_packed(query.row_range(start..end), key, end, weights, end);
                    causal_softmax(weights, start, end, heads.scale(), &mut lse[h * t + start..h * t + end]);
                    drop_weights(weights, end, heads.index(b, h, start), t, dropout);
                    let out = &mut out[start * c + h * heads.head_dim..];
                    gemm_packed(Mat::new(weights, end - start, end), value, heads.head_dim, out, c);
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

simd_dispatch! {
    /// Rows of scores `[queries, end]`, the first being query `start`: to softmax weights, zero above the diagonal.
    fn causal_softmax<'a>(scores: &'a mut [f32], start: usize, end: usize, scale: f32, lse: &'a mut [f32]) => causal_softmax_imp
}

#[inline(always)]
fn causal_softmax_imp<S: Simd>(s: S, scores: &mut [f32], start: usize, end: usize, scale: f32, lse: &mut [f32]) {
    for ((i, row), lse) in scores.chunks_exact_mut(end).enumerate().zip(lse) {
        let (row, future) = row.split_at_mut(start + i + 1);
        future.fill(0.0);
        let max = s.maximum(row) * scale;
        let sum = exp_row(s, row, scale, max);
        let inverse = s.splat(1.0 / sum);
        s.update_each(
            row,
            #[inline(always)]
            |e| s.mul(e, inverse),
        );
        *lse = max + sum.ln();
    }
}

/// `row = exp(row · scale - shift)`; returns the sum.
#[inline(always)]
fn exp_row<S: Simd>(s: S, row: &mut [f32], scale: f32, shift: f32) -> f32 {
    let (scale, shift) = (s.splat(scale), s.splat(-shift));
    let mut sum = s.splat(0.0);
    let mut vectors = row.chunks_exact_mut(S::LANES);
    for x in &mut vectors {
        let e = exp(s, s.mul_add(s.load(x), scale, shift));
        sum = s.add(sum, e);
        s.store(x, e);
    }
    let tail = vectors.into_remainder();
    if !tail.is_empty() {
        s.store_partial(tail, exp(s, s.mul_add(s.load_partial(tail, 0.0), scale, shift)));
        sum = s.add(sum, s.load_partial(tail, 0.0));
    }
    s.reduce_add(sum)
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
        for entry in ["keys_values", "queries"] {
            let dispatch = self.heads.sums(shader, entry).bind("qkv", self.qkv).bind("dout", self.dout);
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
    let (t, c, d) = (heads.context, heads.channels(), heads.head_dim);
    pool.pieces([(dqkv, t * 3 * c)], |b, [dqkv]| {
        let qkv = &saved.qkv[b * t * 3 * c..(b + 1) * t * 3 * c];
        let (out, dout) = (&saved.out[b * t * c..(b + 1) * t * c], &dout[b * t * c..(b + 1) * t * c]);
        SCRATCH.with_borrow_mut(|Scratch { weights, dweights, packed: [packed_key, packed_value, packed_rows] }| {
            weights.grow(QUERY_BLOCK * t);
            dweights.grow(QUERY_BLOCK * t);
            for h in 0..heads.heads {
                let lse = &saved.lse[(b * heads.heads + h) * t..][..t];
                let (query, dout_head) = (heads.part(qkv, 0, h, t), heads.head(dout, h));
                let (key, value) = (heads.part(qkv, 1, h, t), heads.part(qkv, 2, h, t));
                let key_t = PackedMat::pack(key.t(), packed_key);
                let value_t = PackedMat::pack(value.t(), packed_value);
                let key = PackedMat::pack(key, packed_rows);
                // The last block sees all keys: it assigns their gradients, the others add to them.
                for (start, end) in query_blocks(t).rev() {
                    let beta = if end == t { Beta::Assign } else { Beta::Accumulate };
                    let (q, dout_block) = (query.row_range(start..end), dout_head.row_range(start..end));
                    let n = end - start;
                    let weights = &mut weights[..n * end];
                    let dweights = &mut dweights[..n * end];
                    let first = heads.index(b, h, start);

                    gemm_packed(dout_block, value_t, end, dweights, end);
                    drop_weights(dweights, end, first, t, dropout);
                    gemm_packed(q, key_t, end, weights, end);
                    weights_again(weights, start, end, heads.scale(), &lse[start..end]);
                    for (i, (p, dp)) in weights.chunks_exact(end).zip(dweights.chunks_exact_mut(end)).enumerate() {
                        let row = (start + i) * c + h * d;
                        score_gradient(p, dp, &dout[row..row + d], &out[row..row + d], heads.scale());
                    }
                    drop_weights(weights, end, first, t, dropout);

                    let (p, ds) = (Mat::new(weights, n, end), Mat::new(dweights, n, end));
                    gemm_packed(ds, key, d, &mut dqkv[start * 3 * c + h * d..], 3 * c);
                    gemm_serial(ds.t(), q, beta, &mut dqkv[c + h * d..], 3 * c);
                    gemm_serial(p.t(), dout_block, beta, &mut dqkv[2 * c + h * d..], 3 * c);
                }
            }
        });
    });
}

simd_dispatch! {
    /// Scores to weights with the log-sum-exp of the forward pass: `P = exp(S - lse)`.
    fn weights_again<'a>(scores: &'a mut [f32], start: usize, end: usize, scale: f32, lse: &'a [f32]) => weights_again_imp
}

#[inline(always)]
fn weights_again_imp<S: Simd>(s: S, scores: &mut [f32], start: usize, end: usize, scale: f32, lse: &[f32]) {
    for ((i, row), &lse) in scores.chunks_exact_mut(end).enumerate().zip(lse) {
        let (row, future) = row.split_at_mut(start + i + 1);
        future.fill(0.0);
        exp_row(s, row, scale, lse);
    }
}

simd_dispatch! {
    /// `dS = P ∘ (dP - Σ dO ∘ O) / √D` of one row, in place of `dP`.
    fn score_gradient<'a>(p: &'a [f32], dp: &'a mut [f32], dout: &'a [f32], out: &'a [f32], scale: f32) => score_gradient_imp
}

#[inline(always)]
fn score_gradient_imp<S: Simd>(s: S, p: &[f32], dp: &mut [f32], dout: &[f32], out: &[f32], scale: f32) {
    let delta = s.splat(s.dot(dout, out));
    let scale = s.splat(scale);
    s.update(
        dp,
        p,
        #[inline(always)]
        |dp, p| s.mul(s.mul(p, scale), s.sub(dp, delta)),
    );
}

/// The weights themselves, for showing: `probs[b, h, i, j]`, exactly 0 where `j > i`.
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
        let heads = self.heads;
        let (t, c) = (heads.context, heads.channels());
        let (qkv, lse) = (mem.read(self.qkv), mem.read(self.lse));
        let (qkv, lse) = (&*qkv, &*lse);
        mem.pool.pieces([(&mut mem.write(self.probs), t * t)], |i, [probs]| {
            let (b, h) = (i / heads.heads, i % heads.heads);
            let qkv = &qkv[b * t * 3 * c..(b + 1) * t * 3 * c];
            gemm_serial(heads.part(qkv, 0, h, t), heads.part(qkv, 1, h, t).t(), Beta::Assign, probs, t);
            weights_again(probs, 0, t, heads.scale(), &lse[i * t..(i + 1) * t]);
        });
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Heads { batch, context, heads, .. } = self.heads;
        let tiles = context.div_ceil(shader::ATTENTION.constant("TILE"));
        let dispatch = self.heads.dispatch(shader::ATTENTION, "weights").linear(batch * heads * tiles * tiles);
        kernels.push(dispatch.bind("qkv", self.qkv).bind("lse", self.lse).assign("probs", self.probs));
    }
}
