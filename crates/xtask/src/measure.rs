//! `cargo xtask measure`: the runs that the page shows as recorded. They are trained where they are missing, and what came of them goes into two
//! small files.
//!
//! ```text
//! plan ──trainer train──> target/measured/NAME ──read──> web/measured/scale.json, web/measured/modern.json
//! ```
//!
//! A run that is there and finished is not trained again, one that was interrupted goes on. What a file says of runs that are not there is kept, so
//! that a few can be measured anew, or elsewhere. Apart from times the same plan gives the same files, on processors of the same kind.

mod file;
mod machine;
mod plan;
mod run_folder;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::page::corpus;
use crate::process::{capture, command_line, root, run as run_to_the_end, trainer};
use plan::{PROMPT, SEED, SEEDS, Training, Variant};
use run_folder::{Finished, Progress};

/// Where runs lie.
const RUNS: &str = "target/measured";
/// Where the page's build takes the files from.
const FILES: &str = "web/measured";
/// Tokens of a sample.
const SAMPLE: &str = "240";

/// Which runs.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these: presets (`nano`; `medium` is trained only if it is named) and variants (`rope`)
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Train them again, also those that are finished
    #[arg(long)]
    again: bool,
}

impl Arguments {
    fn asks_for(&self, name: &str) -> bool {
        self.only.iter().any(|only| only == name)
    }

    /// Names that mean nothing are a mistake of whoever typed them.
    fn check(&self) -> Result<()> {
        let names = || plan::SIZES.iter().map(|size| size.name).chain(plan::VARIANTS.iter().map(|v| v.name));
        match self.only.iter().find(|only| names().all(|name| name != **only)) {
            None => Ok(()),
            Some(only) => {
                let names: Vec<_> = names().collect();
                Err(Error::Usage(format!("no run is called {only}: there are {}", names.join(", "))))
            }
        }
    }
}

/// Trains what is missing and writes both files.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.check()?;
    corpus::ensure(false)?;
    let mut scale = Vec::new();
    for size in &plan::SIZES {
        let training = size.training();
        let wanted = if arguments.only.is_empty() { !size.on_request } else { arguments.asks_for(size.name) };
        if let Some(run) = measured(&training, wanted, arguments.again && wanted)? {
            let mut entry = described(&training, &run)?;
            entry["name"] = size.name.into();
            entry["says"] = size.says.into();
            scale.push(entry);
        }
    }
    let mut modern = Vec::new();
    for variant in &plan::VARIANTS {
        let wanted = arguments.only.is_empty() || arguments.asks_for(variant.name);
        let mut runs = Vec::new();
        for seed in SEEDS {
            let training = variant.training(seed);
            runs.extend(measured(&training, wanted, arguments.again && wanted)?.map(|run| (training, run)));
        }
        if runs.len() == SEEDS.len() {
            modern.push(compared(variant, &runs)?);
        }
    }
    let about = json!({ "text": "Tiny Shakespeare", "prompt": PROMPT, "seed": SEED });
    for (name, entries) in [("scale.json", scale), ("modern.json", modern)] {
        let path = root().join(FILES).join(name);
        let known: Vec<&str> = match name {
            "scale.json" => plan::SIZES.iter().map(|size| size.name).collect(),
            _ => plan::VARIANTS.iter().map(|variant| variant.name).collect(),
        };
        let count = file::update(&path, &about, &known, entries)?;
        println!("{FILES}/{name}: {count} entries");
    }
    Ok(())
}

/// A finished run; it is trained first if it is `wanted` and not there. `None` where it is not there and not wanted.
fn measured(training: &Training, wanted: bool, again: bool) -> Result<Option<Finished>> {
    let folder = folder(training);
    let progress = if again { Progress::None } else { run_folder::look(&folder)? };
    let how = match progress {
        Progress::Finished(run) => {
            println!("{}: there, validation loss {:.4}", training.name, run.best.val_loss);
            return Ok(Some(run));
        }
        _ if !wanted => return Ok(None),
        Progress::Begun => "--resume",
        Progress::None => "--overwrite",
    };
    println!("{}: {} {how}", training.name, training.command());
    let mut train = trainer();
    // A resumed run has its settings already.
    let settings = if how == "--resume" { &[][..] } else { &training.arguments[..] };
    train.args(["train", how, "--quiet"]).args(settings).arg("--data").arg(corpus::place()).arg("--out").arg(&folder);
    run_to_the_end(&mut train)?;
    machine::note(&folder)?;
    match run_folder::look(&folder)? {
        Progress::Finished(run) => Ok(Some(run)),
        _ => Err(Error::Output { command: command_line(&train), problem: "it ended before its last step".into() }),
    }
}

