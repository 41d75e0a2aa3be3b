//! The bigram model: `logits = table[token]`, an embedding whose channels are the vocabulary.

use crate::ops::dropout::DropoutSite;
use crate::ops::embedding::{Embedding, EmbeddingBackward, Tables};
use crate::program::{Parameter, Pass, Program, Tensor};

/// The table, `[V, V]`.
#[derive(Clone, Copy, Debug)]
pub struct Bigram {
    table: Parameter,
    vocab: usize,
}

impl Bigram {
    /// The model on the parameter `wte.weight`.
    pub fn new(p: &Program) -> Self {
        let table = p.parameter("wte.weight");
        Self { table, vocab: p.matrix(table.value).0 }
    }

    /// `[M, V]` logits, in the tensor `name`, which may be one that there is.
    pub fn forward(&self, p: &mut Program, pass: Pass, name: &str, tokens: Tensor) -> Tensor {
        let rows = p.shape(tokens)[0];
        let x = p.shared(name, &[rows, self.vocab]);
        let tables = Tables { wte: self.table.value, wpe: None };
        p.push(
            pass,
            Embedding {
                tokens,
                tables,
                x,
                channels: self.vocab,
                scale: 1.0,
                context: rows,
                dropout: DropoutSite::NONE,
            },
        );
        x
    }

    /// Adds `dlogits` to the rows of the table's gradient.
    pub fn backward(&self, p: &mut Program, tokens: Tensor, dlogits: Tensor) {
        let Some(wte) = self.table.grad else { return };
        let dtables = Tables { wte, wpe: None };
        p.push(
            Pass::Backward,
            EmbeddingBackward {
                tokens,
                dx: dlogits,
                dtables,
                channels: self.vocab,
                scale: 1.0,
                context: 1,
                dropout: DropoutSite::NONE,
            },
        );
    }
}
