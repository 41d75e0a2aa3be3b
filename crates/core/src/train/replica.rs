//! Data parallelism: replicas of a model, each of which computes the gradient of its share of every batch, and its losses in evaluations.
//!
//! For who has several processors but no memory that they share, such as the workers of a page. The trainer sends each replica the weights and its
//! sequences, adds up the gradients that come back, always in the same order, and does the update:
//!
//! ```text
//! g = Σ g_r      g_r = ∂/∂w Σ over micro-batches of  (B_r / B) / accumulation · mean loss of replica r's B_r sequences
//! ```
//!
//! A [`Share`] says which sequences are a replica's; masks of dropout are those of the whole batch. So only the order of sums differs from what
//! one engine computes: losses agree to rounding, and are the same to the bit for the same number of replicas. Evaluations of the same weights are the
//! same to the bit whoever does them.
//!
//! One slice of words goes to and fro, so that a buffer can be handed over and used again:
//!
//! ```text
//! update      there   weights [P]     counter [1]   0 [1]   per micro-batch: tokens [B_r · T], targets [B_r · T]
//!             back    gradient [P]    loss [1]      0       as they were
//! evaluation  there   weights [P]     -             1       tokens, targets
//!             back    weights         -             1       losses [B_r · T], targets
//! ```
//!
//! `P` counts both arenas with their padding; numbers are float32 as bits.

use std::ops::Range;

use super::TrainConfig;
use super::batches::Batch;
use crate::config::ModelConfig;
use crate::cpu::Pool;
use crate::engine::Engine;
use crate::error::Result;
use crate::nn::{Graph, Recording};
use crate::ops::history::AccumulateLoss;
use crate::program::{Arena, Field, Pass, Program, Tensor, Training};
use crate::step::{Mode, Step};

/// Both arenas, in the order of a message.
const ARENAS: [Arena; 2] = [Arena::Matrices, Arena::Vectors];

/// What a message asks for.
const UPDATE: u32 = 0;
const EVALUATION: u32 = 1;

/// A replica's part of every batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its sequences among those of a batch.
    pub sequences: Range<usize>,
    batch: usize,
    context: usize,
    accumulation: usize,
    parameters: usize,
}

impl Share {
    fn new(program: &Program, graph: &Graph, settings: &TrainConfig, rank: usize, replicas: usize) -> Self {
        Self {
            sequences: sequences(settings, rank, replicas),
            batch: settings.batch_size,
            context: graph.context,
            accumulation: settings.gradient_accumulation_steps,
            parameters: ARENAS.iter().map(|&arena| numel(program, program.arena(arena, Field::Value))).sum(),
        }
    }

    /// Words of its messages.
    pub fn words(&self) -> usize {
        self.parameters + 2 + self.accumulation * 2 * self.tokens()
    }

    /// Tokens of a micro-batch, `B_r · T`.
    fn tokens(&self) -> usize {
        self.sequences.len() * self.context
    }
}

/// The sequences of replica `rank`: as evenly as can be.
fn sequences(settings: &TrainConfig, rank: usize, replicas: usize) -> Range<usize> {
    let until = |rank| settings.batch_size * rank / replicas;
    until(rank)..until(rank + 1)
}

fn numel(program: &Program, tensor: Tensor) -> usize {
    program.shape(tensor).iter().product()
}

/// Computes gradients for a trainer elsewhere.
#[derive(Debug)]
pub struct Replica {
    engine: Engine,
    graph: Graph,
    running: Tensor,
    share: Share,
    seed: u64,
    /// Whatever is read.
    scratch: Vec<f32>,
}

impl Replica {
    /// Replica `rank` of `replicas`, which are no more than a batch has sequences, on the CPU.
    ///
    /// # Errors
    /// Settings out of range; more than `memory` bytes.
    pub fn new(model: &ModelConfig, settings: &TrainConfig, rank: usize, replicas: usize, memory: u64) -> Result<Self> {
        let (program, graph, running) = Self::record(model, settings, rank, replicas)?;
        program.check_memory(memory)?;
        let share = Share::new(&program, &graph, settings, rank, replicas);
        let engine = Engine::cpu(program, Pool::new(1));
        Ok(Self { engine, graph, running, share, seed: settings.seed, scratch: Vec::new() })
    }

