//! A transformer block, pre-norm (GPT-2): `x = x + attn(ln_1(x))`, then `x = x + mlp(ln_2(x))`.

use super::attention::{AttentionSaved, Probs, SelfAttention};
use super::mlp::{Mlp, MlpSaved};
use super::norm::{Norm, NormSaved};
use crate::config::ModelConfig;
use crate::cpu::gemm::Beta;
use crate::ops::dropout::{DropoutBackward, DropoutSite};
use crate::ops::kv_cache::KvCache;
use crate::ops::linear::Epilogue;
use crate::program::{Pass, Precision, Program, Tensor};
use crate::rng::Site;

/// The modules of block `layer`.
#[derive(Clone, Debug)]
pub struct Block {
    layer: usize,
    ln_1: Norm,
    /// Its attention.
    pub attn: SelfAttention,
    ln_2: Norm,
    mlp: Mlp,
    dropout: f32,
    /// Where the first element of the residual stream is among those of all sequences.
    first: u32,
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub struct BlockSaved {
    /// The residual stream before the block.
    pub x: Tensor,
    ln_1: NormSaved,
    attn: AttentionSaved,
    ln_2: NormSaved,
    mlp: MlpSaved,
    /// The residual stream between the branches.
    middle: Tensor,
}

impl Block {
    /// Block `layer` of a model, for sequences of `batch` × `context`.
    pub fn new(p: &mut Program, config: &ModelConfig, layer: usize, batch: usize, context: usize) -> Self {
        let name = format!("h.{layer}");
        Self {
            layer,
            ln_1: Norm::new(p, config, &format!("{name}.ln_1")),
            attn: SelfAttention::new(p, config, layer, batch, context),
            ln_2: Norm::new(p, config, &format!("{name}.ln_2")),
            mlp: Mlp::new(p, config, &name),
            dropout: config.dropout,
            first: 0,
        }
    }

    /// Says how many sequences others have that come before, and the elements of one in the residual stream.
    pub fn set_first_sequence(&mut self, sequences: usize, elements: usize) {
        self.attn.set_first_sequence(sequences);
        self.first = (sequences * elements) as u32;
    }

    fn dropout(&self, which: u32) -> DropoutSite {
        DropoutSite { p: self.dropout, site: Site::block_dropout(self.layer, which), first: self.first }
    }

    fn residual(&self, residual: Tensor, which: u32) -> Epilogue {
        Epilogue::Residual { residual, dropout: self.dropout(which) }
    }

    /// Records the block over whole sequences, up to the last matrix. Its tensors are named after `name`; blocks that share a name share
    /// tensors.
    fn forward_to_hidden(
        &self,
        p: &mut Program,
        pass: Pass,
        name: &str,
        x: Tensor,
        cache: Option<KvCache>,
    ) -> BlockSaved {
        let ln_1 = self.ln_1.forward(p, pass, &format!("{name}.ln_1"), x);
        let attn = self.attn.attend(p, pass, name, ln_1.y, cache);
        let middle = self.attn.project(p, pass, name, &attn, self.residual(x, 1));
        let ln_2 = self.ln_2.forward(p, pass, &format!("{name}.ln_2"), middle);
        let mlp = self.mlp.hidden(p, pass, name, ln_2.y);
        BlockSaved { x, ln_1, attn, ln_2, mlp, middle }
    }

    /// Records the block over whole sequences, for a prompt with its KV cache to fill; returns what the backward pass needs and the
    /// residual stream after the block, `h.{layer}.out` of the pass.
    pub fn forward(
        &self,
        p: &mut Program,
        pass: Pass,
        name: &str,
        x: Tensor,
        probs: Probs,
        cache: Option<KvCache>,
    ) -> (BlockSaved, Tensor) {
        let saved = self.forward_to_hidden(p, pass, name, x, cache);
        if probs == Probs::Keep {
            self.attn.show(p, pass, &format!("h.{}", self.layer), &saved.attn);
        }
        let prefix = if pass == Pass::Prefill { "prefill." } else { "" };
        let out = format!("{prefix}h.{}.out", self.layer);
        let out = self.mlp.project(p, pass, &out, &saved.mlp, self.residual(saved.middle, 2));
        (saved, out)
    }

    /// Records once more, before the gradient, what [`Self::forward`] left in tensors that later blocks have used since (gradient
    /// checkpointing, Chen et al. 2016): all but the last matrix.
    pub fn recompute(&self, p: &mut Program, name: &str, x: Tensor) {
        self.forward_to_hidden(p, Pass::Backward, name, x, None);
    }

    /// Records the gradient: `dx` holds that of the block's output and ends as that of its input.
    pub fn backward(&self, p: &mut Program, saved: &BlockSaved, dx: Tensor) {
        let (rows, channels) = p.matrix(dx);
        let dnorm = p.shared_activation("d.norm", &[rows, channels]);
        let dbranch = self.branch_gradient(p, dx, 2);
        self.mlp.backward(p, &saved.mlp, dbranch, dnorm);
        self.ln_2.backward(p, &saved.ln_2, dnorm, dx, Beta::Accumulate);
        let dbranch = self.branch_gradient(p, dx, 1);
        self.attn.backward(p, &saved.attn, dbranch, dnorm);
        self.ln_1.backward(p, &saved.ln_1, dnorm, dx, Beta::Accumulate);
    }

    /// The stream's gradient as the branch sees it: through the dropout at its end, if there is one.
    fn branch_gradient(&self, p: &mut Program, dx: Tensor, which: u32) -> Tensor {
        if self.dropout == 0.0 {
            return dx;
        }
        let (rows, channels) = p.matrix(dx);
        let dbranch = p.shared_activation("d.branch", &[rows, channels]);
        p.push(Pass::Backward, DropoutBackward { dy: dx, dx: dbranch, width: channels, dropout: self.dropout(which) });
        dbranch
    }

    /// Records the block for one token on its KV cache.
    pub fn decode(&self, p: &mut Program, x: Tensor, cache: KvCache, precision: Precision) -> Tensor {
        let (pass, name) = (Pass::Decode, format!("decode.h.{}", self.layer));
        let ln_1 = self.ln_1.forward(p, pass, &format!("{name}.ln_1"), x);
        let middle = self.attn.decode(p, &name, ln_1.y, cache, self.residual(x, 1), precision);
        let ln_2 = self.ln_2.forward(p, pass, &format!("{name}.ln_2"), middle);
        self.mlp.decode(p, &name, &format!("{name}.out"), ln_2.y, self.residual(middle, 2), precision)
    }
}
