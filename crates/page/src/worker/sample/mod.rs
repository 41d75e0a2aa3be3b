//! Writing a text, a slice at a time.

use std::cell::RefCell;
use std::rc::Rc;

use inkling_core::Device;
use inkling_core::program::Precision;
use inkling_core::sample::{Generator, Sampler};
use web_time::{Duration, Instant};

use super::model::{needed, weight_bytes};
use super::{Job, Workshop};
use crate::protocol::Failure;
use crate::protocol::sample::{Generate, Generated, Written, entropy};

/// Weights as they are: `trainer sample --weights f32` writes the same.
const PRECISION: Precision = Precision::Full;
/// Between two messages of a text: as often as screens show something new.
const BETWEEN_PARTS: Duration = Duration::from_millis(16);
/// Of reading what is given, before the queue is looked at.
const READING: Duration = Duration::from_millis(12);

/// The generator of the loaded model, kept between texts. A text that is being written takes it and puts it back at the end. When model or
/// engine change, the place itself is exchanged: what comes back to the old one is dropped with it.
#[derive(Default)]
pub struct Desk(Rc<RefCell<Option<Reader>>>);

/// A generator, and what it has read.
struct Reader {
    generator: Generator,
    /// What it takes.
    bytes: u64,
    /// How it draws best, to begin with.
    chunk: Chunk,
    prompt: Vec<u32>,
    /// Behind the prompt.
    text: Vec<u32>,
}

impl Desk {
    /// Bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.0.borrow().as_ref().map_or(0, |reader| reader.bytes)
    }
}

/// A text in the making.
pub struct Writing {
    /// Until the end.
    reader: Option<Reader>,
    place: Rc<RefCell<Option<Reader>>>,
    call: Generate,
    sampler: Sampler,
    /// Drawn, but not sent yet.
    unsent: Generated,
    last_sent: Option<Instant>,
    drawn: usize,
    seconds: f64,
}

/// How many tokens to draw at once, so that it takes neither too long nor so short that asking is most of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chunk {
    size: usize,
    most: usize,
    /// Seconds: faster is too small, slower is too large.
    good: (f64, f64),
}

impl Chunk {
    /// The processor is blocked meanwhile.
    const CPU: Self = Self { size: 1, most: 1024, good: (0.006, 0.015) };
    /// Each chunk is a read, for which a browser (Firefox) may take a tenth of a second however little is read.
    const GPU: Self = Self { size: 32, most: 64, good: (0.075, 0.15) };

    fn took(&mut self, seconds: f64) {
        if seconds < self.good.0 {
            self.size = (self.size * 2).min(self.most);
        } else if seconds > self.good.1 {
            self.size = (self.size / 2).max(1);
        }
    }
}

impl Workshop {
    /// Bytes of the generators that are at work.
    pub(super) fn writing_bytes(&self) -> u64 {
        let bytes = |job: &Job| if let Job::Write(writing) = job { writing.bytes() } else { 0 };
        self.jobs.iter().map(|(_, job)| bytes(job)).sum()
    }

    pub(super) async fn begin_writing(&mut self, call: Generate) -> Result<Writing, Failure> {
        let sampler = Sampler::new(call.sampling)?;
        let model = self.loaded()?;
        let vocab = model.config().vocab_size;
        if let Some(id) = call.given.iter().find(|&&id| id as usize >= vocab) {
            return Err(Failure::input(format!("token {id} is not among the model's {vocab} tokens")));
        }
        let kept = self.desk.0.borrow_mut().take();
        let mut reader = match kept {
            Some(reader) => reader,
            None => {
                let bytes = needed(model.config()).saturating_sub(weight_bytes(model.config()));
                self.make_room("Writing", bytes)?;
                let model = self.loaded()?;
                let (config, weights) = (model.config(), &model.checkpoint.weights);
                let device = self.engines.device();
                let chunk = if matches!(device, Device::Gpu(_)) { Chunk::GPU } else { Chunk::CPU };
                let generator = Generator::new(config, weights, PRECISION, device, bytes).await?;
                Reader { generator, bytes, chunk, prompt: Vec::new(), text: Vec::new() }
            }
        };
        // Not before: for want of memory another one may be there now.
        let place = self.desk.0.clone();
        if let Err(error) = reader.open(&call) {
            *place.borrow_mut() = Some(reader);
            return Err(error.into());
        }
        Ok(Writing {
            reader: Some(reader),
            place,
            call,
            sampler,
            unsent: Generated::default(),
            last_sent: None,
            drawn: 0,
            seconds: 0.0,
        })
    }
}

impl Reader {
    /// Goes on where the last text ends, if it is the beginning of this one; else starts with the prompt.
    fn open(&mut self, call: &Generate) -> inkling_core::Result<()> {
        let goes_on = self.prompt == call.prompt && call.given.starts_with(&self.text);
        if !goes_on || self.prompt.is_empty() {
            self.prompt.clear();
            self.text.clear();
            self.generator.start(&call.prompt)?;
            self.prompt.clone_from(&call.prompt);
        }
        Ok(())
    }
}

impl Writing {
    fn bytes(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| reader.bytes)
    }

    /// Reads or draws for some milliseconds: what there is to be sent, if it is time, and the end, if it is reached.
    pub async fn slice(&mut self) -> Result<(Option<Generated>, Option<Written>), Failure> {
        let mut reader = self.reader.take().expect("there is one until the end");
        let started = Instant::now();
        while let Some(&token) = self.call.given.get(reader.text.len()) {
            reader.generator.push(token);
            reader.text.push(token);
            if started.elapsed() >= READING {
                self.reader = Some(reader);
                return Ok((None, None));
            }
        }
        let count = reader.chunk.size.min(self.call.count - self.drawn);
        let started = Instant::now();
        // A generator that fails is not used again.
        let drawn = reader.generator.generate_with_logits(&self.call.sampling, count).await?;
        let seconds = started.elapsed().as_secs_f64();
        if count == reader.chunk.size {
            reader.chunk.took(seconds);
        }
        self.seconds += seconds;
        self.drawn += count;
        reader.text.extend_from_slice(&drawn.tokens);
        self.reader = Some(reader);
        if count > 0 {
            self.note(&drawn.tokens, &drawn.logits);
        }
        let end = self.drawn == self.call.count;
        let due = self.last_sent.is_none_or(|last| last.elapsed() >= BETWEEN_PARTS);
        let part = (end || due).then(|| {
            self.last_sent = Some(Instant::now());
            std::mem::take(&mut self.unsent)
        });
        Ok((part, end.then_some(Written { tokens: self.drawn, seconds: self.seconds })))
    }

    /// Puts tokens and what they were drawn from beside what waits to be sent.
    fn note(&mut self, tokens: &[u32], logits: &[f32]) {
        for (&token, logits) in tokens.iter().zip(logits.chunks_exact(logits.len() / tokens.len())) {
            let probabilities = self.sampler.probabilities(logits);
            self.unsent.chances.0.push(probabilities[token as usize]);
            self.unsent.entropies.0.push(entropy(&probabilities));
        }
        self.unsent.tokens.extend_from_slice(tokens);
        self.unsent.logits.0.extend_from_slice(logits);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            *self.place.borrow_mut() = Some(reader);
        }
    }
}

#[cfg(test)]
mod tests;
