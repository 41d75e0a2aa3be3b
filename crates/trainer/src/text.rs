//! The data that a command works on: a text, or one that was prepared as token shards.

use std::path::Path;

use inkling_core::Error as Core;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::{Dataset, Split};

use crate::corpus::{self, Corpus, Freshness, Library};
use crate::error::{Error, Result};
use crate::format;
use crate::prepared::{self, Prepared};
use crate::terminal::Terminal;
use crate::tokenizer_source::TokenizerSource;

/// What `--data` stands for.
#[derive(Debug)]
pub struct Data {
    /// The argument's value.
    given: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A text, in memory.
    Text(Corpus),
    /// A folder of shards, mapped.
    Prepared(Box<Prepared>),
}

/// Loads what `--data` stands for; a text that was fetched before is taken from the cache.
pub fn load(data: &str, terminal: &Terminal) -> Result<Data> {
    let path = Path::new(data);
    let content = if data != corpus::DEFAULT && path.is_dir() {
        Content::Prepared(Box::new(Prepared::open(path, terminal)?))
    } else {
        Content::Text(Library::from_environment(terminal)?.load(data, Freshness::CachedWillDo)?)
    };
    Ok(Data { given: data.into(), content })
}

impl Data {
    /// Short, for titles and reports.
    pub fn name(&self) -> &str {
        match &self.content {
            Content::Text(corpus) => &corpus.name,
            Content::Prepared(prepared) => &prepared.name,
        }
    }

    /// SHA-256 of the text.
    pub fn sha256(&self) -> &str {
        match &self.content {
            Content::Text(corpus) => &corpus.sha256,
            Content::Prepared(prepared) => &prepared.text_sha256,
        }
    }

    /// What it was loaded as, in words that mean the same in every working directory.
    pub fn address(&self) -> String {
        match &self.content {
            Content::Text(corpus) => corpus.address(&self.given),
            Content::Prepared(prepared) => corpus::absolute(&prepared.path).unwrap_or_else(|| self.given.clone()),
        }
    }

    /// The tokenizer that a model of this data gets: the one that was asked for, or what its shards were made with.
    ///
    /// # Errors
    /// [`Error::Setting`] where one was asked for beside shards; those of [`TokenizerSource::of_text`].
    pub fn tokenizer(&self, source: &TokenizerSource, terminal: &Terminal) -> Result<Tokenizer> {
        match (&self.content, source.given()) {
            (Content::Text(corpus), _) => source.of_text(&corpus.text, terminal),
            (Content::Prepared(prepared), None) => Ok(prepared.tokenizer.clone()),
            (Content::Prepared(prepared), Some(option)) => Err(Error::Setting {
                key: option.into(),
                problem: format!("{} was prepared with a tokenizer of its own", prepared.path.display()),
                hint: "leave it out, or give it to `trainer data prepare`".into(),
            }),
        }
    }

    /// The tokens of a model's own tokenizer; `model` is what errors call it.
    ///
    /// # Errors
    /// [`Error::ForeignText`] names a character that the vocabulary lacks, [`Error::ForeignShards`] the tokenizers.
    pub fn dataset(&self, tokenizer: &Tokenizer, model: &Path) -> Result<Dataset> {
        match &self.content {
            Content::Text(corpus) => {
                let tokens = tokenizer.encode(&corpus.text).map_err(|problem| match problem {
                    Core::Tokenizer(_) => {
                        let (model, origin) = (model.into(), self.given.clone());
                        Error::ForeignText { model, origin, problem: Box::new(problem) }
                    }
                    other => other.into(),
                })?;
                Ok(Dataset::new(tokens, &tokenizer.characters())?)
            }
            Content::Prepared(prepared) if prepared.tokenizer == *tokenizer => Ok(prepared.dataset.clone()),
            Content::Prepared(prepared) => Err(Error::ForeignShards {
                model: model.into(),
                expected: prepared::identity(tokenizer).to_string(),
                folder: prepared.path.clone(),
                found: prepared.identity.to_string(),
            }),
        }
    }

    /// One line about what there is to learn from.
    pub fn describe(&self, dataset: &Dataset, tokenizer: &Tokenizer) -> String {
        let tokens = |split| format::count(dataset.split(split).len());
        format!(
            "{}: {} tokens to learn from, {} to validate on, {} vocabulary of {}",
            self.name(),
            tokens(Split::Train),
            tokens(Split::Val),
            tokenizer.kind().name(),
            format::count(tokenizer.vocab_size() as u64)
        )
    }
}
