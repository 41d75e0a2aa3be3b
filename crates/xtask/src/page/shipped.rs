//! `cargo xtask ship-model`: the model that comes with the page, trained anew and put into web/models with what it scored and how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{hexadecimal, sha256};
use crate::error::{Error, Result};
use crate::process::{capture, command_line, root, run as run_to_the_end, trainer};

/// The best recipe found for 0.8M parameters: 36 epochs at a high learning rate, which needs dropout and the mean of the last weights. Without dropout it
/// ends at 1.530 (1.494 at best).
const TRAIN: &[&str] = &[
    "train",
    "--preset",
    "small",
    "--steps",
    "8000",
    "--lr",
    "2e-3",
    "--set",
    "dropout=0.1",
    "ema_decay=0.999",
    "min_learning_rate=1e-5",
];

/// Where the page looks for it.
const FOLDER: &str = "web/models/shakespeare";
/// What it is called on the page.
const NAME: &str = "Shakespeare";
/// What a visitor downloads.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// Where to take the model from.
#[derive(clap::Args)]
pub struct Arguments {
    /// A run that was trained by the same command, in place of training anew (some 10 minutes)
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
}

/// What the page checks a download by, and tells of it.
#[derive(Serialize)]
struct Manifest {
    name: &'static str,
    val_loss: f64,
    command: String,
    files: BTreeMap<&'static str, Contents>,
}

#[derive(Serialize)]
struct Contents {
    bytes: usize,
    sha256: String,
}

/// What `trainer export --json` says.
#[derive(Deserialize)]
struct Exported {
    after: Measured,
}

#[derive(Deserialize)]
struct Measured {
    loss: f64,
}

/// Trains, exports in float16, writes the manifest and the evaluations of the run.
pub fn run(arguments: &Arguments) -> Result<()> {
    let trained = root().join("target/page/shakespeare-run");
    if arguments.run.is_none() {
        let mut train = trainer();
        run_to_the_end(train.args(TRAIN).arg("--overwrite").arg("--out").arg(&trained))?;
    }
    let trained = arguments.run.as_ref().unwrap_or(&trained);
    let folder = root().join(FOLDER);
    fs::remove_dir_all(&folder)
        .or_else(|problem| if folder.exists() { Err(about(&folder, problem)) } else { Ok(()) })?;
    let mut export = trainer();
    export.args(["export", "--json", "--dtype", "f16", "--model"]).arg(trained.join("best")).arg("--out").arg(&folder);
    let answer = capture(&mut export)?;
    let exported: Exported = serde_json::from_str(&answer)
        .map_err(|error| Error::Output { command: command_line(&export), problem: error.to_string() })?;
    let mut files = BTreeMap::new();
    for name in FILES {
        let bytes = fs::read(folder.join(name)).map_err(|problem| about(&folder.join(name), problem))?;
        files.insert(name, Contents { bytes: bytes.len(), sha256: hexadecimal(&sha256(&bytes)) });
    }
    let command = format!("trainer {}", TRAIN.join(" "));
    let val_loss = (exported.after.loss * 1e4).round() / 1e4;
    let manifest = Manifest { name: NAME, val_loss, command, files };
    let json = serde_json::to_string_pretty(&manifest).expect("a manifest can be written as JSON");
    let metrics = trained.join("metrics.jsonl");
    let lines = fs::read_to_string(&metrics).map_err(|problem| about(&metrics, problem))?;
    let evaluations: Vec<&str> = lines.lines().filter(|line| line.starts_with(r#"{"kind":"eval""#)).collect();
    for (name, text) in [("manifest.json", json), ("metrics.jsonl", evaluations.join("\n"))] {
        fs::write(folder.join(name), text + "\n").map_err(|problem| about(&folder.join(name), problem))?;
    }
    println!("{FOLDER}: validation loss {val_loss}");
    Ok(())
}

fn about(path: &Path, source: std::io::Error) -> Error {
    Error::File { file: path.display().to_string(), source }
}
