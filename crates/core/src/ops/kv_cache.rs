//! Decoding: keys and values of past tokens are kept, so that a new token costs one row.
//!
//! ```text
//! K[position] = k,  V[position] = v        p = softmax(q Kᵀ / √D) over the keys up to position        out = p V
//! ```
//!
//! With a sliding window the keys are the last `window` of these. Heads of queries share heads of keys and values as in
//! [`attention`](crate::ops::attention).

use inkling_kernels::lanes::attention::attend;

use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::attention::Heads;
use crate::program::{Op, Tensor};
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
        let (c, kv, width) = (self.heads.channels(), self.heads.kv_channels(), self.heads.qkv_channels());
        let qkv = mem.read(self.qkv);
        let (mut key, mut value) = (mem.write(self.cache.key), mem.write(self.cache.value));
        for t in 0..=step.position as usize {
            let row = &qkv[t * width..][..width];
            key[t * kv..][..kv].copy_from_slice(&row[c..c + kv]);
            value[t * kv..][..kv].copy_from_slice(&row[c + kv..]);
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let (context, kv_channels) = kernels.program().matrix(self.cache.key);
        let dispatch = Dispatch::new(shader::KV_CACHE, "fill").bind("qkv", self.qkv);
        let dispatch = dispatch.assign("key_cache", self.cache.key).assign("value_cache", self.cache.value);
        let dispatch = dispatch.param("context", context).param("channels", self.heads.channels());
        let workgroups = (context * kv_channels).div_ceil(shader::KV_CACHE.constant("WORKGROUP"));
        kernels.push(dispatch.param("kv_channels", kv_channels).linear(workgroups));
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
        let Heads { heads, head_dim: d, .. } = self.heads;
        let (c, kv) = (self.heads.channels(), self.heads.kv_channels());
        let qkv = mem.read(self.qkv);
        let (mut key, mut value) = (mem.write(self.cache.key), mem.write(self.cache.value));
        let position = step.position as usize;
        key[position * kv..][..kv].copy_from_slice(&qkv[c..c + kv]);
        value[position * kv..][..kv].copy_from_slice(&qkv[c + kv..]);
        let visible = self.heads.visible(position);
        let keys = visible.len();
        let rows = visible.start * kv..visible.end * kv;
        let (query, key, value) = (&qkv[..c], &key[rows.clone()], &value[rows]);
        let (mut out, mut scores) = (mem.write(self.out), mem.write(self.scores));
        let capacity = scores.len() / heads;
        // A task below this many products (about 5 µs) costs more to hand over than to do.
        const PRODUCTS_PER_TASK: usize = 1 << 15;
        let share = mem.pool.share(heads, 1).max(PRODUCTS_PER_TASK / (keys * d));
        mem.pool.pieces([(&mut out, share * d), (&mut scores, share * capacity)], |i, [out, scores]| {
            let heads = i * share..;
            for (h, (out, scores)) in heads.zip(out.chunks_exact_mut(d).zip(scores.chunks_exact_mut(capacity))) {
                let kv_head = h / self.heads.group_size();
                attend(&query[h * d..][..d], key, value, out, &mut scores[..keys], kv, kv_head * d);
            }
        });
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let (context, kv_channels) = kernels.program().matrix(self.cache.key);
        let dispatch = Dispatch::new(shader::KV_CACHE, "attend").bind("qkv", self.qkv).assign("out", self.out);
        let dispatch = dispatch.bind("key_cache", self.cache.key).bind("value_cache", self.cache.value);
        let dispatch = dispatch.bind("scores", self.scores).param("context", context);
        let dispatch = dispatch.param("channels", self.heads.channels()).param("kv_channels", kv_channels);
        let dispatch = dispatch.param("head_dim", self.heads.head_dim).param("group_size", self.heads.group_size());
        let dispatch = dispatch.param("window", self.heads.window_of(context));
        kernels.push(dispatch.param("score_scale", self.heads.scale()).linear(self.heads.heads));
    }
}