    fn record(
        model: &ModelConfig,
        settings: &TrainConfig,
        rank: usize,
        replicas: usize,
    ) -> Result<(Program, Graph, Tensor)> {
        settings.validate()?;
        let sequences = sequences(settings, rank, replicas);
        let training = Training::Yes;
        let recording = Recording { batch: sequences.len(), training, ..super::recording(model, settings) };
        let (mut program, graph) = recording.record_part(model, sequences.start)?;
        let running = program.tensor("replica.loss", &[1]);
        program.push(Pass::Backward, AccumulateLoss { loss: graph.loss, running });
        Ok((program, graph, running))
    }

    /// Bytes that replica `rank` of `replicas` takes.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn memory_bytes(model: &ModelConfig, settings: &TrainConfig, rank: usize, replicas: usize) -> Result<u64> {
        let (program, graph, _) = Self::record(model, settings, rank, replicas)?;
        // The message here, the buffer that travels, and what is read.
        let message = 3 * 4 * Share::new(&program, &graph, settings, rank, replicas).words() as u64;
        Ok(program.memory_bytes() + message)
    }

    /// Words of its messages.
    pub fn words(&self) -> usize {
        self.share.words()
    }

    /// Puts the gradient and the loss, or losses, in the place of what it was sent.
    ///
    /// # Errors
    /// None, on the CPU.
    ///
    /// # Panics
    /// When the message has another length, or ids that the model has not.
    pub async fn answer(&mut self, message: &mut [u32]) -> Result<()> {
        let Self { engine, graph, running, share, seed, scratch } = self;
        assert_eq!(message.len(), share.words(), "a message of another share");
        let (parameters, rest) = message.split_at_mut(share.parameters);
        let ([counter, kind], ids) = rest.split_first_chunk_mut().expect("a message says what it asks for");
        for (tensor, place) in arenas(engine.program(), Field::Value) {
            engine.write(tensor, bytemuck::cast_slice(&parameters[place]));
        }
        engine.replay(Pass::Load, &Step::DEFAULT);
        if *kind == EVALUATION {
            let (tokens, targets) = ids[..2 * share.tokens()].split_at_mut(share.tokens());
            engine.write_ids(graph.tokens, tokens);
            engine.write_ids(graph.targets, targets);
            engine.replay(Pass::Forward, &Step::DEFAULT);
            engine.read_into(graph.losses, scratch).await?;
            tokens.copy_from_slice(bytemuck::cast_slice(scratch));
            return Ok(());
        }
        let part = share.sequences.len() as f32 / share.batch as f32;
        for (micro, ids) in ids.chunks_exact(2 * share.tokens()).enumerate() {
            let (tokens, targets) = ids.split_at(share.tokens());
            engine.write_ids(graph.tokens, tokens);
            engine.write_ids(graph.targets, targets);
            let step = Step {
                mode: Mode::Train,
                seed: *seed,
                counter: *counter + micro as u32,
                loss_scale: part / share.accumulation as f32,
                ..Step::default()
            };
            engine.replay(Pass::Forward, &step);
            engine.replay(Pass::Backward, &step);
        }
        for (tensor, place) in arenas(engine.program(), Field::Grad) {
            engine.read_into(tensor, scratch).await?;
            parameters[place].copy_from_slice(bytemuck::cast_slice(scratch));
            scratch.fill(0.0);
            engine.write(tensor, scratch);
        }
        engine.read_into(*running, scratch).await?;
        *counter = scratch[0].to_bits();
        engine.write(*running, &[0.0]);
        Ok(())
    }
}

/// The arenas of a field and where each is in a message.
fn arenas(program: &Program, field: Field) -> [(Tensor, Range<usize>); 2] {
    let [matrices, vectors] = ARENAS.map(|arena| program.arena(arena, field));
    let (end, more) = (numel(program, matrices), numel(program, vectors));
    [(matrices, 0..end), (vectors, end..end + more)]
}

/// Where a trainer's replicas are.
pub trait Crew {
    /// How many there are.
    fn replicas(&self) -> usize;

