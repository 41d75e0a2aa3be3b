//! `trainer model fetch`: gets a model of the hub ready, so that later commands need no network.

use std::time::Instant;

use clap::{Args, Subcommand};
use inkling_core::checkpoint;
use serde_json::json;

use crate::corpus::Freshness;
use crate::error::{Error, Result};
use crate::format;
use crate::hub::{Hub, ModelName};
use crate::run_folder::read;
use crate::terminal::Terminal;
use crate::training::report::describe_model;

/// `trainer model …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch a model of the Hugging Face hub into the cache and verify it
    Fetch(Fetch),
}

const EXAMPLES: &str = "\
Examples:
  trainer model fetch gpt2
  trainer model fetch distilgpt2 --refresh
  trainer model fetch HuggingFaceTB/SmolLM-135M
  trainer model fetch ORG/NAME@REVISION --json
  trainer sample --model gpt2                      fetches it too, the first time

Models of the families gpt2, llama, mistral and qwen3 with weights as safetensors and a tokenizer.json are understood. A download that \
was cut goes on where it ended; large files must have the SHA-256 that the hub states.

Environment:
  HF_ENDPOINT    the hub's address (default: https://huggingface.co)
  HF_TOKEN       sent to that host alone, for models that are private or gated
  INKLING_CACHE  the cache folder (default: the user's cache folder for inkling)
  ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY";

/// `trainer model fetch`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Fetch {
    /// gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 or ORG/NAME, with @REVISION for another than main
    name: String,
    /// Ask whether there is a newer one even if it is in the cache
    #[arg(long)]
    refresh: bool,
}

/// Runs `trainer model …`.
pub fn run(command: &Command, terminal: &Terminal) -> Result<()> {
    let Command::Fetch(arguments) = command;
    let started = Instant::now();
    let name = ModelName::parse(&arguments.name).ok_or_else(|| Error::Setting {
        key: "NAME".into(),
        problem: format!("{} is no name of a model", arguments.name),
        hint: "names are ORG/NAME or ORG/NAME@REVISION, such as openai-community/gpt2, or short ones such as gpt2"
            .into(),
    })?;
    let freshness = if arguments.refresh { Freshness::FetchAgain } else { Freshness::CachedWillDo };
    let fetched = Hub::from_environment(terminal)?.fetch(&name, freshness)?;
    let snapshot = &fetched.snapshot;
    let config = checkpoint::read_config(|file| {
        let failed = |error: Error| inkling_core::Error::Checkpoint { file: file.into(), problem: error.to_string() };
        read::file(&snapshot.folder, file).map_err(failed)
    })?;
    let bytes: u64 = snapshot.files().values().map(|file| file.bytes).sum();
    let how = if fetched.was_cached { "in the cache already" } else { "downloaded and verified" };
    let text = format!(
        "{}: {}\n  {} files, {}, {how} ({})\n  commit {}\n  {}\n",
        name.repository,
        describe_model(&config),
        snapshot.files().len(),
        format::bytes(bytes),
        format::duration(started.elapsed()),
        snapshot.commit,
        snapshot.folder.display(),
    );
    let object = json!({
        "name": name.repository,
        "revision": name.revision,
        "commit": snapshot.commit,
        "path": snapshot.folder.to_string_lossy(),
        "bytes": bytes,
        "files": snapshot.files(),
        "parameters": config.num_parameters(),
        "cached": fetched.was_cached,
    });
    terminal.result(&object, &text)
}
