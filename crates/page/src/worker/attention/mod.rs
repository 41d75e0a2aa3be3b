//! A forward pass over a text, and what its heads did.
//!
//! Attention weights are what the recorded program leaves in `h.{layer}.attn.probs`. Scores `q · k` it never has in one place: they are one more
//! product, of the queries and keys that it attended with.

mod experiment;
mod reader;
mod summary;
#[cfg(test)]
mod tests;

use inkling_core::Architecture;

use self::reader::Reader;
use self::summary::{Keys, Kind, Summary};
use super::Workshop;
use crate::protocol::attention::{Experiment, Head, HeadView, Inspect, Inspected};
use crate::protocol::{Failure, Values};

/// Keeps the programs of whole texts, with a mask and without, and the last pass of each.
#[derive(Default)]
pub struct Inspector {
    readers: Vec<Reader>,
    /// Found last, without a mask and with one: for so many tokens, how many can be read.
    longest: [Option<(usize, usize)>; 2],
}

impl Inspector {
    /// Bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.readers.iter().map(Reader::bytes).sum()
    }
}

/// A text as it is read: so many tokens are left out at the front.
struct Read {
    skipped: usize,
    tokens: Vec<u32>,
}

impl Workshop {
    pub(super) async fn inspect(&mut self, call: Inspect) -> Result<Inspected, Failure> {
        let (reader, Read { skipped, tokens }) = self.read(&call).await?;
        let [losses, logits] = reader.results(tokens.len()).await?;
        let model = self.loaded()?;
        let config = model.config();
        let tokenizer = &model.checkpoint.tokenizer;
        let keys = Keys::new(&tokens, |id| Kind::of(&tokenizer.token_bytes(id).unwrap_or_default()));
        let mut summary = Summary::new(tokens.len());
        for layer in 0..config.n_layer {
            let probs = reader.weights(layer).await?;
            for head in probs.chunks_exact(reader.context() * reader.context()).take(config.n_head) {
                summary.add(head, reader.context(), &keys);
            }
        }
        self.inspector.readers.push(reader);
        let Summary { size, thumbnails, patterns, entropies, .. } = summary;
        Ok(Inspected {
            experiment: call.experiment,
            skipped,
            tokens,
            losses: Values(losses),
            logits: Values(logits),
            thumbnails: Values(thumbnails),
            thumbnail_size: size,
            patterns: Values(patterns),
            chance: Values(keys.chance()),
            entropies: Values(entropies),
        })
    }

    pub(super) async fn head(&mut self, call: Head) -> Result<HeadView, Failure> {
        let Head { inspect, layer, head } = call;
        let (reader, Read { skipped, tokens }) = self.read(&inspect).await?;
        let config = self.loaded()?.config().clone();
        if layer >= config.n_layer || head >= config.n_head {
            self.inspector.readers.push(reader);
            return Err(experiment::no_such_head(&config, layer, head));
        }
        let scores = reader.scores(&config, layer, head, tokens.len()).await?;
        let weights = reader.head_weights(layer, head, tokens.len()).await?;
        self.inspector.readers.push(reader);
        let root = (config.head_dim() as f32).sqrt();
        let Experiment { unscaled, unmasked, .. } = inspect.experiment;
        // Without scale, the queries of the program are √D times too large: see `experiment`.
        let scores = if unscaled { scores.into_iter().map(|score| score / root).collect() } else { scores };
        Ok(HeadView {
            layer,
            head,
            heads: config.n_head,
            skipped,
            tokens,
            head_dim: config.head_dim(),
            factor: if unscaled { 1.0 } else { 1.0 / root },
            causal: !unmasked,
            window: config.sliding_window,
            scores: Values(scores),
            weights: Values(weights),
        })
    }

    /// A program that has read the text. It is taken out of the inspector and to be put back: one that failed is not used again.
    async fn read(&mut self, call: &Inspect) -> Result<(Reader, Read), Failure> {
        let open = call.experiment.unmasked;
        let config = &self.loaded()?.config().clone();
        if config.architecture == Architecture::Bigram {
            return Err(Failure::input("This model is a bigram: it looks at one token only and has no attention."));
        }
        experiment::check(config, &call.experiment)?;
        if call.tokens.is_empty() {
            return Err(Failure::input("The text is empty: there is nobody to look at anybody."));
        }
        if call.tokens.iter().any(|&id| id as usize >= config.vocab_size) {
            return Err(Failure::input("The text's tokens are of another model's vocabulary."));
        }
        let most = match self.inspector.longest[usize::from(open)] {
            Some((n, most)) if n == call.tokens.len() => most,
            // Recorded to see what it takes, which is too much to do for every head of one text.
            _ => reader::longest(config, call.tokens.len(), open)?,
        };
        self.inspector.longest[usize::from(open)] = Some((call.tokens.len(), most));
        let skipped = call.tokens.len().saturating_sub(most);
        let tokens = call.tokens[skipped..].to_vec();
        let context = reader::recorded_length(tokens.len(), most, open);
        // Of each kind there is one: the earlier is not kept beside a new one.
        let found = self.inspector.readers.iter().position(|reader| reader.is_open() == open);
        let earlier = found.map(|at| self.inspector.readers.swap_remove(at));
        let mut reader = match earlier.filter(|reader| reader.context() == context) {
            Some(reader) => reader,
            None => {
                let recorded = reader::record(config, context, open)?;
                self.make_room("Reading this text", recorded.0.memory_bytes())?;
                Reader::load(self.engines.device(), self.loaded()?, recorded, open).await?
            }
        };
        reader.read(self.loaded()?, &tokens, &call.experiment);
        Ok((reader, Read { skipped, tokens }))
    }
}
