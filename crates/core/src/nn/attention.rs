//! Self-attention of a block: `c_proj(attend(rotate(normalise(c_attn(x)))))`, the two in the middle where the model has them.

use super::projection::Projection;
use crate::config::{ModelConfig, PositionEmbedding};
use crate::ops::attention::{Attention, AttentionBackward, AttentionProbs, Heads, Mask};
use crate::ops::dropout::DropoutSite;
use crate::ops::kv_cache::{DecodeAttention, FillCache, KvCache};
use crate::ops::linear::Epilogue;
use crate::ops::norm::ROWS_PER_PARTIAL;
use crate::ops::qk_norm::{QkNorm, QkNormBackward};
use crate::ops::rope::{self, Direction, Rope};
use crate::program::{Parameter, Pass, Precision, Program, Tensor};
use crate::rng::Site;

/// The modules of a block's attention.
#[derive(Clone, Copy, Debug)]
pub struct SelfAttention {
    c_attn: Projection,
    qk_norm: Option<Gains>,
    /// Cosines and sines.
    rope: Option<Tensor>,
    c_proj: Projection,
    heads: Heads,
    dropout: DropoutSite,
}

/// Of query and key norm.
#[derive(Clone, Copy, Debug)]
struct Gains {
    query: Parameter,
    key: Parameter,
    epsilon: f32,
}

/// What the backward pass needs.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSaved {
    x: Tensor,
    normed: Option<Normed>,
    /// As they are attended with.
    qkv: Tensor,
    lse: Tensor,
    attended: Tensor,
}

/// Input of query and key norm, and its rstd.
#[derive(Clone, Copy, Debug)]
struct Normed {
    x: Tensor,
    stats: Tensor,
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

impl SelfAttention {
    /// The attention of block `layer`, for sequences of `batch` × `context`.
    pub fn new(p: &mut Program, config: &ModelConfig, layer: usize, batch: usize, context: usize) -> Self {
        let name = format!("h.{layer}.attn");
        let (positions, head_dim) = (config.n_positions, config.head_dim());
        let rope = match config.position_embedding_type {
            PositionEmbedding::Rope => {
                let theta = config.rope_theta;
                let table = move || rope::table(positions, head_dim, theta);
                Some(p.constant("rope", &[positions, head_dim], table))
            }
            PositionEmbedding::Learned | PositionEmbedding::Sinusoidal => None,
        };
        let gain = |p: &Program, which| p.parameter(&format!("{name}.{which}.weight"));
        let gains = |p: &Program| Gains {
            query: gain(p, "q_norm"),
            key: gain(p, "k_norm"),
            epsilon: config.layer_norm_epsilon,
        };
        Self {
            c_attn: Projection::new(p, &format!("{name}.c_attn"), config.bias),
            qk_norm: config.qk_norm.then(|| gains(p)),
            rope,
            c_proj: Projection::new(p, &format!("{name}.c_proj"), config.bias),
            heads: Heads {
                batch,
                context,
                heads: config.n_head,
                kv_heads: config.n_kv_head,
                head_dim,
                mask: Mask::causal(config.sliding_window),
            },
            dropout: DropoutSite { p: config.dropout, site: Site::block_dropout(layer, 0), first: 0 },
        }
    }

    /// Says how many sequences others have that come before.
    pub fn set_first_sequence(&mut self, sequences: usize) {
        let Heads { heads, context, .. } = self.heads;
        self.dropout.first = (sequences * heads * context * context) as u32;
    }

    /// Exchanges the configuration's mask.
    pub fn set_mask(&mut self, mask: Mask) {
        self.heads.mask = mask;
    }

    /// From the output of `c_attn` to what is attended with.
    fn prepare(&self, p: &mut Program, pass: Pass, name: &str, raw: Tensor) -> (Tensor, Option<Normed>) {
        let heads = self.heads;
        let (rows, channels) = p.matrix(raw);
        let (qkv, normed) = match self.qk_norm {
            None => (raw, None),
            Some(Gains { query, key, epsilon }) => {
                let y = p.shared_activation(&format!("{name}.attn.qkv_normed"), &[rows, channels]);
                let stats = p.shared(&format!("{name}.attn.qk_stats"), &[rows, heads.heads + heads.kv_heads]);
                let (q_weight, k_weight) = (query.value, key.value);
                p.push(pass, QkNorm { x: raw, q_weight, k_weight, y, stats, heads, epsilon });
                (y, Some(Normed { x: raw, stats }))
            }
        };
        if let Some(table) = self.rope {
            p.push(pass, Rope { qkv, table, heads, direction: Direction::Forward });
        }
        (qkv, normed)
    }

