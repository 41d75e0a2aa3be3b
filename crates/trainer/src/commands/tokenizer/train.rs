//! `trainer tokenizer train`: a tokenizer from a text.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use inkling_core::tokenizer::TokenizerKind;
use inkling_core::train::dataset::VAL_SHARE;
use serde_json::json;

use crate::atomic_file;
use crate::corpus::{self, Library};
use crate::error::{Error, Result};
use crate::format;
use crate::terminal::Terminal;
use crate::tokenizer_source::{DEFAULT_MIN_FREQUENCY, DEFAULT_VOCAB, TokenizerSource};

const EXAMPLES: &str = "\
Examples:
  trainer tokenizer train --vocab 3000
  trainer tokenizer train --data stories.txt --vocab 3000 --out stories.json
  trainer train --tokenizer tokenizer.json       what to do with it
  trainer tokenizer train --kind char

Byte pairs are learnt from the first 90 % of the text, which is what a model is trained on, so that this gives the tokenizer of `trainer \
train --tokenizer bpe`. Where the text has <|endoftext|>, it becomes a token. The merges are those of Hugging Face's BpeTrainer, and \
the file loads in `tokenizers` and `transformers`. The text may be of any size: memory grows with the number of its different words.";

/// `trainer tokenizer train`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What to learn
    #[arg(long, value_enum, default_value_t = KindName::Bpe)]
    kind: KindName,
    /// Tokens of a bpe vocabulary, at least 257 [default: 1024]
    #[arg(long, value_name = "N")]
    vocab: Option<usize>,
    /// Merge only pairs that occur so often
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MIN_FREQUENCY)]
    min_frequency: u64,
    /// The text: tinyshakespeare, an https URL or a path
    #[arg(long, value_name = "NAME|URL|PATH", default_value = corpus::DEFAULT)]
    data: String,
    /// The file to write
    #[arg(long, value_name = "PATH", default_value = "tokenizer.json")]
    out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    overwrite: bool,
}

/// `--kind`
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    /// A token per character of the text
    Char,
    /// A token per byte
    Byte,
    /// Byte pair encoding, as GPT-2's
    Bpe,
}

impl Arguments {
    fn kind(&self) -> Result<TokenizerKind> {
        let kind = match self.kind {
            KindName::Char => TokenizerKind::Char,
            KindName::Byte => TokenizerKind::Byte,
            KindName::Bpe => return Ok(TokenizerKind::Bpe { vocab_size: self.vocab.unwrap_or(DEFAULT_VOCAB) }),
        };
        match self.vocab {
            None => Ok(kind),
            Some(_) => Err(Error::Setting {
                key: "--vocab".into(),
                problem: format!("the size of a {} vocabulary cannot be chosen", kind.name()),
                hint: "leave it out, or learn byte pairs with --kind bpe".into(),
            }),
        }
    }
}

/// Runs `trainer tokenizer train`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let source = TokenizerSource::learn(arguments.kind()?, arguments.min_frequency)?;
    if arguments.out.exists() && !arguments.overwrite {
        return Err(Error::Setting {
            key: "--out".into(),
            problem: format!("{} is there already", arguments.out.display()),
            hint: "name another file, or replace it with --overwrite".into(),
        });
    }
    let text = Library::from_environment(terminal)?.locate(&arguments.data)?;
    let started = Instant::now();
    let tokenizer = source.of_file(&text, VAL_SHARE, || Ok(()), terminal)?;
    let elapsed = started.elapsed();
    atomic_file::write(&arguments.out, &tokenizer.to_json())?;
    let name = tokenizer.kind().name();
    let object = json!({
        "out": arguments.out,
        "kind": name,
        "vocab_size": tokenizer.vocab_size(),
        "data": text.name,
        "seconds": elapsed.as_secs_f64(),
    });
    let rows = [
        ("tokenizer", format!("{name}, {} tokens", format::count(tokenizer.vocab_size() as u64))),
        ("text", text.name.clone()),
        ("time", format::duration(elapsed)),
        ("file", arguments.out.display().to_string()),
    ];
    terminal.result(&object, &format::fields(&rows))
}
