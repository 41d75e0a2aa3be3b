//! `trainer merge`: adapters and their base as one plain model.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::adapters::{Adapted, is_adapter};
use crate::error::{Error, Result};
use crate::format;
use crate::model_folder::ModelFolder;
use crate::run_folder::read;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer merge --model runs/gpt2-tuned --out merged
  trainer merge --model ADAPTER --base gpt2 --out merged     adapters that PEFT saved

The result is a folder like any other model's: sample, eval and `transformers` read it, and it evaluates exactly as the adapters do. A base \
that was kept in float16 or q4 is merged as it was kept, for that is what the adapters were trained on; adapters that PEFT saved are added to \
their base as it is.";

/// `trainer merge`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A run that trained adapters (its best ones are taken), or a folder with adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// The base: a folder or a name of the hub [default: the one that the adapters name]
    #[arg(long, value_name = "PATH|NAME")]
    base: Option<String>,
    /// The folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Replace the model that is in the folder
    #[arg(long)]
    overwrite: bool,
}

/// Runs `trainer merge`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let Arguments { model, base, out, overwrite } = arguments;
    let target = ModelFolder::open(out, *overwrite)?;
    let adapted = read::undisturbed(model, |folder| {
        if !is_adapter(folder) {
            return Err(Error::NoCheckpoint {
                path: model.clone(),
                problem: "it is a whole model, which has no adapters to merge".into(),
                hint: "use it as it is".into(),
            });
        }
        Adapted::load(folder, base.as_deref(), terminal)
    })?;
    let (of, adapters) = (base.clone().unwrap_or_else(|| adapted.config.base.clone()), adapted.adapters.len() / 2);
    let merged = adapted.merged();
    target.write(&merged.to_files()?)?;
    let parameters = merged.config.num_parameters();
    let object = json!({ "out": target.path(), "base": of, "merged": adapters, "parameters": parameters });
    let rows = [
        ("merged", format!("{adapters} adapters into {of}")),
        ("parameters", format::count(parameters)),
        ("model", target.path().display().to_string()),
    ];
    terminal.result(&object, &format::fields(&rows))
}
