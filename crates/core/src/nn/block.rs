//! A transformer block, pre-norm (GPT-2): `x = x + attn(ln_1(x))`, then `x = x + mlp(ln_2(x))`.

use super::norm::{Norm, NormSaved};
use super::projection::Projection;
use crate::config::{Activation, ModelConfig};
use crate::cpu::gemm::Beta;
use crate::ops::attention::{Attention, AttentionBackward, AttentionProbs, Heads};
use crate::ops::dropout::{DropoutBackward, DropoutSite};
use crate::ops::kv_cache::{DecodeAttention, FillCache, KvCache};
use crate::ops::linear::Epilogue;
use crate::program::{Pass, Precision, Program, Tensor, Training};
use crate::rng::Site;

/// The modules of block `layer`.
#[derive(Clone, Debug)]
pub struct Block {
    layer: usize,
    ln_1: Norm,
    c_attn: Projection,
    attn_proj: Projection,
    ln_2: Norm,
    c_fc: Projection,
    mlp_proj: Projection,
    heads: Heads,
    activation: Activation,
    dropout: f32,
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub struct BlockSaved {
    ln_1: NormSaved,
    qkv: Tensor,
    lse: Tensor,
    attended: Tensor,
    ln_2: NormSaved,
    slope: Option<Tensor>,
    hidden: Tensor,
    /// The residual stream after the block.
    pub out: Tensor,
}

/// Whether attention weights are written for reading back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probs {
    /// Not kept.
    #[default]
    Skip,
    /// Every block writes `h.{layer}.attn.probs`, `[B, NH, T, T]`.
    Keep,
}

impl Block {
    /// Block `layer` of a model, for sequences of `batch` × `context`.
    pub fn new(p: &Program, config: &ModelConfig, layer: usize, batch: usize, context: usize) -> Self {
        let name = format!("h.{layer}");
        let epsilon = config.layer_norm_epsilon;
        Self {
            layer,
            ln_1: Norm::new(p, &format!("{name}.ln_1"), epsilon),
            c_attn: Projection::new(p, &format!("{name}.attn.c_attn")),
            attn_proj: Projection::new(p, &format!("{name}.attn.c_proj")),
            ln_2: Norm::new(p, &format!("{name}.ln_2"), epsilon),
            c_fc: Projection::new(p, &format!("{name}.mlp.c_fc")),
            mlp_proj: Projection::new(p, &format!("{name}.mlp.c_proj")),
            heads: Heads { batch, context, heads: config.n_head, head_dim: config.head_dim() },
            activation: config.activation_function,
            dropout: config.dropout,
        }
    }

    fn dropout(&self, which: u32) -> DropoutSite {
        DropoutSite { p: self.dropout, site: Site::block_dropout(self.layer, which) }
    }

    fn residual(&self, residual: Tensor, which: u32) -> Epilogue {
        Epilogue::Residual { residual, dropout: self.dropout(which) }
    }

    /// Records the block over whole sequences.
    pub fn forward(&self, p: &mut Program, x: Tensor, probs: Probs) -> BlockSaved {
        let (pass, name, heads) = (Pass::Forward, format!("h.{}", self.layer), self.heads);
        let ln_1 = self.ln_1.forward(p, pass, &format!("{name}.ln_1"), x);
        let qkv = self.c_attn.forward(p, pass, &format!("{name}.attn.qkv"), ln_1.y, Epilogue::None);
        let attended = p.activation(&format!("{name}.attn.out"), &[heads.batch * heads.context, heads.channels()]);
        let lse = p.tensor(&format!("{name}.attn.lse"), &[heads.batch, heads.heads, heads.context]);
        p.push(pass, Attention { qkv, out: attended, lse, heads, dropout: self.dropout(0) });
        if probs == Probs::Keep {
            let shape = [heads.batch, heads.heads, heads.context, heads.context];
            let probs = p.tensor(&format!("{name}.attn.probs"), &shape);
            p.push(pass, AttentionProbs { qkv, lse, probs, heads });
        }
        let middle = self.attn_proj.forward(p, pass, &format!("{name}.attn"), attended, self.residual(x, 1));
        let ln_2 = self.ln_2.forward(p, pass, &format!("{name}.ln_2"), middle);
        let (rows, _) = p.matrix(x);
        let hidden_size = self.c_fc.outputs(p);
        let slope =
            (p.training() != Training::No).then(|| p.activation(&format!("{name}.mlp.slope"), &[rows, hidden_size]));
        let gelu = Epilogue::Activation { kind: self.activation, slope };
        let hidden = self.c_fc.forward(p, pass, &format!("{name}.mlp.hidden"), ln_2.y, gelu);
        let out = self.mlp_proj.forward(p, pass, &format!("{name}.out"), hidden, self.residual(middle, 2));
        BlockSaved { ln_1, qkv, lse, attended, ln_2, slope, hidden, out }
    }

