//! The text that a command works on, as tokens.

use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::Dataset;

use crate::corpus::{Corpus, Freshness, Library};
use crate::error::Result;
use crate::terminal::Terminal;

/// Loads what `--data` stands for; a text that was fetched before is taken from the cache.
pub fn load(data: &str, terminal: &Terminal) -> Result<Corpus> {
    Library::from_environment(terminal)?.load(data, Freshness::CachedWillDo)
}

/// A text in a vocabulary; the error names a character that it lacks.
pub fn dataset(corpus: &Corpus, tokenizer: &Tokenizer) -> inkling_core::Result<Dataset> {
    let tokens = tokenizer.encode(&corpus.text)?;
    Dataset::new(tokens, &tokenizer.characters())
}