    /// Records attention over whole sequences, without the last matrix, whose output the backward pass does not need.
    pub fn attend(&self, p: &mut Program, pass: Pass, name: &str, x: Tensor, cache: Option<KvCache>) -> AttentionSaved {
        let heads = self.heads;
        let raw = self.c_attn.forward(p, pass, &format!("{name}.attn.qkv"), x, Epilogue::None);
        let (qkv, normed) = self.prepare(p, pass, name, raw);
        if let Some(cache) = cache {
            p.push(pass, FillCache { qkv, cache, heads });
        }
        let rows = heads.batch * heads.context;
        let attended = p.shared_activation(&format!("{name}.attn.out"), &[rows, heads.channels()]);
        let lse = p.shared(&format!("{name}.attn.lse"), &[heads.batch, heads.heads, heads.context]);
        p.push(pass, Attention { qkv, out: attended, lse, heads, dropout: self.dropout });
        AttentionSaved { x, normed, qkv, lse, attended }
    }

    /// Records the weights into a tensor `{name}.attn.probs`.
    pub fn show(&self, p: &mut Program, pass: Pass, name: &str, saved: &AttentionSaved) {
        let heads = self.heads;
        let probs = p.tensor(&format!("{name}.attn.probs"), &[heads.batch, heads.heads, heads.context, heads.context]);
        p.push(pass, AttentionProbs { qkv: saved.qkv, lse: saved.lse, probs, heads });
    }

    /// Records the last matrix.
    pub fn project(
        &self,
        p: &mut Program,
        pass: Pass,
        name: &str,
        saved: &AttentionSaved,
        epilogue: Epilogue,
    ) -> Tensor {
        self.c_proj.forward(p, pass, &format!("{name}.attn"), saved.attended, epilogue)
    }

    /// Assigns the gradient of the input to `dx`, from that of the output.
    pub fn backward(&self, p: &mut Program, saved: &AttentionSaved, dy: Tensor, dx: Tensor) {
        let (pass, heads) = (Pass::Backward, self.heads);
        let AttentionSaved { qkv, lse, attended, .. } = *saved;
        let (rows, channels) = p.matrix(qkv);
        let dattended = p.shared_activation("d.attn.out", &[rows, heads.channels()]);
        let mut dqkv = p.shared_activation("d.attn.qkv", &[rows, channels]);
        self.c_proj.backward(p, dy, attended, dattended, None);
        let dropout = self.dropout;
        p.push(pass, AttentionBackward { dout: dattended, qkv, out: attended, lse, dqkv, heads, dropout });
        if let Some(table) = self.rope {
            p.push(pass, Rope { qkv: dqkv, table, heads, direction: Direction::Backward });
        }
        if let (Some(Gains { query, key, .. }), Some(Normed { x, stats })) = (self.qk_norm, saved.normed) {
            let draw = p.shared_activation("d.attn.qkv_raw", &[rows, channels]);
            let blocks = rows.div_ceil(ROWS_PER_PARTIAL);
            let partials = p.shared("qk_norm.partials", &[blocks, heads.heads + heads.kv_heads, heads.head_dim]);
            let (q_weight, k_weight, dq_weight, dk_weight) = (query.value, key.value, query.grad, key.grad);
            p.push(
                pass,
                QkNormBackward {
                    dy: dqkv,
                    x,
                    stats,
                    q_weight,
                    k_weight,
                    dx: draw,
                    dq_weight,
                    dk_weight,
                    partials,
                    heads,
                },
            );
            dqkv = draw;
        }
        self.c_attn.backward(p, dqkv, saved.x, dx, None);
    }

    /// Records attention of one token on its KV cache.
    pub fn decode(
        &self,
        p: &mut Program,
        name: &str,
        x: Tensor,
        cache: KvCache,
        epilogue: Epilogue,
        precision: Precision,
    ) -> Tensor {
        let (pass, heads) = (Pass::Decode, self.heads);
        let raw = self.c_attn.decode(p, pass, &format!("{name}.attn.qkv"), x, Epilogue::None, precision);
        let (qkv, _) = self.prepare(p, pass, name, raw);
        let attended = p.shared(&format!("{name}.attn.out"), &[1, heads.channels()]);
        let (capacity, _) = p.matrix(cache.key);
        let scores = p.shared("decode.scores", &[heads.heads, capacity]);
        p.push(pass, DecodeAttention { qkv, cache, out: attended, scores, heads });
        self.c_proj.decode(p, pass, &format!("{name}.attn"), attended, epilogue, precision)
    }
}