    /// Hands a replica its message.
    fn send(&mut self, rank: usize, message: &[u32]);

    /// Whether every replica has answered; or one never will, which [`Self::receive`] tells.
    fn is_done(&self) -> bool;

    /// Takes a replica's answer.
    ///
    /// # Errors
    /// What became of it, as a clause.
    fn receive(&mut self, rank: usize, answer: &mut [u32]) -> std::result::Result<(), String>;

    /// Forgets what was sent and not received.
    fn abandon(&mut self);
}

/// A trainer's side of its replicas.
pub(super) struct Replicas {
    crew: Box<dyn Crew>,
    shares: Vec<Share>,
    message: Vec<u32>,
    /// Gradient and loss.
    sum: Vec<f32>,
    scratch: Vec<f32>,
}

impl Replicas {
    pub fn new(crew: Box<dyn Crew>, program: &Program, graph: &Graph, settings: &TrainConfig) -> Self {
        let replicas = crew.replicas();
        let shares = (0..replicas).map(|rank| Share::new(program, graph, settings, rank, replicas)).collect();
        Self { crew, shares, message: Vec::new(), sum: Vec::new(), scratch: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.shares.len()
    }

    pub fn is_done(&self) -> bool {
        self.crew.is_done()
    }

    pub fn abandon(&mut self) {
        self.crew.abandon();
    }

    /// Asks for the gradient of micro-batches, the first of which has this counter.
    pub async fn send_update(&mut self, engine: &Engine, counter: u32, micro_batches: &[Batch]) -> Result<()> {
        self.send(engine, [counter, UPDATE], micro_batches).await
    }

    /// Asks for a batch's losses.
    pub async fn send_evaluation(&mut self, engine: &Engine, batch: &Batch) -> Result<()> {
        self.send(engine, [0, EVALUATION], std::slice::from_ref(batch)).await
    }

    async fn send(&mut self, engine: &Engine, asked: [u32; 2], micro_batches: &[Batch]) -> Result<()> {
        let Self { crew, shares, message, scratch, .. } = self;
        message.clear();
        for (tensor, _) in arenas(engine.program(), Field::Value) {
            engine.read_into(tensor, scratch).await?;
            message.extend_from_slice(bytemuck::cast_slice(scratch));
        }
        message.extend(asked);
        let shared = message.len();
        for (rank, share) in shares.iter().enumerate() {
            message.truncate(shared);
            let ids = share.sequences.start * share.context..share.sequences.end * share.context;
            for batch in micro_batches {
                message.extend_from_slice(&batch.tokens[ids.clone()]);
                message.extend_from_slice(&batch.targets[ids.clone()]);
            }
            message.resize(share.words(), 0);
            crew.send(rank, message);
        }
        Ok(())
    }

    /// Brings the sum of all gradients to the engine, and that of their losses to `running`.
    ///
    /// # Errors
    /// What became of a replica; the engine is as it was.
    pub fn collect_update(&mut self, engine: &mut Engine, running: Tensor) -> std::result::Result<(), String> {
        let Self { crew, shares, message, sum, .. } = self;
        sum.clear();
        for (rank, share) in shares.iter().enumerate() {
            message.resize(share.words(), 0);
            crew.receive(rank, message)?;
            let part: &[f32] = bytemuck::cast_slice(&message[..=share.parameters]);
            if rank == 0 {
                sum.extend_from_slice(part);
            } else {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        for (tensor, place) in arenas(engine.program(), Field::Grad) {
            engine.write(tensor, &sum[place]);
        }
        engine.write(running, &sum[sum.len() - 1..]);
        Ok(())
    }

    /// A batch's losses, `[B · T]`.
    ///
    /// # Errors
    /// What became of a replica.
    pub fn collect_losses(&mut self) -> std::result::Result<Vec<f32>, String> {
        let Self { crew, shares, message, .. } = self;
        let mut losses = Vec::new();
        for (rank, share) in shares.iter().enumerate() {
            message.resize(share.words(), 0);
            crew.receive(rank, message)?;
            let begin = share.parameters + 2;
            losses.extend_from_slice(bytemuck::cast_slice(&message[begin..begin + share.tokens()]));
        }
        Ok(losses)
    }
}
