//! `trainer export`: a model to hand on, its weights in another format, and what that costs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use inkling_core::checkpoint::{Checkpoint, MODEL_FILE, WeightFormat};
use inkling_core::train::config::Protocol;
use inkling_core::train::{Evaluation, Split};
use serde_json::json;

use crate::device::Compute;
use crate::error::Result;
use crate::evaluation::Measurement;
use crate::format::{self, Align};
use crate::model_folder::ModelFolder;
use crate::model_source::{self, ModelArgument};
use crate::terminal::Terminal;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  trainer export --dtype q8 --out models/tiny-q8               from the only run in runs/
  trainer export --model runs/tiny --dtype q4 --out models/tiny-q4 --data tinyshakespeare
  trainer export --model gpt2 --dtype bf16 --out models/gpt2-bf16 --json

The folder has config.json, model.safetensors, tokenizer.json and tokenizer_config.json, and not the state of a training run. Every \
command that takes --model reads it. Folders of f32, f16 and bf16 open in `transformers` too, where the architecture is one of its own; \
q8 and q4 are Inkling's, and `transformers` refuses them.

The loss is measured before and after, as `trainer eval` does on the validation split: of the text that a run was trained on, or of --data.";

/// `trainer export`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// How to store the weights
    #[arg(long, value_enum)]
    dtype: DtypeName,
    /// The folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Replace the model that is in the folder
    #[arg(long)]
    overwrite: bool,
    /// A text to measure the loss on: tinyshakespeare, an https URL, a path, or a folder of `trainer data prepare` [default: the run's
    /// own]
    #[arg(long, value_name = "NAME|URL|PATH|FOLDER")]
    data: Option<String>,
    #[command(flatten)]
    compute: Compute,
}

/// `--dtype`
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DtypeName {
    /// Float32, as they were trained
    F32,
    /// Float16: half the size, 11 bits of precision, up to 65,504
    F16,
    /// Bfloat16: half the size, 8 bits of precision, any size of number
    Bf16,
    /// 8 bits a weight: a quarter of the size
    Q8,
    /// 4 bits a weight: about a seventh of the size
    Q4,
}

impl From<DtypeName> for WeightFormat {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Self::F32,
            DtypeName::F16 => Self::F16,
            DtypeName::Bf16 => Self::Bf16,
            DtypeName::Q8 => Self::Q8,
            DtypeName::Q4 => Self::Q4,
        }
    }
}

/// A model before or after.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// Of its weights' files.
    bytes: u64,
    evaluation: Option<Evaluation>,
}

/// Runs `trainer export`.
pub async fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let target = ModelFolder::open(&arguments.out, arguments.overwrite)?;
    let loaded = arguments.model.load(terminal)?;
    let (source, model) = (loaded.folder, loaded.checkpoint);
    let format = WeightFormat::from(arguments.dtype);
    let files = model.to_files_as(format)?;
    let size_of = |name: &str| files.iter().find(|(file, _)| file == name).map_or(0, |(_, bytes)| bytes.len() as u64);
    let mut before = Side { bytes: loaded.weight_bytes, evaluation: None };
    let mut after = Side { bytes: size_of(MODEL_FILE), evaluation: None };
    let data = arguments.data.clone().or_else(|| model_source::own_text(&source));
    if let Some(origin) = &data {
        let processor = arguments.compute.find(terminal).await?;
        let dataset = text::load(origin, terminal)?.dataset(&model.tokenizer, &source)?;
        let measurement = Measurement { split: Split::Val, protocol: Protocol::Full, batch_size: None };
        measurement.check(&dataset, &model.config, origin)?;
        // What a reader will make of the files, not what they were made of.
        let read = |name: &str| Ok(files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone()));
        let stored = Checkpoint::model_from_files(read)?;
        for (side, model, name) in
            [(&mut before, &model, source.display().to_string()), (&mut after, &stored, format.name().into())]
        {
            side.evaluation = Some(measurement.run(model, &dataset, &processor, terminal, &name).await?);
        }
    }
    target.write(&files)?;

    let side = |side: &Side| {
        let found = side.evaluation;
        json!({
            "weight_bytes": side.bytes,
            "loss": found.map(|found| found.loss),
            "bits_per_char": found.map(|found| found.bits_per_char),
        })
    };
    let object = json!({
        "model": source,
        "out": target.path(),
        "dtype": format.name(),
        "parameters": model.config.num_parameters(),
        "files": files.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes.len() })).collect::<Vec<_>>(),
        "data": data,
        "before": side(&before),
        "after": side(&after),
    });
    let unmeasured = if data.is_none() {
        "\nThe loss was not measured: no run says which text, name one with --data.\n"
    } else {
        ""
    };
    let table = comparison(&before, &after);
    let text = format!("{}: {}\n\n{table}{unmeasured}", target.path().display(), format.name());
    terminal.result(&object, &text)
}

/// Sizes and losses side by side.
fn comparison(before: &Side, after: &Side) -> String {
    let columns = [("", Align::Left), ("before", Align::Right), ("after", Align::Right), ("change", Align::Right)];
    let change = 100.0 * (after.bytes as f64 / before.bytes.max(1) as f64 - 1.0);
    let mut rows = vec![vec![
        "weights".into(),
        format::bytes(before.bytes),
        format::bytes(after.bytes),
        format!("{change:+.1} %"),
    ]];
    if let (Some(before), Some(after)) = (before.evaluation, after.evaluation) {
        let row = |name: &str, before: f64, after: f64| {
            vec![name.into(), format!("{before:.4}"), format!("{after:.4}"), format!("{:+.4}", after - before)]
        };
        rows.push(row("loss, nats per token", before.loss, after.loss));
        rows.push(row("bits per char", before.bits_per_char, after.bits_per_char));
    }
    format::table(&columns, &rows)
}
