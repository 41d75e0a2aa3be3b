//! Samples of a run: the text that `trainer train` shows at an evaluation, a few tokens at a time.

use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::tokenizer::{Tokenizer, Utf8Stream};
use inkling_core::train::history::{SHORT_SAMPLE, TEMPERATURE};
use inkling_core::{Device, Error, ModelConfig, Weights};

use super::plan::WRITING;

/// What writes, and the text in the making.
pub struct Writer {
    generator: Generator,
    prompt: String,
    ids: Vec<u32>,
    /// Tokens between two looks at the clock: on a GPU each look is a read.
    chunk: usize,
    drawn: Vec<u32>,
}

/// A text that was asked for.
pub enum Written {
    /// It goes on.
    Partly,
    /// All of it, behind the prompt.
    Whole(String),
    /// The model has no opinion about the next token: its logits are not finite.
    Nothing,
}

impl Writer {
    /// Loads the model.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn new(
        model: &ModelConfig,
        weights: &Weights,
        tokenizer: &Tokenizer,
        device: Device,
    ) -> inkling_core::Result<Self> {
        let chunk = if matches!(device, Device::Gpu(_)) { SHORT_SAMPLE } else { 4 };
        let generator = Generator::new(model, weights, WRITING, device, u64::MAX).await?;
        let prompt = tokenizer.default_prompt();
        let ids = tokenizer.encode(&prompt)?;
        Ok(Self { generator, prompt, ids, chunk, drawn: Vec::new() })
    }

    /// What each text begins with.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Begins a text of these weights'.
    ///
    /// # Errors
    /// None that a run's own weights have.
    pub fn begin(&mut self, weights: &Weights) -> inkling_core::Result<()> {
        self.generator.load(weights)?;
        self.drawn.clear();
        self.generator.start(&self.ids)
    }

    /// Goes on until `enough` says so.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn advance(
        &mut self,
        tokenizer: &Tokenizer,
        enough: &mut dyn FnMut() -> bool,
    ) -> inkling_core::Result<Written> {
        let sampling = SamplerConfig { temperature: TEMPERATURE, ..SamplerConfig::default() };
        while self.drawn.len() < SHORT_SAMPLE {
            let count = self.chunk.min(SHORT_SAMPLE - self.drawn.len());
            match self.generator.generate(&sampling, count).await {
                Ok(tokens) => self.drawn.extend(tokens),
                Err(Error::NonFiniteLogits) => return Ok(Written::Nothing),
                Err(other) => return Err(other),
            }
            if enough() && self.drawn.len() < SHORT_SAMPLE {
                return Ok(Written::Partly);
            }
        }
        let mut stream = Utf8Stream::default();
        let mut text = stream.push(&tokenizer.decode_bytes(&self.drawn)?);
        text += &stream.finish();
        Ok(Written::Whole(text))
    }
}
