//! `trainer eval`: how well a model predicts a text.

use clap::{Args, ValueEnum};
use inkling_core::Error as Core;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Training};
use inkling_core::train::config::{Protocol, TrainConfig};
use inkling_core::train::{Evaluator, Split};
use serde_json::json;

use crate::corpus;
use crate::device::Compute;
use crate::error::{Error, Result};
use crate::format;
use crate::model_source::ModelArgument;
use crate::terminal::Terminal;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  trainer eval                                   the only run in runs/, on the end of Tiny Shakespeare
  trainer eval --model runs/tiny --split train --protocol sampled
  trainer eval --model runs/mine --data poems.txt --split all --json

Splits: the first 90 % of a text are `train`, the rest is `val`. Protocols: `full` reads every window of the split, without \
overlap, and predicts every token but the first once; `sampled` takes 50 batches of windows from anywhere (nanoGPT's).";

/// `trainer eval`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// The text: tinyshakespeare, an https URL or a path
    #[arg(long, value_name = "NAME|URL|PATH", default_value = corpus::DEFAULT)]
    data: String,
    /// Which part of it
    #[arg(long, value_enum, default_value_t = SplitName::Val)]
    split: SplitName,
    /// What the loss is averaged over
    #[arg(long, value_enum, default_value_t = ProtocolName::Full)]
    protocol: ProtocolName,
    /// Sequences per forward pass
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
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
    let corpus = text::load(&arguments.data, terminal)?;
    let dataset = text::dataset(&corpus, &model.tokenizer).map_err(|problem| match problem {
        Core::Tokenizer(_) => {
            let (model, origin) = (folder.clone(), arguments.data.clone());
            Error::ForeignText { model, origin, problem: Box::new(problem) }
        }
        other => other.into(),
    })?;
    let split = Split::from(arguments.split);
    let (have, context) = (dataset.split(split).len(), model.config.n_positions);
    let protocol = Protocol::from(arguments.protocol);
    let need = match protocol {
        Protocol::Full => 2,
        Protocol::Sampled => context as u64 + 1,
    };
    if have < need {
        return Err(Error::Data {
            origin: arguments.data.clone(),
            problem: format!("its {split} split has {have} tokens and this evaluation needs {need}"),
            hint: "use a longer text, --split all or --protocol full".into(),
        });
    }

    let recording = Recording {
        batch: arguments.batch_size as usize,
        context,
        training: Training::No,
        probs: Probs::Skip,
        activations: DType::F32,
        recompute: false,
    };
    let (program, graph) = recording.record(&model.config)?;
    program.check_memory(processor.tensor_memory())?;
    let mut engine = processor.device().load(program).await?;
    processor.keep_tuning(terminal);
    engine.load(Field::Value, &model.weights)?;
    let TrainConfig { eval_batches: batches, seed, .. } = TrainConfig::default();
    let spinner = terminal.spinner(&format!("evaluating {}", folder.display()));
    let found = Evaluator { graph, protocol, batches, seed }.run(&mut engine, &dataset, split).await?;
    spinner.finish_and_clear();
    for (what, value) in [("loss", found.loss), ("perplexity", found.perplexity)] {
        if !value.is_finite() {
            return Err(Error::NotFinite { what, value });
        }
    }

    let object = json!({
        "model": folder,
        "data": corpus.name,
        "split": split.to_string(),
        "loss": found.loss,
        "perplexity": found.perplexity,
        "bits_per_char": found.bits_per_char,
        "tokens": found.tokens,
        "protocol": found.protocol,
    });
    let rows = [
        ("model", folder.display().to_string()),
        ("text", format!("{}, {split} split", corpus.name)),
        ("loss", format!("{:.4} nats per token", found.loss)),
        ("perplexity", format!("{:.4}", found.perplexity)),
        ("bits per char", format!("{:.4}", found.bits_per_char)),
        (
            "predicted",
            format!("{} tokens, {protocol} protocol", format::count(found.tokens), protocol = name(protocol)),
        ),
    ];
    terminal.result(&object, &format::fields(&rows))
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Full => "full",
        Protocol::Sampled => "sampled",
    }
}
