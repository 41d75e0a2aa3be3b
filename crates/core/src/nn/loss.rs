//! The end of a model: from the final hidden states to the mean cross-entropy, and back.
//!
//! ```text
//! logits = x Wᵀ + b      losses = cross-entropy(logits, targets)      loss = mean(losses)
//! ```
//!
//! Three ways to record it, by size:
//!
//! - a small vocabulary: one op, see [`crate::ops::head`];
//! - else a linear layer and a cross-entropy;
//! - where the logits of all rows would be too many to hold: the same for some rows at a time, in one tensor that all share. The backward
//!   pass computes them again.

use super::projection::Projection;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyBackward, MeanLoss};
use crate::ops::head::{Head, HeadBackward, max_vocab};
use crate::ops::linear::Epilogue;
use crate::program::{Pass, Program, Tensor, Training};

/// The largest tensor of logits, in bytes: what WebGPU lets a shader see of a buffer where it promises no more.
pub const MAX_LOGITS_BYTES: usize = 128 << 20;

/// Chunks are a multiple of so many rows: views begin where a GPU can bind them, and matrix tiles are full.
const CHUNK_ROWS: usize = 128;

/// The tensors of a loss.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// Ids, `[M]`.
    pub targets: Tensor,
    /// Nats per token, `[M]`.
    pub losses: Tensor,
    /// Log-sum-exp of the logits, `[M]`.
    pub lse: Tensor,
    /// Mean of the losses, `[1]`.
    pub loss: Tensor,
}

impl Loss {
    /// The loss of predicting these targets.
    pub fn new(p: &mut Program, targets: Tensor) -> Self {
        let rows = p.shape(targets)[0];
        let losses = p.tensor("losses", &[rows]);
        let lse = p.tensor("losses.lse", &[rows]);
        let loss = p.tensor("loss", &[1]);
        Self { targets, losses, lse, loss }
    }

    /// Records the loss of logits.
    pub fn forward(&self, p: &mut Program, logits: Tensor) {
        let op = self.cross_entropy(p, logits);
        p.push(Pass::Forward, op);
        self.mean(p);
    }

    /// Records the gradient of logits and returns it, `[M, V]`.
    pub fn backward(&self, p: &mut Program, logits: Tensor) -> Tensor {
        let (rows, vocab) = p.matrix(logits);
        let dlogits = p.activation("d.logits", &[rows, vocab]);
        let op = self.cross_entropy_backward(p, logits, dlogits, rows);
        p.push(Pass::Backward, op);
        dlogits
    }

    fn cross_entropy(&self, p: &Program, logits: Tensor) -> CrossEntropy {
        let Self { targets, losses, lse, .. } = *self;
        let (rows, vocab) = p.matrix(logits);
        p.expect("cross-entropy", targets, &[rows]);
        CrossEntropy { logits, targets, losses, lse, vocab }
    }

    fn cross_entropy_backward(
        &self,
        p: &Program,
        logits: Tensor,
        dlogits: Tensor,
        batch: usize,
    ) -> CrossEntropyBackward {
        let Self { targets, lse, .. } = *self;
        let (_, vocab) = p.matrix(logits);
        CrossEntropyBackward { logits, targets, lse, dlogits, grad_scale: p.loss_scaler(), vocab, batch }
    }

    fn mean(&self, p: &mut Program) {
        p.push(Pass::Forward, MeanLoss { losses: self.losses, loss: self.loss });
    }

    /// The same of some rows.
    fn rows(&self, p: &mut Program, first: usize, count: usize) -> Self {
        let mut view = |tensor| p.rows(tensor, first, count);
        Self { targets: view(self.targets), losses: view(self.losses), lse: view(self.lse), loss: self.loss }
    }
}

/// A recorded head and its loss.
#[derive(Clone, Copy, Debug)]
pub struct LossHead {
    projection: Projection,
    /// Hidden states, `[M, C]`.
    x: Tensor,
    loss: Loss,
    logits: Logits,
}

