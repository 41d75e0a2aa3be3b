//! A recorded program that reads whole texts and keeps what its heads did.
//!
//! Recorded for a bucket of lengths, so that typing does not record again. A shorter text is padded on the right, which no token of it sees. Its
//! rows of everything are those of a program of its own length.

use inkling_core::cpu::gemm::{Beta, Mat, gemm_serial};
use inkling_core::nn::attention::Probs;
use inkling_core::nn::{Graph, Recording};
use inkling_core::program::{DType, Field, Pass, Program, Tensor, Training};
use inkling_core::step::Step;
use inkling_core::{Device, Engine, ModelConfig};

use super::experiment;
use crate::protocol::Failure;
use crate::protocol::attention::Experiment;
use crate::worker::model::{LoadedModel, MEMORY, weight_bytes};

/// Rows of logits that are held at once where those of all would be many. Core never makes them fewer.
const CHUNK: usize = 128;

/// Logits that are worth sending for every token of a text: a megabyte.
const MAX_LOGITS: usize = 1 << 18;

/// What a program may take, so that there may be one with a mask and one without.
const MAX_BYTES: u64 = 3 << 29;

/// A loaded program and its last pass.
pub struct Reader {
    engine: Engine,
    graph: Graph,
    /// `[M, V]`, or of the last 128 rows where that would be many.
    logits: Tensor,
    /// Whether queries see all keys.
    open: bool,
    /// Of the weights that are loaded.
    experiment: Experiment,
    /// Whose pass the tensors hold.
    tokens: Vec<u32>,
}

/// Recorded length for a text of `n` tokens: a power of two, from 128 on a multiple of 128, so that the last token is among the last rows of
/// logits that are held. Without a mask every token sees padding, so that there must be none.
pub fn recorded_length(n: usize, most: usize, open: bool) -> usize {
    let size = match n {
        _ if open => n,
        ..=CHUNK => n.next_power_of_two(),
        _ => n.next_multiple_of(CHUNK),
    };
    size.min(most)
}

/// The program for texts of up to `context` tokens, or of exactly so many where queries see all keys.
pub fn record(config: &ModelConfig, context: usize, open: bool) -> Result<(Program, Graph), Failure> {
    let recording = Recording {
        batch: 1,
        context,
        training: Training::No,
        probs: Probs::Keep,
        activations: DType::F32,
        recompute: false,
    };
    Ok(if open {
        recording.record_open(config)?
    } else {
        recording.record_within(config, CHUNK * config.vocab_size * size_of::<f32>())?
    })
}

/// How many of `n` tokens can be read: as many as the model's context, or half of it where the program would be too large, and so on.
pub fn longest(config: &ModelConfig, n: usize, open: bool) -> Result<usize, Failure> {
    let limit = MAX_BYTES.min(MEMORY.saturating_sub(weight_bytes(config)));
    let mut most = config.n_positions;
    while recorded_length(n, most, open) > CHUNK {
        let (program, _) = record(config, recorded_length(n, most, open), open)?;
        if program.memory_bytes() <= limit {
            break;
        }
        most /= 2;
    }
    Ok(most)
}

impl Reader {
    /// Loads what [`record`] made.
    pub async fn load(
        device: Device,
        model: &LoadedModel,
        (program, graph): (Program, Graph),
        open: bool,
    ) -> Result<Self, Failure> {
        let logits = graph.logits.or_else(|| program.find("logits.chunk")).expect("every model has logits");
        let mut engine = device.load(program).await?;
        engine.load(Field::Value, &model.checkpoint.weights)?;
        engine.replay(Pass::Load, &Step::default());
        Ok(Self { engine, graph, logits, open, experiment: Experiment::default(), tokens: Vec::new() })
    }

    /// Whether queries see all keys.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What it holds.
    pub fn bytes(&self) -> u64 {
        self.engine.program().memory_bytes()
    }

    /// `T`.
    pub fn context(&self) -> usize {
        self.graph.context
    }

    /// Reads a text, unless that is what it did last.
    pub fn read(&mut self, model: &LoadedModel, tokens: &[u32], experiment: &Experiment) {
        if self.experiment == *experiment && self.tokens == tokens {
            return;
        }
        if self.experiment != *experiment {
            self.change(model, experiment);
        }
        let padded = |tokens: &[u32]| {
            let mut ids = tokens.to_vec();
            ids.resize(self.graph.context, 0);
            ids
        };
        let (ids, targets) = (padded(tokens), padded(&tokens[1..]));
        self.engine.write_ids(self.graph.tokens, &ids);
        self.engine.write_ids(self.graph.targets, &targets);
        self.engine.replay(Pass::Forward, &Step::default());
        self.tokens = tokens.to_vec();
    }

    /// From one experiment's weights to another's.
    fn change(&mut self, model: &LoadedModel, experiment: &Experiment) {
        let (config, weights) = (model.config(), &model.checkpoint.weights);
        let before = experiment::changed(config, weights, &self.experiment);
        let after = experiment::changed(config, weights, experiment);
        let restored = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name, &weights[name]));
        for (name, tensor) in restored.chain(&after) {
            let parameter = self.engine.program().parameter(name).value;
            self.engine.write(parameter, &tensor.data);
        }
        self.engine.replay(Pass::Load, &Step::default());
        self.experiment = experiment.clone();
    }

    /// Losses of the tokens after the first of a text of `n`, and logits after every token or, where those are many, after the last.
    pub async fn results(&self, n: usize) -> Result<[Vec<f32>; 2], Failure> {
        let mut losses = self.engine.read(self.graph.losses).await?;
        losses.truncate(n - 1);
        let (rows, vocab) = self.engine.program().matrix(self.logits);
        let last = (n - 1) % rows;
        let all = rows >= n && n * vocab <= MAX_LOGITS;
        let logits = self.engine.read(self.logits).await?;
        Ok([losses, logits[if all { 0 } else { last * vocab }..(last + 1) * vocab].to_vec()])
    }

    /// All weights of a layer, `[NH, T, T]`.
    pub async fn weights(&self, layer: usize) -> Result<Vec<f32>, Failure> {
        Ok(self.engine.read_named(&format!("h.{layer}.attn.probs")).await?.data)
    }

    /// A head's weights without those of padding, `[n, n]`.
    pub async fn head_weights(&self, layer: usize, head: usize, n: usize) -> Result<Vec<f32>, Failure> {
        let t = self.graph.context;
        let layer = self.weights(layer).await?;
        let rows = layer[head * t * t..].chunks_exact(t).take(n);
        Ok(rows.flat_map(|row| &row[..n]).copied().collect())
    }

    /// A head's `q · k`, `[n, n]`. Query heads of a group share their key head.
    pub async fn scores(&self, config: &ModelConfig, layer: usize, head: usize, n: usize) -> Result<Vec<f32>, Failure> {
        let name = if config.qk_norm { "qkv_normed" } else { "qkv" };
        let qkv = self.engine.read_named(&format!("h.{layer}.attn.{name}")).await?.data;
        let (d, width) = (config.head_dim(), config.qkv_channels());
        let key_head = config.n_head + head / (config.n_head / config.n_kv_head);
        let part = |head: usize| Mat::strided(&qkv[head * d..], n, d, width);
        let mut scores = vec![0.0; n * n];
        gemm_serial(part(head), part(key_head).t(), Beta::Assign, &mut scores, n);
        Ok(scores)
    }
}
