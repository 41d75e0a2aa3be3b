//! `trainer eval`: how well a model predicts a text.

use clap::{Args, ValueEnum};
use inkling_core::train::Split;
use inkling_core::train::config::Protocol;
use serde_json::json;

use crate::corpus;
use crate::device::Compute;
use crate::error::Result;
use crate::evaluation::Measurement;
use crate::format;
use crate::model_source::ModelArgument;
use crate::terminal::Terminal;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  trainer eval                                   the only run in runs/, on the end of Tiny Shakespeare
  trainer eval --model runs/tiny --split train --protocol sampled
  trainer eval --model runs/mine --data poems.txt --split all --json

Splits: the first 90 % of a text are `train`, the rest is `val`; a prepared folder has its own. Protocols: `full` reads every window of the split, without \
overlap, and predicts every token but the first once; `sampled` takes 50 batches of windows from anywhere (nanoGPT's).";

/// `trainer eval`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// The text: tinyshakespeare, an https URL, a path, or a folder of `trainer data prepare`
    #[arg(long, value_name = "NAME|URL|PATH|FOLDER", default_value = corpus::DEFAULT)]
    data: String,
    /// Which part of it
    #[arg(long, value_enum, default_value_t = SplitName::Val)]
    split: SplitName,
    /// What the loss is averaged over
    #[arg(long, value_enum, default_value_t = ProtocolName::Full)]
    protocol: ProtocolName,
    /// Sequences per forward pass [default: 32, of contexts beyond 256 as many as make 8,192 tokens]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,
    #[command(flatten)]
    compute: Compute,
}

/// `--split`
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitName {
    /// The first 90 %
    Train,
    /// The last 10 %
    Val,
    /// The whole text
    All,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Val => Self::Val,
            SplitName::All => Self::All,
        }
    }
}

/// `--protocol`
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProtocolName {
    /// Every window of the split
    Full,
    /// 50 random batches
    Sampled,
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::Full => Self::Full,
            ProtocolName::Sampled => Self::Sampled,
        }
    }
}

/// Runs `trainer eval`.
pub async fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let processor = arguments.compute.find(terminal).await?;
    let loaded = arguments.model.load(terminal)?;
    let (folder, model) = (loaded.folder, loaded.checkpoint);
    let data = text::load(&arguments.data, terminal)?;
    let dataset = data.dataset(&model.tokenizer, &folder)?;
    let (split, protocol) = (Split::from(arguments.split), Protocol::from(arguments.protocol));
    let measurement = Measurement { split, protocol, batch_size: arguments.batch_size };
    measurement.check(&dataset, &model.config, &arguments.data)?;
    let name = folder.display().to_string();
    let found = measurement.run(&model, &dataset, &processor, terminal, &name).await?;

    let object = json!({
        "model": folder,
        "data": data.name(),
        "split": split.to_string(),
        "loss": found.loss,
        "perplexity": found.perplexity,
        "bits_per_char": found.bits_per_char,
        "tokens": found.tokens,
        "protocol": found.protocol,
    });
    let rows = [
        ("model", name),
        ("text", format!("{}, {split} split", data.name())),
        ("loss", format!("{:.4} nats per token", found.loss)),
        ("perplexity", format!("{:.4}", found.perplexity)),
        ("bits per char", format!("{:.4}", found.bits_per_char)),
        (
            "predicted",
            format!("{} tokens, {protocol} protocol", format::count(found.tokens), protocol = protocol_name(protocol)),
        ),
    ];
    terminal.result(&object, &format::fields(&rows))
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Full => "full",
        Protocol::Sampled => "sampled",
    }
}