/// How the forward pass was recorded.
#[derive(Clone, Copy, Debug)]
enum Logits {
    /// As one op, which also writes their gradient if there is a backward pass: `[M, V]`.
    Fused(Tensor, Option<CrossEntropyBackward>),
    /// Of as many rows at a time as the tensor has.
    Separate(Tensor),
}

/// Some rows of everything.
struct Chunk {
    first: usize,
    count: usize,
    x: Tensor,
    logits: Tensor,
    loss: Loss,
}

impl LossHead {
    /// Records the forward pass; logits of more than `max_logits_bytes` are never held at once.
    pub fn forward(p: &mut Program, projection: Projection, x: Tensor, loss: Loss, max_logits_bytes: usize) -> Self {
        let (rows, _) = p.matrix(x);
        let vocab = projection.outputs(p);
        let row_bytes = size_of::<f32>() * vocab;
        let logits = if rows.saturating_mul(row_bytes) > max_logits_bytes {
            let count = (max_logits_bytes / row_bytes / CHUNK_ROWS).max(1) * CHUNK_ROWS;
            Logits::Separate(p.tensor("logits.chunk", &[count.min(rows), vocab]))
        } else {
            let logits = p.tensor("logits", &[rows, vocab]);
            if vocab <= max_vocab() {
                let dlogits = (p.training() != Training::No).then(|| p.activation("d.logits", &[rows, vocab]));
                let backward = |dlogits| loss.cross_entropy_backward(p, logits, dlogits, rows);
                Logits::Fused(logits, dlogits.map(backward))
            } else {
                Logits::Separate(logits)
            }
        };
        let head = Self { projection, x, loss, logits };
        match logits {
            Logits::Fused(logits, backward) => {
                let linear = projection.op(p, Pass::Forward, x, logits, Epilogue::None);
                let cross_entropy = loss.cross_entropy(p, logits);
                p.push(Pass::Forward, Head { linear, cross_entropy, backward });
            }
            Logits::Separate(logits) => {
                for chunk in head.chunks(p, logits) {
                    head.push_logits(p, Pass::Forward, &chunk);
                    let cross_entropy = chunk.loss.cross_entropy(p, chunk.logits);
                    p.push(Pass::Forward, cross_entropy);
                }
            }
        }
        loss.mean(p);
        head
    }

    /// `[M, V]`, where those of all rows are held.
    pub fn logits(&self, p: &Program) -> Option<Tensor> {
        let (Logits::Fused(logits, _) | Logits::Separate(logits)) = self.logits;
        (p.matrix(logits).0 == p.matrix(self.x).0).then_some(logits)
    }

    /// Records the gradient of the hidden states, assigned to `dx`, and of the head's parameters.
    pub fn backward(&self, p: &mut Program, dx: Tensor) {
        match self.logits {
            Logits::Fused(_, backward) => {
                let backward = backward.expect("a program that trains has a gradient of the logits");
                p.push(Pass::Backward, HeadBackward(backward));
                self.projection.backward(p, backward.dlogits, self.x, dx, None);
            }
            Logits::Separate(logits) => {
                let ((rows, _), (held, vocab)) = (p.matrix(self.x), p.matrix(logits));
                let dlogits = p.activation("d.logits", &[held, vocab]);
                for chunk in self.chunks(p, logits) {
                    if held < rows {
                        self.push_logits(p, Pass::Backward, &chunk);
                    }
                    let dlogits = p.rows(dlogits, 0, chunk.count);
                    let dx = p.rows(dx, chunk.first, chunk.count);
                    let backward = chunk.loss.cross_entropy_backward(p, chunk.logits, dlogits, rows);
                    p.push(Pass::Backward, backward);
                    self.projection.backward(p, dlogits, chunk.x, dx, None);
                }
            }
        }
    }

    fn push_logits(&self, p: &mut Program, pass: Pass, chunk: &Chunk) {
        let linear = self.projection.op(p, pass, chunk.x, chunk.logits, Epilogue::None);
        p.push(pass, linear);
    }