    /// Records the gradient: `dx` holds that of the block's output and ends as that of its input.
    pub fn backward(&self, p: &mut Program, saved: &BlockSaved, dx: Tensor) {
        let (rows, channels) = p.matrix(dx);
        let dbranch = self.branch_gradient(p, dx, 2);
        let (_, hidden) = p.matrix(saved.hidden);
        let dpre = p.shared_activation("d.mlp.pre", &[rows, hidden]);
        let dnorm = p.shared_activation("d.norm", &[rows, channels]);
        self.mlp_proj.backward(p, dbranch, saved.hidden, dpre, saved.slope);
        self.c_fc.backward(p, dpre, saved.ln_2.y, dnorm, None);
        self.ln_2.backward(p, &saved.ln_2, dnorm, dx, Beta::Accumulate);

        let dbranch = self.branch_gradient(p, dx, 1);
        let dattended = p.shared_activation("d.attn.out", &[rows, channels]);
        let dqkv = p.shared_activation("d.attn.qkv", &[rows, 3 * channels]);
        self.attn_proj.backward(p, dbranch, saved.attended, dattended, None);
        p.push(
            Pass::Backward,
            AttentionBackward {
                dout: dattended,
                qkv: saved.qkv,
                out: saved.attended,
                lse: saved.lse,
                dqkv,
                heads: self.heads,
                dropout: self.dropout(0),
            },
        );
        self.c_attn.backward(p, dqkv, saved.ln_1.y, dnorm, None);
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

    /// Records the block for a prompt, filling its KV cache.
    pub fn prefill(&self, p: &mut Program, x: Tensor, cache: KvCache) -> Tensor {
        let (pass, name, heads) = (Pass::Prefill, format!("prefill.h.{}", self.layer), self.heads);
        let channels = heads.channels();
        let ln_1 = self.ln_1.forward(p, pass, &format!("{name}.ln_1"), x);
        let qkv = self.c_attn.forward(p, pass, &format!("{name}.attn.qkv"), ln_1.y, Epilogue::None);
        let attended = p.tensor(&format!("{name}.attn.out"), &[heads.context, channels]);
        let lse = p.shared("prefill.lse", &[1, heads.heads, heads.context]);
        p.push(pass, FillCache { qkv, cache, channels });
        p.push(pass, Attention { qkv, out: attended, lse, heads, dropout: self.dropout(0) });
        let middle = self.attn_proj.forward(p, pass, &format!("{name}.attn"), attended, self.residual(x, 1));
        let ln_2 = self.ln_2.forward(p, pass, &format!("{name}.ln_2"), middle);
        let hidden = self.c_fc.forward(p, pass, &format!("{name}.mlp.hidden"), ln_2.y, self.activation());
        self.mlp_proj.forward(p, pass, &format!("{name}.out"), hidden, self.residual(middle, 2))
    }

    /// Records the block for one token on its KV cache.
    pub fn decode(&self, p: &mut Program, x: Tensor, cache: KvCache, precision: Precision) -> Tensor {
        let (pass, name, heads) = (Pass::Decode, format!("decode.h.{}", self.layer), self.heads);
        let channels = heads.channels();
        let ln_1 = self.ln_1.forward(p, pass, &format!("{name}.ln_1"), x);
        let qkv = self.c_attn.decode(p, pass, &format!("{name}.attn.qkv"), ln_1.y, Epilogue::None, precision);
        let attended = p.tensor(&format!("{name}.attn.out"), &[1, channels]);
        let (capacity, _) = p.matrix(cache.key);
        let scores = p.shared("decode.scores", &[heads.heads, capacity]);
        p.push(pass, DecodeAttention { qkv, cache, out: attended, scores, heads: heads.heads, channels });
        let residual = self.residual(x, 1);
        let middle = self.attn_proj.decode(p, pass, &format!("{name}.attn"), attended, residual, precision);
        let ln_2 = self.ln_2.forward(p, pass, &format!("{name}.ln_2"), middle);
        let hidden = self.c_fc.decode(p, pass, &format!("{name}.mlp.hidden"), ln_2.y, self.activation(), precision);
        self.mlp_proj.decode(p, pass, &format!("{name}.out"), hidden, self.residual(middle, 2), precision)
    }

    /// The MLP's activation where no gradient follows.
    fn activation(&self) -> Epilogue {
        Epilogue::Activation { kind: self.activation, slope: None }
    }
}
