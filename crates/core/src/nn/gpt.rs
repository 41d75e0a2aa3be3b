//! A whole model over whole sequences: embedding, blocks and final norm, forward and backward, and the loss at its end.

use super::attention::Probs;
use super::bigram::Bigram;
use super::block::{Block, BlockSaved};
use super::loss::{Loss, LossHead, MAX_LOGITS_BYTES};
use super::norm::{Norm, NormSaved};
use super::projection::Projection;
use crate::config::{Architecture, ModelConfig, PositionEmbedding};
use crate::cpu::gemm::Beta;
use crate::error::{Error, Result};
use crate::lora::{LoraConfig, is_block_matrix};
use crate::ops::adamw::RoundMatrices;
use crate::ops::attention::Mask;
use crate::ops::dropout::DropoutSite;
use crate::ops::embedding::{Embedding, EmbeddingBackward, Tables, sinusoids};
use crate::program::{Arena, DType, Field, Pass, Program, Tensor, Training};
use crate::rng::Site;

/// The tensors by which the outside talks to a recorded model.
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    /// Ids, `[M]`; written before a forward pass.
    pub tokens: Tensor,
    /// Ids, `[M]`: the tokens one position on; written before a forward pass.
    pub targets: Tensor,
    /// `[M, V]`; `None` where they would be more than [`MAX_LOGITS_BYTES`], and are never all there.
    pub logits: Option<Tensor>,
    /// Nats per token, `[M]`.
    pub losses: Tensor,
    /// Their mean, `[1]`.
    pub loss: Tensor,
    /// `B`.
    pub batch: usize,
    /// `T`.
    pub context: usize,
}

/// What to record.
#[derive(Clone, Copy, Debug)]
pub struct Recording {
    /// `B`.
    pub batch: usize,
    /// `T`, at most the model's `n_positions`.
    pub context: usize,
    /// Whether to record the backward pass.
    pub training: Training,
    /// Whether attention weights can be read back.
    pub probs: Probs,
    /// How a GPU stores activations and their gradients. Float16 makes the whole program one of mixed precision.
    pub activations: DType,
    /// Whether blocks share their tensors and the backward pass computes them again (gradient checkpointing): less memory, more time.
    pub recompute: bool,
}

impl Recording {
    /// Records a model: the forward pass and, if it trains, the backward pass.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn record(&self, config: &ModelConfig) -> Result<(Program, Graph)> {
        self.record_within(config, MAX_LOGITS_BYTES)
    }

    /// [`Self::record`] with at most so many bytes of logits at a time (but 128 rows at least).
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn record_within(&self, config: &ModelConfig, max_logits_bytes: usize) -> Result<(Program, Graph)> {
        config.validate()?;
        // A bigram has no matrix product that could gain from float16.
        let activations = if config.architecture == Architecture::Bigram { DType::F32 } else { self.activations };
        let program = Program::with_activations(config.parameters(), self.training, activations);
        Ok(self.record_on(program, config, max_logits_bytes))
    }

    /// [`Self::record`] of a model whose queries see all keys, those of later tokens too: to show what the mask is for. Such a model cannot
    /// write, and tokens that only fill up the context are seen as well: there must be none.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn record_open(&self, config: &ModelConfig) -> Result<(Program, Graph)> {
        config.validate()?;
        let program = Program::with_activations(config.parameters(), self.training, self.activations);
        Ok(self.record_masked(program, config, MAX_LOGITS_BYTES, Mask::Open, 0))
    }

    /// [`Self::record`] of a frozen model with adapters, the program's parameters.
    ///
    /// # Errors
    /// When the configuration is invalid, the adapters are not for it, or activations are not float32.
    pub fn record_adapted(&self, config: &ModelConfig, lora: &LoraConfig) -> Result<(Program, Graph)> {
        config.validate()?;
        lora.check(config)?;
        if self.activations != DType::F32 {
            return Err(Error::Training(
                "LoRA is trained in precision f32; mixed precision is for full training".into(),
            ));
        }
        let mut program = Program::new(lora.parameters(config), self.training);
        for spec in config.parameters() {
            if is_block_matrix(&spec.name) {
                program.freeze_packed(spec, lora.base, lora.scale());
            } else {
                program.freeze(spec);
            }
        }
        Ok(self.record_on(program, config, MAX_LOGITS_BYTES))
    }

    /// [`Self::record`] of a part of a batch, before which others have so many sequences: dropout's masks are those of the whole. In float32.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn record_part(&self, config: &ModelConfig, first_sequence: usize) -> Result<(Program, Graph)> {
        config.validate()?;
        let program = Program::new(config.parameters(), self.training);
        let mask = Mask::causal(config.sliding_window);
        Ok(self.record_masked(program, config, MAX_LOGITS_BYTES, mask, first_sequence))
    }

    fn record_on(&self, program: Program, config: &ModelConfig, max_logits_bytes: usize) -> (Program, Graph) {
        self.record_masked(program, config, max_logits_bytes, Mask::causal(config.sliding_window), 0)
    }

    fn record_masked(
        &self,
        mut program: Program,
        config: &ModelConfig,
        max_logits_bytes: usize,
        mask: Mask,
        first_sequence: usize,
    ) -> (Program, Graph) {
        let p = &mut program;
        if let Some(half) = p.half() {
            p.push(Pass::Load, RoundMatrices { value: p.arena(Arena::Matrices, Field::Value), half });
        }
        let rows = self.batch * self.context;
        let tokens = p.tensor("tokens", &[rows]);
        let targets = p.tensor("targets", &[rows]);
        let loss = Loss::new(p, targets);
        let logits = match config.architecture {
            Architecture::Bigram => {
                let model = Bigram::new(p);
                let logits = model.forward(p, Pass::Forward, "logits", tokens);
                loss.forward(p, logits);
                if self.training != Training::No {
                    let dlogits = loss.backward(p, logits);
                    model.backward(p, tokens, dlogits);
                }
                Some(logits)
            }
            Architecture::Gpt => {
                let mut model = Gpt::new(p, config, self.batch, self.context);
                model.blocks.iter_mut().for_each(|block| block.attn.set_mask(mask));
                model.set_first_sequence(first_sequence);
                let saved = model.forward(p, tokens, self.probs, self.recompute);
                let head = LossHead::forward(p, model.lm_head, saved.ln_f.y, loss, max_logits_bytes);
                if self.training != Training::No {
                    let dnorm = p.shared_activation("d.norm", &[rows, config.n_embd]);
                    head.backward(p, dnorm);
                    model.backward(p, tokens, &saved, dnorm, self.recompute);
                }
                head.logits(p)
            }
        };
        let Loss { losses, loss, .. } = loss;
        let graph = Graph { tokens, targets, logits, losses, loss, batch: self.batch, context: self.context };
        (program, graph)
    }
}

