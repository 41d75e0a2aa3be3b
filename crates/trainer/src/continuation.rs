//! A model that writes: prompt in, pieces of text out, one token at a time.

use inkling_core::program::Precision;
use inkling_core::sample::{Generator, Sampler, SamplerConfig};
use inkling_core::tokenizer::Tokenizer;
use inkling_core::{Device, ModelConfig, Weights};

use crate::error::{Error, Result};

/// A text in the making.
#[derive(Debug)]
pub struct Continuation {
    generator: Generator,
    sampler: Sampler,
    tokenizer: Tokenizer,
    /// Drawn and handed out, but not read by the model yet: the last token of a text never needs to be.
    unread: Option<u32>,
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
        let sampler = Sampler::new(sampling)?;
        let generator = Generator::new(config, weights, precision, device, memory).await?;
        Ok(Self { generator, sampler, tokenizer, unread: None })
    }

    /// Exchanges the weights.
    pub fn load(&mut self, weights: &Weights) -> inkling_core::Result<()> {
        self.generator.load(weights)
    }

    /// Exchanges the sampling settings, for another sample of the same model.
    pub fn set_sampling(&mut self, sampling: SamplerConfig) -> inkling_core::Result<()> {
        self.sampler = Sampler::new(sampling)?;
        Ok(())
    }

    /// Begins a new text. The error names a character that the model does not know.
    pub async fn start(&mut self, prompt: &str) -> inkling_core::Result<()> {
        let ids = self.tokenizer.encode(prompt)?;
        self.unread = None;
        self.generator.start(&ids).await
    }

    /// The text of the next token; [`Error::NotFinite`] if the model has no opinion about it.
    pub async fn next(&mut self) -> Result<String> {
        if let Some(token) = self.unread.take() {
            self.generator.push(token).await?;
        }
        if let Some(&logit) = self.generator.logits().iter().find(|logit| !logit.is_finite()) {
            return Err(Error::NotFinite { what: "logit", value: logit.into() });
        }
        let token = self.sampler.sample(self.generator.logits(), self.generator.length());
        self.unread = Some(token);
        Ok(self.tokenizer.decode(&[token])?)
    }

    /// A new text of `tokens` tokens after `prompt`, which is not repeated.
    pub async fn text(&mut self, prompt: &str, tokens: usize) -> Result<String> {
        self.start(prompt).await?;
        let mut text = String::new();
        for _ in 0..tokens {
            text += &self.next().await?;
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
