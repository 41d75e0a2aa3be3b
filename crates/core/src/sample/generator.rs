//! A model that continues a text. Prompts and outputs may be longer than the context.
//!
//! Drawn tokens stay on the device: steps of drawing and decoding are queued one after the other, and the tokens are read back together.
//! The logits that each was drawn from come with them where they are wanted ([`Generator::generate_with_logits`]).
//! The newest token of a text is decoded only when something is wanted that depends on it, so the last one never costs a step.
//!
//! Learned positions end at `T`. When the cache is full, the last `T/2` tokens are read again as a new prompt, at positions
//! from 0: between `T/2` and `T` tokens are always in view, and the cost per token stays that of one cached step plus one share of a
//! prefill. (Reading again at every token, as nanoGPT does, would cost `T` times as much.)

use super::SamplerConfig;
use crate::config::ModelConfig;
use crate::engine::{Device, Engine};
use crate::error::{Error, Result};
use crate::nn::Generation;
use crate::ops::sample::NO_TOKEN;
use crate::program::{Field, Pass, Precision};
use crate::step::Step;
use crate::weights::Weights;

/// A prompt of at most this part of the context is read token by token: a prefill always works through the whole context, and was
/// measured to cost as much as an eighth of it one by one.
const SHORT_PROMPT: usize = 8;

/// Logits that are read at once, in floats: enough for some dozens of tokens of a large vocabulary, few enough that staging them is cheap.
const LOGITS_AT_ONCE: usize = 1 << 20;

/// Tokens and what they were drawn from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Ids.
    pub tokens: Vec<u32>,
    /// The logits that each was drawn from, `[tokens, V]`.
    pub logits: Vec<f32>,
}

