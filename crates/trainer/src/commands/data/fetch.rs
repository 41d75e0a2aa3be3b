//! `trainer data fetch`: gets a corpus ready, so that later commands need no network.

use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::corpus::{self, Freshness, Library, Source};
use crate::error::Result;
use crate::format;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer data fetch
  trainer data fetch --data https://example.org/poems.txt
  trainer data fetch --data https://example.org/poems.txt --refresh
  trainer data fetch --json

tinyshakespeare comes from its public home (the char-rnn repository), or out of the package femto-gpt in cargo's \
registry where that is all that can be reached. Its SHA-256 is checked either way.

Environment:
  INKLING_CACHE  the cache folder (default: the user's cache folder for inkling)
  CARGO          the cargo program (default: cargo)
  ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY";

/// `trainer data fetch`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A name (tinyshakespeare), an https URL, or the path of a text file to check
    #[arg(long, value_name = "NAME|URL|PATH", default_value = corpus::DEFAULT)]
    data: String,
    /// Fetch it again even if it is in the cache
    #[arg(long)]
    refresh: bool,
}

/// Runs `trainer data fetch`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let started = Instant::now();
    let freshness = if arguments.refresh { Freshness::FetchAgain } else { Freshness::CachedWillDo };
    let corpus = Library::from_environment(terminal)?.load(&arguments.data, freshness)?;
    let how = match corpus.source {
        Source::File => "a local file",
        Source::Cache => "in the cache already",
        Source::Download => "downloaded",
        Source::CargoPackage => "out of cargo's registry",
    };
    let text = format!(
        "{}: {} bytes, {how} ({})\n  {}\n  SHA-256 {}\n",
        corpus.name,
        format::count(corpus.text.len() as u64),
        format::duration(started.elapsed()),
        corpus.path.display(),
        corpus.sha256,
    );
    let object = json!({
        "name": corpus.name,
        "path": corpus.path.to_string_lossy(),
        "bytes": corpus.text.len(),
        "sha256": corpus.sha256,
        "source": corpus.source,
    });
    terminal.result(&object, &text)
}
