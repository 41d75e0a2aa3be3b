//! Softmax cross-entropy (PyTorch's `F.cross_entropy` with mean reduction):
//!
//! ```text
//! lse[m] = log Σ_v exp(logits[m, v])       losses[m] = lse[m] - logits[m, target[m]]
//! loss = mean of losses                     dlogits = (softmax(logits) - onehot(target)) · loss_scale / M
//! ```
//!
//! The ops take some or all rows of a batch; the mean is an op of its own, over all.

use inkling_kernels::lanes::cross_entropy::{log_sum_exp, softmax};

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The forward pass.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// `[M, V]`.
    pub logits: Tensor,
    /// Ids, `[M]`.
    pub targets: Tensor,
    /// Nats per token, `[M]`, assigned.
    pub losses: Tensor,
    /// `[M]`, assigned.
    pub lse: Tensor,
    /// `V`.
    pub vocab: usize,
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        forward(
            &mem.pool,
            &mem.read(self.logits),
            &mem.read_ids(self.targets),
            &mut mem.write(self.losses),
            &mut mem.write(self.lse),
            self.vocab,
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let rows = kernels.len(self.targets);
        let dispatch = by_rows("forward", rows, self.vocab)
            .bind("logits", self.logits)
            .bind("targets", self.targets)
            .assign("losses", self.losses)
            .assign("lse", self.lse);
        kernels.push(dispatch);
    }
}

/// A dispatch with as many lanes to a row as have about four logits each to read, and so many rows to a workgroup.
fn by_rows(entry: &'static str, rows: usize, vocab: usize) -> Dispatch {
    let row_lanes = (vocab / 4).next_power_of_two().clamp(8, 256);
    Dispatch::new(shader::CROSS_ENTROPY, entry)
        .constant("ROW_LANES", row_lanes as f64)
        .param("rows", rows)
        .param("vocab", vocab)
        .linear(rows.div_ceil(shader::CROSS_ENTROPY.constant("WORKGROUP") / row_lanes))
}

/// The mean of all losses of a batch.
#[derive(Debug)]
pub struct MeanLoss {
    /// `[M]`.
    pub losses: Tensor,
    /// `[1]`, assigned.
    pub loss: Tensor,
}

impl Op for MeanLoss {
    fn name(&self) -> &'static str {
        "mean loss"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        mem.write(self.loss)[0] = mean(&mem.read(self.losses)) as f32;
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let dispatch = Dispatch::new(shader::CROSS_ENTROPY, "mean")
            .bind("all_losses", self.losses)
            .assign("loss", self.loss)
            .param("rows", kernels.len(self.losses));
        kernels.push(dispatch);
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

/// The backward pass.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyBackward {
    /// `[M, V]`.
    pub logits: Tensor,
    /// Ids, `[M]`.
    pub targets: Tensor,
    /// `[M]`.
    pub lse: Tensor,
    /// `[M, V]`, assigned.
    pub dlogits: Tensor,
    /// Where gradients are float16: its first element multiplies `dlogits`, so that they are not too small for it.
    pub grad_scale: Option<Tensor>,
    /// `V`.
    pub vocab: usize,
    /// Rows of the whole batch, of which this may be a part.
    pub batch: usize,
}

impl CrossEntropyBackward {
    /// The factor of `softmax - onehot`.
    fn scale(&self, mem: &Memory, step: &Step) -> f32 {
        step.loss_scale / self.batch as f32 * self.grad_scale.map_or(1.0, |scale| mem.read(scale)[0])
    }
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
            self.scale(mem, step),
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let rows = kernels.len(self.targets);
        let dispatch = by_rows("backward", rows, self.vocab)
            .constant("HAS_GRAD_SCALE", self.grad_scale.is_some())
            .bind("logits", self.logits)
            .bind("targets", self.targets)
            .bind("lse", self.lse)
            .assign("dlogits", self.dlogits)
            .bind("grad_scale", self.grad_scale)
            .param("batch", self.batch);
        kernels.push(dispatch);
    }
}

/// `(softmax(logits) - onehot(target)) · scale`.
pub fn backward(
    pool: &Pool,
    logits: &[f32],
    targets: &[u32],
    lse: &[f32],
    dlogits: &mut [f32],
    vocab: usize,
    scale: f32,
) {
    pool.rows([(dlogits, vocab)], pool.share(targets.len(), 4).max(16), |rows, [dlogits]| {
        softmax(&logits[rows.start * vocab..rows.end * vocab], &lse[rows.clone()], dlogits, vocab, scale);
        for (i, m) in rows.enumerate() {
            dlogits[i * vocab + targets[m] as usize] -= scale;
        }
    });
}