/// The modules of a GPT.
#[derive(Clone, Debug)]
pub(crate) struct Gpt {
    tables: Tables,
    /// `None` where the tables are frozen.
    dtables: Option<Tables>,
    pub blocks: Vec<Block>,
    pub ln_f: Norm,
    pub lm_head: Projection,
    channels: usize,
    /// Factor on the rows of the token table.
    scale: f32,
    context: usize,
    dropout: DropoutSite,
}

/// What the backward pass needs.
struct GptSaved {
    blocks: Vec<BlockSaved>,
    ln_f: NormSaved,
}

/// What blocks are named that share their tensors.
const SHARED_BLOCK: &str = "block";

impl Gpt {
    pub fn new(p: &mut Program, config: &ModelConfig, batch: usize, context: usize) -> Self {
        assert!(context <= config.n_positions, "context {context} is longer than the position table");
        let (positions, channels) = (config.n_positions, config.n_embd);
        let wte = p.parameter("wte.weight");
        let (wpe, dwpe, scale) = match config.position_embedding_type {
            PositionEmbedding::Learned => {
                let wpe = p.parameter("wpe.weight");
                (Some(wpe.value), wpe.grad, 1.0)
            }
            PositionEmbedding::Sinusoidal => {
                let table = p.constant("wpe", &[positions, channels], move || sinusoids(positions, channels));
                (Some(table), None, (channels as f32).sqrt())
            }
            PositionEmbedding::Rope => (None, None, 1.0),
        };
        let head = if config.tie_word_embeddings { wte } else { p.parameter("lm_head.weight") };
        let head_bias = config.lm_head_bias.then(|| p.parameter("lm_head.bias"));
        Self {
            tables: Tables { wte: wte.value, wpe },
            dtables: wte.grad.map(|wte| Tables { wte, wpe: dwpe }),
            blocks: (0..config.n_layer).map(|layer| Block::new(p, config, layer, batch, context)).collect(),
            ln_f: Norm::new(p, config, "ln_f"),
            lm_head: Projection::with(head, head_bias),
            channels,
            scale,
            context,
            dropout: DropoutSite { p: config.dropout, site: Site::EMBEDDING_DROPOUT, first: 0 },
        }
    }

    /// Says how many sequences others have that come before: only dropout can tell.
    fn set_first_sequence(&mut self, sequences: usize) {
        let elements = self.context * self.channels;
        self.dropout.first = (sequences * elements) as u32;
        self.blocks.iter_mut().for_each(|block| block.set_first_sequence(sequences, elements));
    }

    /// The residual stream before the first block.
    pub fn embed(&self, p: &mut Program, pass: Pass, name: &str, tokens: Tensor) -> Tensor {
        let rows = p.shape(tokens)[0];
        let x = p.tensor(name, &[rows, self.channels]);
        let Self { tables, channels, scale, context, dropout, .. } = *self;
        p.push(pass, Embedding { tokens, tables, x, channels, scale, context, dropout });
        x
    }

    fn forward(&self, p: &mut Program, tokens: Tensor, probs: Probs, recompute: bool) -> GptSaved {
        let mut x = self.embed(p, Pass::Forward, "embedding", tokens);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (layer, block) in self.blocks.iter().enumerate() {
            let name = if recompute { SHARED_BLOCK.into() } else { format!("h.{layer}") };
            let (saved, out) = block.forward(p, Pass::Forward, &name, x, probs, None);
            x = out;
            blocks.push(saved);
        }
        let ln_f = self.ln_f.forward(p, Pass::Forward, "ln_f", x);
        GptSaved { blocks, ln_f }
    }

    /// From the gradient of the final norm's output.
    fn backward(&self, p: &mut Program, tokens: Tensor, saved: &GptSaved, dnorm: Tensor, recompute: bool) {
        let (rows, _) = p.matrix(dnorm);
        // The residual stream's gradient: started by the last norm, added to by every branch.
        let dx = p.tensor("d.residual", &[rows, self.channels]);
        self.ln_f.backward(p, &saved.ln_f, dnorm, dx, Beta::Assign);
        let last = self.blocks.len() - 1;
        for (layer, (block, saved)) in self.blocks.iter().zip(&saved.blocks).enumerate().rev() {
            if recompute && layer < last {
                block.recompute(p, SHARED_BLOCK, saved.x);
            }
            block.backward(p, saved, dx);
        }
        let Self { dtables, channels, scale, context, dropout, .. } = *self;
        if let Some(dtables) = dtables {
            p.push(Pass::Backward, EmbeddingBackward { tokens, dx, dtables, channels, scale, context, dropout });
        }
    }
}
