//! Softmax cross-entropy (PyTorch's `F.cross_entropy` with mean reduction):
//!
//! ```text
//! lse[m] = log Σ_v exp(logits[m, v])       losses[m] = lse[m] - logits[m, target[m]]
//! loss = mean of losses                     dlogits = (softmax(logits) - onehot(target)) · loss_scale / M
//! ```

use crate::cpu::Pool;
use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::simd_dispatch;
use crate::step::Step;

/// The forward pass.
#[derive(Debug)]
pub struct CrossEntropy {
    /// `[M, V]`.
    pub logits: Tensor,
    /// Ids, `[M]`.
    pub targets: Tensor,
    /// Nats per token, `[M]`, assigned.
    pub losses: Tensor,
    /// `[M]`, assigned.
    pub lse: Tensor,
    /// Mean of `losses`, `[1]`, assigned.
    pub loss: Tensor,
    /// `V`.
    pub vocab: usize,
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let mut losses = mem.write(self.losses);
        forward(
            &mem.pool,
            &mem.read(self.logits),
            &mem.read_ids(self.targets),
            &mut losses,
            &mut mem.write(self.lse),
            self.vocab,
        );
        mem.write(self.loss)[0] = mean(&losses) as f32;
    }
}

/// Mean in float64, so that it does not depend on how many terms there are.
pub fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len() as f64
}

/// See the module.
pub fn forward(pool: &Pool, logits: &[f32], targets: &[u32], losses: &mut [f32], lse: &mut [f32], vocab: usize) {
    let rows = targets.len();
    pool.rows([(losses, 1), (lse, 1)], pool.share(rows, 4).max(16), |rows, [losses, lse]| {
        let logits = &logits[rows.start * vocab..rows.end * vocab];
        log_sum_exp(logits, lse, vocab);
        for (i, m) in rows.enumerate() {
            losses[i] = lse[i] - logits[i * vocab + targets[m] as usize];
        }
    });
}

simd_dispatch! {
    /// `log Σ exp` of each row.
    fn log_sum_exp<'a>(logits: &'a [f32], lse: &'a mut [f32], vocab: usize) => log_sum_exp_imp
}

#[inline(always)]
fn log_sum_exp_imp<S: Simd>(s: S, logits: &[f32], lse: &mut [f32], vocab: usize) {
    for (row, lse) in logits.chunks_exact(vocab).zip(lse) {
        let max = s.maximum(row);
        let shift = s.splat(max);
        // A lane filled with -∞ adds e^-87, far below the last digit of a sum that is at least 1.
        let sum = s.fold(
            row,
            s.splat(0.0),
            f32::NEG_INFINITY,
            #[inline(always)]
            |acc, x| s.add(acc, exp(s, s.sub(x, shift))),
        );
        *lse = max + s.reduce_add(sum).ln();
    }
}

/// The backward pass.
#[derive(Debug)]
pub struct CrossEntropyBackward {
    /// `[M, V]`.
    pub logits: Tensor,
    /// Ids, `[M]`.
    pub targets: Tensor,
    /// `[M]`.
    pub lse: Tensor,
    /// `[M, V]`, assigned.
    pub dlogits: Tensor,
    /// `V`.
    pub vocab: usize,
}

impl Op for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        "cross-entropy backward"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        backward(
            &mem.pool,
            &mem.read(self.logits),
            &mem.read_ids(self.targets),
            &mem.read(self.lse),
            &mut mem.write(self.dlogits),
            self.vocab,
            step.loss_scale,
        );
    }
}

/// See the module.
pub fn backward(
    pool: &Pool,
    logits: &[f32],
    targets: &[u32],
    lse: &[f32],
    dlogits: &mut [f32],
    vocab: usize,
    loss_scale: f32,
) {
    let scale = loss_scale / targets.len() as f32;
    pool.rows([(dlogits, vocab)], pool.share(targets.len(), 4).max(16), |rows, [dlogits]| {
        softmax(&logits[rows.start * vocab..rows.end * vocab], &lse[rows.clone()], dlogits, vocab, scale);
        for (i, m) in rows.enumerate() {
            dlogits[i * vocab + targets[m] as usize] -= scale;
        }
    });
}

simd_dispatch! {
    /// `exp(logits - lse) · scale`.
    fn softmax<'a>(logits: &'a [f32], lse: &'a [f32], out: &'a mut [f32], vocab: usize, scale: f32) => softmax_imp
}

#[inline(always)]
fn softmax_imp<S: Simd>(s: S, logits: &[f32], lse: &[f32], out: &mut [f32], vocab: usize, scale: f32) {
    for ((row, out), &lse) in logits.chunks_exact(vocab).zip(out.chunks_exact_mut(vocab)).zip(lse) {
        let (shift, scale) = (s.splat(lse), s.splat(scale));
        s.map(
            row,
            out,
            #[inline(always)]
            |x| s.mul(exp(s, s.sub(x, shift)), scale),
        );
    }
}
