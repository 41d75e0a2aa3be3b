//! A model that writes: prompt in, pieces of text out, one token at a time.

use std::collections::VecDeque;

use inkling_core::program::Precision;
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::tokenizer::Tokenizer;
use inkling_core::{Device, ModelConfig, Weights};

use crate::error::{Error, Result};

/// Tokens that a GPU draws between two reads, which cost about as much as a token each: enough that they do not count, few enough that a
/// text still appears to flow. The CPU has nothing to read, and draws one by one.
const GPU_CHUNK: usize = 32;

/// A text in the making.
#[derive(Debug)]
pub struct Continuation {
    generator: Generator,
    sampling: SamplerConfig,
    tokenizer: Tokenizer,
    chunk: usize,
    /// Drawn, but not handed out yet.
    drawn: VecDeque<u32>,
    /// Tokens still to be drawn for this text.
    wanted: usize,
}

impl Continuation {
    /// Loads a model; `memory` is how many bytes may be allocated.
    pub async fn new(
        config: &ModelConfig,
        weights: &Weights,
        tokenizer: Tokenizer,
        sampling: SamplerConfig,
        precision: Precision,
        device: Device,
        memory: u64,
    ) -> inkling_core::Result<Self> {
        sampling.validate()?;
        let chunk = if matches!(device, Device::Gpu(_)) { GPU_CHUNK } else { 1 };
        let generator = Generator::new(config, weights, precision, device, memory).await?;
        Ok(Self { generator, sampling, tokenizer, chunk, drawn: VecDeque::new(), wanted: 0 })
    }

    /// Exchanges the weights.
    pub fn load(&mut self, weights: &Weights) -> inkling_core::Result<()> {
        self.generator.load(weights)
    }

    /// Exchanges the sampling settings, for another sample of the same model.
    pub fn set_sampling(&mut self, sampling: SamplerConfig) -> inkling_core::Result<()> {
        sampling.validate()?;
        self.sampling = sampling;
        Ok(())
    }

    /// Begins a new text of `tokens` tokens after `prompt`. The error names a character that the model does not know.
    pub fn start(&mut self, prompt: &str, tokens: usize) -> inkling_core::Result<()> {
        let ids = self.tokenizer.encode(prompt)?;
        self.drawn.clear();
        self.wanted = tokens;
        self.generator.start(&ids)
    }

    /// The text of the next token, `None` at the end; [`Error::NotFinite`] if the model has no opinion about it.
    pub async fn next(&mut self) -> Result<Option<String>> {
        if self.drawn.is_empty() {
            let count = self.chunk.min(self.wanted);
            match self.generator.generate(&self.sampling, count).await {
                Ok(tokens) => self.drawn.extend(tokens),
                Err(inkling_core::Error::NonFiniteLogits) => return Err(self.not_finite().await),
                Err(other) => return Err(other.into()),
            }
            self.wanted -= count;
        }
        let token = self.drawn.pop_front();
        Ok(token.map(|token| self.tokenizer.decode(&[token])).transpose()?)
    }

    /// What the logits are instead of finite.
    async fn not_finite(&mut self) -> Error {
        match self.generator.logits().await {
            Ok(logits) => {
                let strange = logits.iter().find(|logit| !logit.is_finite()).copied();
                Error::NotFinite { what: "logit", value: strange.unwrap_or(f32::NAN).into() }
            }
            Err(other) => other.into(),
        }
    }

    /// A new text of `tokens` tokens after `prompt`, which is not repeated.
    pub async fn text(&mut self, prompt: &str, tokens: usize) -> Result<String> {
        self.start(prompt, tokens)?;
        let mut text = String::new();
        while let Some(piece) = self.next().await? {
            text += &piece;
        }
        Ok(text)
    }
}

/// What a text begins with when nobody says: a line break, or the first token of a vocabulary that lacks it.
pub fn default_prompt(tokenizer: &Tokenizer) -> String {
    match tokenizer.encode("\n") {
        Ok(_) => "\n".into(),
        Err(_) => tokenizer.token_text(0).expect("a vocabulary has at least one token"),
    }
}
