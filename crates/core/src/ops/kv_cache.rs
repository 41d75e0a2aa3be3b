//! Decoding: keys and values of past tokens are kept, so that a new token costs one row.
//!
//! ```text
//! K[position] = k,  V[position] = v        p = softmax(q Kᵀ / √D) over 0..=position        out = p V
//! ```

use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::attention::Heads;
use crate::program::{Op, Tensor};
use crate::simd_dispatch;
use crate::step::Step;

/// A layer's cache: `[T, NKV · D]` each, heads side by side.
#[derive(Clone, Copy, Debug)]
pub struct KvCache {
    /// Keys.
    pub key: Tensor,
    /// Values.
    pub value: Tensor,
}

/// Copies a prompt's keys and values: rows `0..=position`, the rest being padding.
#[derive(Debug)]
pub struct FillCache {
    /// `[T, (NH + 2 NKV) D]`.
    pub qkv: Tensor,
    /// Assigned as far as the prompt goes.
    pub cache: KvCache,
    /// Sizes.
    pub heads: Heads,
}

impl Op for FillCache {
    fn name(&self) -> &'static str {
        "fill cache"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let c = self.heads.channels();
        let qkv = mem.read(self.qkv);
        let (mut key, mut value) = (mem.write(self.cache.key), mem.write(self.cache.value));
        for t in 0..=step.position as usize {
            let row = &qkv[t * 3 * c..][..3 * c];
            key[t * c..][..c].copy_from_slice(&row[c..2 * c]);
            value[t * c..][..c].copy_from_slice(&row[2 * c..]);
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let (context, channels) = kernels.program().matrix(self.cache.key);
        let dispatch = Dispatch::new(shader::KV_CACHE, "fill").bind("qkv", self.qkv);
        let dispatch = dispatch.assign("key_cache", self.cache.key).assign("value_cache", self.cache.value);
        let dispatch = dispatch.param("context", context).param("channels", channels);
        kernels.push(dispatch.linear((context * channels).div_ceil(shader::KV_CACHE.constant("WORKGROUP"))));
    }
}

/// Copies row `position`: the last token of a prompt, the only one whose logits matter.
#[derive(Debug)]
pub struct TakeRow {
    /// `[T, C]`.
    pub x: Tensor,
    /// `[1, C]`, assigned.
    pub y: Tensor,
    /// `C`.
    pub channels: usize,
}

impl Op for TakeRow {
    fn name(&self) -> &'static str {
        "take row"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let from = step.position as usize * self.channels;
        mem.write(self.y).copy_from_slice(&mem.read(self.x)[from..from + self.channels]);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let dispatch = Dispatch::new(shader::KV_CACHE, "take_row").bind("x", self.x).assign("y", self.y);
        let workgroups = self.channels.div_ceil(shader::KV_CACHE.constant("WORKGROUP"));
        kernels.push(dispatch.param("channels", self.channels).linear(workgroups));
    }
}

/// Attention of one new token over the cache.
#[derive(Debug)]
pub struct DecodeAttention {
    /// `[1, (NH + 2 NKV) D]`.
    pub qkv: Tensor,
    /// Row `position` is assigned.
    pub cache: KvCache,
    /// `[1, C]`, assigned.
    pub out: Tensor,
    /// Scratch, `[NH, T]`.
    pub scores: Tensor,
    /// Sizes.
    pub heads: Heads,
}

impl Op for DecodeAttention {
    fn name(&self) -> &'static str {
        "decode attention"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let (c, heads) = (self.heads.channels(), self.heads.heads);
        let qkv = mem.read(self.qkv);
        let (mut key, mut value) = (mem.write(self.cache.key), mem.write(self.cache.value));
        let position = step.position as usize;
        key[position * c..][..c].copy_from_slice(&qkv[c..2 * c]);
        value[position * c..][..c].copy_from_slice(&qkv[2 * c..]);
        let keys = position + 1;
        let (query, key, value) = (&qkv[..c], &key[..keys * c], &value[..keys * c]);
        let (mut out, mut scores) = (mem.write(self.out), mem.write(self.scores));
        let (d, capacity) = (c / heads, scores.len() / heads);
        // A task below this many products (about 5 µs) costs more to hand over than to do.
        const PRODUCTS_PER_TASK: usize = 1 << 15;
        let heads = mem.pool.share(heads, 1).max(PRODUCTS_PER_TASK / (keys * d));
        mem.pool.pieces([(&mut out, heads * d), (&mut scores, heads * capacity)], |i, [out, scores]| {
            let first = i * heads;
            for (h, (out, scores)) in out.chunks_exact_mut(d).zip(scores.chunks_exact_mut(capacity)).enumerate() {
                attend(query, key, value, out, &mut scores[..keys], (first + h) * d);
            }
        });
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let (context, channels) = kernels.program().matrix(self.cache.key);
        let head_dim = self.heads.head_dim;
        let dispatch = Dispatch::new(shader::KV_CACHE, "attend").bind("qkv", self.qkv).assign("out", self.out);
        let dispatch = dispatch.bind("key_cache", self.cache.key).bind("value_cache", self.cache.value);
        let dispatch = dispatch.bind("scores", self.scores).param("context", context).param("channels", channels);
        let dispatch = dispatch.param("head_dim", head_dim).param("score_scale", 1.0 / (head_dim as f32).sqrt());
        kernels.push(dispatch.linear(self.heads.heads));
    }
}

simd_dispatch! {
    /// One head, whose channels begin at `first`: `out = softmax(q Kᵀ / √D) V`; `scores` has one element per key.
    fn attend<'a>(q: &'a [f32], key: &'a [f32], value: &'a [f32], out: &'a mut [f32], scores: &'a mut [f32], first: usize) => attend_imp
}

#[inline(always)]
fn attend_imp<S: Simd>(s: S, q: &[f32], key: &[f32], value: &[f32], out: &mut [f32], scores: &mut [f32], first: usize) {
    let (c, d) = (q.len(), out.len());
    let scale = 1.0 / (d as f32).sqrt();
    let query = &q[first..first + d];
    for (score, key) in scores.iter_mut().zip(key.chunks_exact(c)) {
        *score = s.dot(query, &key[first..first + d]) * scale;
    }
    let max = s.splat(s.maximum(scores));
    s.update_each(
        scores,
        #[inline(always)]
        |x| exp(s, s.sub(x, max)),
    );
    let inverse = 1.0 / s.sum(scores);
    out.fill(0.0);
    for (&p, value) in scores.iter().zip(value.chunks_exact(c)) {
        let p = s.splat(p * inverse);
        s.update(
            out,
            &value[first..first + d],
            #[inline(always)]
            |out, v| s.mul_add(p, v, out),
        );
    }
}