    /// All rows, as many at a time as there are logits.
    fn chunks(&self, p: &mut Program, logits: Tensor) -> Vec<Chunk> {
        let ((rows, _), (held, _)) = (p.matrix(self.x), p.matrix(logits));
        let chunk = |first| {
            let count = held.min(rows - first);
            let (x, logits) = (p.rows(self.x, first, count), p.rows(logits, 0, count));
            Chunk { first, count, x, logits, loss: self.loss.rows(p, first, count) }
        };
        (0..rows).step_by(held).map(chunk).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Pool;
    use crate::engine::Engine;
    use crate::nn::Recording;
    use crate::nn::attention::Probs;
    use crate::program::{DType, Field};
    use crate::rng::{Site, Stream};
    use crate::step::{Mode, Step};
    use crate::weights::Weights;
    use crate::{ModelConfig, nn};

    fn wait<T>(future: impl Future<Output = T>) -> T {
        pollster::block_on(future)
    }

    /// Graph, losses with their mean, and gradients of two micro-batches.
    fn train(config: &ModelConfig, max_logits_bytes: usize) -> (nn::Graph, Vec<f32>, Weights) {
        let recording = Recording {
            batch: 3,
            context: 100,
            training: Training::Yes,
            probs: Probs::Skip,
            activations: DType::F32,
            recompute: false,
        };
        let (program, graph) = recording.record_within(config, max_logits_bytes).unwrap();
        let mut engine = Engine::cpu(program, Pool::new(2));
        engine.initialize(4);
        let stream = Stream::new(6, 0, Site::BATCH);
        let vocab = config.vocab_size as u32;
        let mut ids = |tensor, offset| {
            let ids: Vec<u32> = (0_u32..300).map(|i| stream.below(i + offset, vocab)).collect();
            engine.write_ids(tensor, &ids);
        };
        ids(graph.tokens, 0);
        ids(graph.targets, 300);
        let mut losses = Vec::new();
        for counter in 0..2 {
            let step = Step { mode: Mode::Train, counter, loss_scale: 0.5, ..Step::DEFAULT };
            engine.replay(Pass::Forward, &step);
            engine.replay(Pass::Backward, &step);
            losses.extend(wait(engine.read(graph.losses)).unwrap());
            losses.extend(wait(engine.read(graph.loss)).unwrap());
        }
        (graph, losses, wait(engine.save(Field::Grad)).unwrap())
    }

    #[test]
    fn losses_and_gradients_do_not_depend_on_how_many_logits_are_held() {
        // Fused and separate, tied and not.
        for (vocab_size, tie_word_embeddings) in [(20, true), (150, false)] {
            let config = ModelConfig {
                vocab_size,
                n_positions: 100,
                n_embd: 8,
                n_layer: 1,
                n_head: 2,
                n_kv_head: 2,
                n_inner: 16,
                dropout: 0.1,
                tie_word_embeddings,
                lm_head_bias: true,
                ..ModelConfig::default()
            };
            let (graph, losses, gradients) = train(&config, MAX_LOGITS_BYTES);
            assert!(graph.logits.is_some());
            let size: f32 = gradients.values().flat_map(|g| &g.data).fold(0.0, |max, g| max.max(g.abs()));
            // Chunks of 256 and 44 rows, then of 128, 128 and 44; the least is a tile.
            for rows in [299, 130, 1] {
                let (graph, chunked_losses, chunked_gradients) = train(&config, 4 * rows * vocab_size);
                assert!(graph.logits.is_none());
                assert_eq!(losses, chunked_losses);
                for (name, gradient) in &gradients {
                    for (a, b) in gradient.data.iter().zip(&chunked_gradients[name].data) {
                        assert!((a - b).abs() <= 1e-6 * size, "{name}: {a} against {b} in chunks of {rows}");
                    }
                }
            }
        }
    }
}