fn folder(training: &Training) -> PathBuf {
    root().join(RUNS).join(&training.name)
}

/// What `trainer inspect --json` says.
#[derive(Deserialize)]
struct Inspected {
    config: Value,
    parameters: u64,
}

/// What `trainer sample --json` says.
#[derive(Deserialize)]
struct Sampled {
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    text: String,
}

/// All that a file says of a run.
fn described(training: &Training, run: &Finished) -> Result<Value> {
    let best = folder(training).join("best");
    let mut inspect = trainer();
    inspect.args(["inspect", "--json", "--model"]).arg(&best);
    let Inspected { config, parameters } = answer(&mut inspect)?;
    let mut sample = trainer();
    sample.args(["sample", "--json", "--tokens", SAMPLE, "--prompt", PROMPT, "--seed", SEED, "--model"]).arg(&best);
    let text = answer::<Sampled>(&mut sample)?.samples.into_iter().map(|sample| sample.text).collect::<String>();
    let mut entry = run.entry();
    entry["command"] = training.command().into();
    entry["parameters"] = parameters.into();
    entry["tokens"] = run.tokens(&config)?.into();
    entry["machine"] = machine::noted(&folder(training))?.into();
    entry["sample"] = text.into();
    entry["model"] = config;
    Ok(entry)
}

/// All that a file says of a variant: its first run, and the losses of all.
fn compared(variant: &Variant, runs: &[(Training, Finished)]) -> Result<Value> {
    let (training, first) = &runs[0];
    let mut entry = described(training, first)?;
    let cached = run_folder::cache_bytes_per_token(&entry["model"]);
    let losses = SEEDS.iter().zip(runs).map(|(seed, (_, run))| {
        let mut each = run.entry();
        each["seed"] = (*seed).into();
        each
    });
    entry["runs"] = losses.collect();
    entry["kv_bytes_per_token"] = cached.into();
    entry["set"] = variant.set.into();
    for (key, text) in [("name", variant.name), ("title", variant.title), ("says", variant.says), ("why", variant.why)]
    {
        entry[key] = text.into();
    }
    // They are the first run's, and stand there.
    for key in ["best", "last", "bits_per_char", "evaluations", "seconds", "tokens_per_second"] {
        entry.as_object_mut().expect("an entry is an object").remove(key);
    }
    Ok(entry)
}

fn answer<T: serde::de::DeserializeOwned>(command: &mut std::process::Command) -> Result<T> {
    let text = capture(command)?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Output { command: command_line(command), problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_that_mean_nothing_are_refused() {
        let only = |name: &str| Arguments { only: vec![name.into()], again: false }.check();
        only("medium").unwrap();
        only("gqa").unwrap();
        let message = only("huge").unwrap_err().to_string();
        assert!(message.starts_with("no run is called huge: there are bigram, "), "{message}");
    }

    /// The files in the repository are those of this plan.
    #[test]
    fn the_files_have_the_plans_entries() {
        for (name, known, commands) in [
            (
                "scale.json",
                plan::SIZES.iter().map(|size| size.name).collect::<Vec<_>>(),
                plan::SIZES.iter().map(|size| size.training().command()).collect::<Vec<_>>(),
            ),
            (
                "modern.json",
                plan::VARIANTS.iter().map(|variant| variant.name).collect(),
                plan::VARIANTS.iter().map(|variant| variant.training(SEEDS[0]).command()).collect(),
            ),
        ] {
            let text = fs::read_to_string(root().join(FILES).join(name)).unwrap();
            let content: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(content["version"], file::VERSION);
            let entries = content["entries"].as_array().unwrap();
            assert!(!entries.is_empty());
            for entry in entries {
                let at = known.iter().position(|known| entry["name"] == *known).unwrap();
                assert_eq!(entry["command"], commands[at]);
                assert!(!text.contains("/work") && !text.contains("/home"), "a path of some machine");
            }
        }
    }
}