/// One text in the making.
pub struct Generator {
    engine: Engine,
    generation: Generation,
    context: usize,
    vocab: usize,
    /// Tokens in the cache, oldest first; never more than `context`.
    window: Vec<u32>,
    /// The newest token, where it is not in the cache yet. The device has it.
    undecoded: Option<u32>,
    /// Tokens of the text so far, those that left the window included.
    length: u32,
    logits: Vec<f32>,
    /// Drawn tokens as they are read back.
    drawn: Vec<f32>,
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
            undecoded: None,
            length: 0,
            logits: Vec::new(),
            drawn: Vec::new(),
        })
    }

    /// Exchanges the weights, for a sample of each stage of a training run. The text has to be started anew.
    ///
    /// # Errors
    /// When they are not the model's.
    pub fn load(&mut self, weights: &Weights) -> Result<()> {
        self.engine.load(Field::Value, weights)?;
        self.engine.replay(Pass::Load, &Step::default());
        Ok(())
    }

    /// Starts a new text with a prompt, of which the last `T` tokens are read.
    ///
    /// # Errors
    /// An empty prompt, or a token that the model does not have.
    pub fn start(&mut self, prompt: &[u32]) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::Sampling("the prompt is empty: give at least one token, a line break say".into()));
        }
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= self.vocab) {
            return Err(Error::Sampling(format!("token {id} is not among the model's {} tokens", self.vocab)));
        }
        self.window.clear();
        self.undecoded = None;
        let read = &prompt[prompt.len().saturating_sub(self.context)..];
        if read.len() * SHORT_PROMPT <= self.context {
            read.iter().for_each(|&token| self.append(token));
        } else {
            self.window.extend_from_slice(read);
            self.prefill();
        }
        self.length = prompt.len() as u32;
        Ok(())
    }

    /// Tokens of the text so far: the next token's position.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Appends a token.
    ///
    /// # Panics
    /// Before [`Self::start`], or when the model does not have the token.
    pub fn push(&mut self, token: u32) {
        assert!(self.length > 0 && (token as usize) < self.vocab, "push({token}) on {self:?}");
        self.append(token);
        self.length += 1;
    }

    fn append(&mut self, token: u32) {
        self.decode();
        self.engine.write_ids(self.generation.token, &[token]);
        self.undecoded = Some(token);
    }

    /// Draws `count` tokens and appends them to the text.
    ///
    /// # Errors
    /// Settings out of range, logits that are not finite (the text is to be started anew then), what went wrong on a GPU.
    ///
    /// # Panics
    /// Before [`Self::start`].
    pub async fn generate(&mut self, sampling: &SamplerConfig, count: usize) -> Result<Vec<u32>> {
        self.extend(sampling, count, None).await
    }

    /// [`Self::generate`], with the logits that each token was drawn from.
    ///
    /// # Errors
    /// As [`Self::generate`].
    ///
    /// # Panics
    /// Before [`Self::start`].
    pub async fn generate_with_logits(&mut self, sampling: &SamplerConfig, count: usize) -> Result<Drawn> {
        let mut logits = Vec::with_capacity(count * self.vocab);
        let tokens = self.extend(sampling, count, Some(&mut logits)).await?;
        Ok(Drawn { tokens, logits })
    }

    async fn extend(
        &mut self,
        sampling: &SamplerConfig,
        count: usize,
        mut logits: Option<&mut Vec<f32>>,
    ) -> Result<Vec<u32>> {
        sampling.validate()?;
        assert!(self.length > 0, "generate on {self:?}");
        let most = if logits.is_some() { (LOGITS_AT_ONCE / self.vocab).max(1) } else { usize::MAX };
        let mut tokens = Vec::with_capacity(count);
        while tokens.len() < count {
            self.decode();
            let room = self.context - self.window.len();
            let steps = (count - tokens.len()).min(room + 1).min(most);
            match &mut logits {
                None => self.draw(sampling, steps).await?,
                Some(logits) => self.draw_with_logits(sampling, steps, logits).await?,
            }
            let drawn = self.drawn[..steps].iter().map(|token| token.to_bits());
            if drawn.clone().any(|token| token == NO_TOKEN) {
                self.length = 0;
                return Err(Error::NonFiniteLogits);
            }
            tokens.extend(drawn.clone());
            self.window.extend(drawn);
            self.undecoded = self.window.pop();
            self.length += steps as u32;
        }
        Ok(tokens)
    }

    /// Draws so many tokens and decodes all but the last.
    async fn draw(&mut self, sampling: &SamplerConfig, steps: usize) -> Result<()> {
        (0..steps as u32).for_each(|i| self.step(sampling, i));
        self.engine.read_into(self.generation.text, &mut self.drawn).await
    }

    /// [`Self::draw`]. One read has the logits of all steps and the tokens: a browser may take a tenth of a second for each read.
    async fn draw_with_logits(&mut self, sampling: &SamplerConfig, steps: usize, all: &mut Vec<f32>) -> Result<()> {
        let Generation { text, logits, .. } = self.generation;
        let mut read = self.engine.start_reads(steps * self.vocab + self.context);
        for i in 0..steps as u32 {
            self.step(sampling, i);
            self.engine.also_read(&mut read, logits);
        }
        self.engine.also_read(&mut read, text);
        let values = self.engine.finish_read(read).await?;
        let (logits, drawn) = values.split_at(steps * self.vocab);
        all.extend_from_slice(logits);
        self.drawn.clear();
        self.drawn.extend_from_slice(drawn);
        Ok(())
    }

    /// Draws the token of a slot, after decoding the one before it.
    fn step(&mut self, sampling: &SamplerConfig, slot: u32) {
        if slot > 0 {
            let position = self.window.len() as u32 + slot - 1;
            self.engine.replay(Pass::Decode, &Step { position, ..Step::default() });
        }
        self.engine.replay(Pass::Sample, &Step { slot, ..sampling.step(self.length + slot) });
    }

    /// Logits of the next token, `[V]`.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn logits(&mut self) -> Result<&[f32]> {
        self.decode();
        self.engine.read_into(self.generation.logits, &mut self.logits).await?;
        Ok(&self.logits)
    }

    /// Decodes the newest token, unless it has been: the device's logits are the next token's then.
    fn decode(&mut self) {
        let Some(token) = self.undecoded.take() else { return };
        let full = self.window.len() == self.context;
        if full {
            self.window.drain(..self.context - self.context / 2);
        }
        self.window.push(token);
        if full {
            self.prefill();
        } else {
            let position = self.window.len() as u32 - 1;
            self.engine.replay(Pass::Decode, &Step { position, ..Step::default() });
        }
    }

    /// Reads the window at once.
    fn prefill(&mut self) {
        let mut padded = self.window.clone();
        padded.resize(self.context, 0);
        self.engine.write_ids(self.generation.prompt, &padded);
        let position = self.window.len() as u32 - 1;
        self.engine.replay(Pass::Prefill, &Step { position, ..Step::default() });
    }
}
