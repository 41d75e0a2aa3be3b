//! `trainer data prepare`: a text of any size as token shards.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use inkling_core::tokenizer::TokenizerKind;
use inkling_core::train::Split;
use inkling_core::train::dataset::VAL_SHARE;
use inkling_core::train::shards::ShardHeader;
use serde_json::json;

use crate::corpus::{self, Library};
use crate::error::Result;
use crate::format::{self, Align};
use crate::interrupt::Interrupt;
use crate::prepared::{Division, Staging, encode};
use crate::terminal::Terminal;
use crate::tokenizer_source::TokenizerArgument;

const EXAMPLES: &str = "\
Examples:
  trainer data prepare --data books.txt --out data/books
  trainer data prepare --data books.txt --tokenizer bpe --vocab 3000 --out data/books
  trainer data prepare --data books.txt --tokenizer runs/tiny --out data/books
  trainer data prepare --data books.txt --out data/books --shard-tokens 10000000 --val-share 0.01
  trainer train --data data/books                what to do with it
  trainer eval --data data/books

The text is read in pieces of a mebibyte and encoded on all cores; neither it nor its tokens are ever in memory as a whole, here \
or in training, so that a text may be of any size. The folder gets tokenizer.json and shards of 2 bytes per token (4 for more than \
65,536 entries); while it is written, the disk holds the tokens twice. It appears when it is complete. Training on it gives the same \
run, bit for bit, as training on the text.";

/// Tokens of a shard: 200 MB.
const SHARD_TOKENS: u64 = 100_000_000;

/// `trainer data prepare`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The text: tinyshakespeare, an https URL or a path
    #[arg(long, value_name = "NAME|URL|PATH", default_value = corpus::DEFAULT)]
    data: String,
    #[command(flatten)]
    tokenizer: TokenizerArgument,
    /// The folder to make
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Tokens of a shard
    #[arg(long, value_name = "N", default_value_t = SHARD_TOKENS, value_parser = clap::value_parser!(u64).range(1..))]
    shard_tokens: u64,
    /// Share of the text, its end, that is kept to validate on
    #[arg(long, value_name = "X", default_value_t = VAL_SHARE, value_parser = share)]
    val_share: f64,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("it must be a number between 0 and 1".into()),
    }
}

/// Runs `trainer data prepare`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let source = arguments.tokenizer.source(TokenizerKind::Char)?;
    let staging = Staging::begin(&arguments.out)?;
    let interrupt = Interrupt::install()?;
    let text = Library::from_environment(terminal)?.locate(&arguments.data)?;
    let started = Instant::now();
    let tokenizer = source.of_file(&text, arguments.val_share, || interrupt.check(), terminal)?;
    let mut encoded = encode(&text, &tokenizer, staging.path(), terminal, &interrupt)?;
    let division = Division { shard_tokens: arguments.shard_tokens, val_share: arguments.val_share };
    let shards = staging.write(&text.name, &mut encoded, &tokenizer, division, terminal, &interrupt)?;
    staging.finish()?;
    let seconds = started.elapsed().as_secs_f64();

    let tokens_per_s = encoded.tokens as f64 / seconds;
    let parts = [Split::Train, Split::Val].map(|split| Part::of(split, &shards));
    let identity = &shards[0].tokenizer;
    let object = json!({
        "out": arguments.out,
        "name": text.name,
        "text_bytes": encoded.text_bytes,
        "text_sha256": encoded.text_sha256,
        "tokenizer": identity,
        "vocab_size": tokenizer.vocab_size(),
        "train": parts[0],
        "val": parts[1],
        "elapsed_s": seconds,
        "tokens_per_s": tokens_per_s,
    });
    let columns = [
        ("split", Align::Left),
        ("tokens", Align::Right),
        ("characters", Align::Right),
        ("shards", Align::Right),
        ("size", Align::Right),
    ];
    let rows = parts.map(|part| {
        let Part { split, tokens, characters, shards, bytes } = part;
        vec![
            split.to_string(),
            format::count(tokens),
            format::count(characters),
            format::count(shards),
            format::bytes(bytes),
        ]
    });
    let fields = [
        ("text", format!("{}, {}", text.name, format::bytes(encoded.text_bytes))),
        ("tokenizer", format!("{identity}, {} entries", format::count(tokenizer.vocab_size() as u64))),
        ("time", format!("{}, {} tokens/s", format::seconds(seconds), format::count(tokens_per_s as u64))),
        ("folder", arguments.out.display().to_string()),
    ];
    terminal.result(&object, &format!("{}\n{}", format::table(&columns, &rows), format::fields(&fields)))
}

/// What became of a split.
#[derive(serde::Serialize)]
struct Part {
    #[serde(skip)]
    split: Split,
    tokens: u64,
    characters: u64,
    shards: u64,
    bytes: u64,
}

impl Part {
    fn of(split: Split, shards: &[ShardHeader]) -> Self {
        let shards: Vec<&ShardHeader> = shards.iter().filter(|shard| shard.split == split).collect();
        Self {
            split,
            tokens: shards.iter().map(|shard| shard.tokens).sum(),
            characters: shards.iter().map(|shard| shard.characters).sum(),
            shards: shards.len() as u64,
            bytes: shards.iter().map(|shard| shard.tokens * shard.dtype.bytes() as u64).sum(),
        }
    }
}
