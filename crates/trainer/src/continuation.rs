//! A model that writes: prompt in, pieces of text out, one token at a time.

use std::collections::VecDeque;

use inkling_core::program::Precision;
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::tokenizer::{Tokenizer, Utf8Stream};
use inkling_core::{Device, ModelConfig, Weights};

use crate::error::{Error, Result};

/// Tokens that a GPU draws between two reads: enough that waiting for a read hardly counts, few enough that the text still appears to
/// flow. On the CPU there is nothing to wait for, and each is shown as it is drawn.
const GPU_CHUNK: usize = 32;

/// A text in the making.
#[derive(Debug)]
pub struct Continuation {
    generator: Generator,
    sampling: SamplerConfig,
    tokenizer: Tokenizer,
    /// The end of what was handed out: a token may end within a character.
    stream: Utf8Stream,
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
        Ok(Self {
            generator,
            sampling,
            tokenizer,
            stream: Utf8Stream::default(),
            chunk,
            drawn: VecDeque::new(),
            wanted: 0,
        })
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
        self.stream = Utf8Stream::default();
        self.wanted = tokens;
        self.generator.start(&ids)
    }

    /// The text that the next token completes, which may be none, and at last `None`; [`Error::NotFinite`] if the model has no opinion
    /// about it.
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
        match self.drawn.pop_front() {
            Some(token) => Ok(Some(self.stream.push(&self.tokenizer.decode_bytes(&[token])?))),
            None => Ok(Some(self.stream.finish()).filter(|rest| !rest.is_empty())),
        }
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
