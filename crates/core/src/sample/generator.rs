//! A model that continues a text. Prompts and outputs may be longer than the context.
//!
//! Learned positions end at `T`. When the cache is full, the last `T/2` tokens are read again as a new prompt, at positions
//! from 0: between `T/2` and `T` tokens are always in view, and the cost per token stays that of one cached step plus one share of a
//! prefill. (Reading again at every token, as nanoGPT does, would cost `T` times as much.)

use crate::config::ModelConfig;
use crate::engine::{Device, Engine};
use crate::error::{Error, Result};
use crate::nn::Generation;
use crate::program::{Field, Pass, Precision};
use crate::step::Step;
use crate::weights::Weights;

/// A prompt of at most this part of the context is read token by token: a prefill always works through the whole context, and was
/// measured to cost as much as an eighth of it one by one.
const SHORT_PROMPT: usize = 8;

/// One text in the making.
pub struct Generator {
    engine: Engine,
    generation: Generation,
    context: usize,
    vocab: usize,
    /// Tokens in the cache, oldest first; never more than `context`.
    window: Vec<u32>,
    /// Tokens of the text so far, those that left the window included.
    length: u32,
    logits: Vec<f32>,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Generator({} tokens)", self.length)
    }
}

impl Generator {
    /// Loads a model for generation.
    ///
    /// # Errors
    /// An invalid configuration, weights that are not its, or too little of the `memory` bytes that may be allocated.
    pub async fn new(
        config: &ModelConfig,
        weights: &Weights,
        precision: Precision,
        device: Device,
        memory: u64,
    ) -> Result<Self> {
        let (program, generation) = Generation::record(config, precision)?;
        program.check_memory(memory)?;
        let mut engine = device.load(program).await?;
        engine.load(Field::Value, weights)?;
        engine.replay(Pass::Load, &Step::default());
        Ok(Self {
            engine,
            generation,
            context: config.n_positions,
            vocab: config.vocab_size,
            window: Vec::new(),
            length: 0,
            logits: Vec::new(),
        })
    }

    /// Exchanges the weights, for a sample of each stage of a training run.
    ///
    /// # Errors
    /// When they are not the model's.
    pub fn load(&mut self, weights: &Weights) -> Result<()> {
        self.engine.load(Field::Value, weights)?;
        self.engine.replay(Pass::Load, &Step::default());
        Ok(())
    }

    /// Starts a new text with a prompt, of which the last `T` tokens are read. Then [`Self::logits`] are those of the next token.
    ///
    /// # Errors
    /// An empty prompt, or a token that the model does not have.
    pub async fn start(&mut self, prompt: &[u32]) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::Sampling("the prompt is empty: give at least one token, a line break say".into()));
        }
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= self.vocab) {
            return Err(Error::Sampling(format!("token {id} is not among the model's {} tokens", self.vocab)));
        }
        self.length = prompt.len() as u32;
        let read = &prompt[prompt.len().saturating_sub(self.context)..];
        self.window.clear();
        if read.len() * SHORT_PROMPT <= self.context {
            for &token in read {
                self.decode(token).await?;
            }
        } else {
            self.window.extend_from_slice(read);
            self.prefill().await?;
        }
        Ok(())
    }

    /// Reads the window at once.
    async fn prefill(&mut self) -> Result<()> {
        let mut padded = self.window.clone();
        padded.resize(self.context, 0);
        self.engine.write_ids(self.generation.prompt, &padded);
        let position = self.window.len() as u32 - 1;
        self.engine.replay(Pass::Prefill, &Step { position, ..Step::default() });
        self.engine.read_into(self.generation.prompt_logits, &mut self.logits).await
    }

    /// Logits of the next token, `[V]`.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Tokens of the text so far: the next token's position.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Appends a token.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    ///
    /// # Panics
    /// Before [`Self::start`], or when the model does not have the token.
    pub async fn push(&mut self, token: u32) -> Result<()> {
        assert!(!self.window.is_empty() && (token as usize) < self.vocab, "push({token}) on {self:?}");
        self.length += 1;
        if self.window.len() == self.context {
            self.window.drain(..self.context - self.context / 2);
            self.window.push(token);
            return self.prefill().await;
        }
        self.decode(token).await
    }

    /// Reads one token into a window that has room.
    async fn decode(&mut self, token: u32) -> Result<()> {
        let position = self.window.len() as u32;
        self.window.push(token);
        self.engine.write_ids(self.generation.token, &[token]);
        self.engine.replay(Pass::Decode, &Step { position, ..Step::default() });
        self.engine.read_into(self.generation.logits, &mut self.logits).await
    }
}
