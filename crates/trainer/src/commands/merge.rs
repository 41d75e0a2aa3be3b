//! `trainer merge`: adapters and their base as one plain model.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::adapters::{Adapted, is_adapter};
use crate::error::{Error, Result};
use crate::format;
use crate::run_folder::read;
use crate::run_folder::replace::{self, Disk};
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer merge --model runs/gpt2-tuned --out merged
  trainer merge --model ADAPTER --base gpt2 --out merged     adapters that PEFT saved

The result is a folder like any other model's: sample, eval and `transformers` read it, and it evaluates exactly as the adapters do. A base \
that was kept in float16 or q4 is merged as it was kept, for that is what the adapters were trained on.";

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
    /// The folder to write, which must not exist
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// Runs `trainer merge`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let Arguments { model, base, out } = arguments;
    refuse_existing(out)?;
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
    let files = merged.to_files()?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
    refuse_existing(out)?;
    replace::replace(&Disk, out, &files)?;
    let parameters = merged.config.num_parameters();
    let object = json!({ "out": out, "base": of, "merged": adapters, "parameters": parameters });
    let rows = [
        ("merged", format!("{adapters} adapters into {of}")),
        ("parameters", format::count(parameters)),
        ("model", out.display().to_string()),
    ];
    terminal.result(&object, &format::fields(&rows))
}

fn refuse_existing(out: &Path) -> Result<()> {
    match out.symlink_metadata() {
        Ok(_) => Err(Error::OutExists { path: out.into() }),
        Err(_) => Ok(()),
    }
}
