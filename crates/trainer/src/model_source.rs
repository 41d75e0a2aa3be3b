//! `--model` and `--from`: a checkpoint folder, a run folder (its best checkpoint), or a model of the Hugging Face hub by its name.

use std::path::{Path, PathBuf};

use clap::Args;
use inkling_core::Error as Core;
use inkling_core::checkpoint::{Checkpoint, STATE_FILE};
use inkling_core::train::RunState;

use crate::adapters::{Adapted, is_adapter};
use crate::corpus::Freshness;
use crate::error::{Error, Result};
use crate::format::{self, command_line};
use crate::hub::{Hub, ModelName};
use crate::run_folder::{Slot, read};
use crate::terminal::Terminal;

/// Where runs are written by default.
pub const RUNS: &str = "runs";

/// The option of commands that work on a trained model.
#[derive(Clone, Debug, Args)]
pub struct ModelArgument {
    /// A run folder (its best checkpoint is taken), a folder with config.json, model.safetensors and tokenizer.json, or a model
    /// of the Hugging Face hub (gpt2, distilgpt2, ORG/NAME), which is fetched once
    /// [default: the run in runs/ if there is only one]
    #[arg(long, value_name = "PATH|NAME")]
    model: Option<String>,
}

/// A model from disk.
#[derive(Debug)]
pub struct LoadedModel {
    /// The checkpoint folder.
    pub folder: PathBuf,
    /// The model, without the state of its training.
    pub checkpoint: Checkpoint,
    /// Whether it was put together of adapters and their base.
    pub adapted: bool,
    /// Bytes of the files that its weights are in, those of adapters and their base together.
    pub weight_bytes: u64,
}

impl ModelArgument {
    /// Reads the model.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] where there is none (or several, and none was named); [`Error::Checkpoint`] names the file
    /// that is damaged; [`Error::Hub`] says why a model could not be fetched.
    pub fn load(&self, terminal: &Terminal) -> Result<LoadedModel> {
        match &self.model {
            Some(model) => load_named(model, terminal),
            None => load(&only_run(Path::new(RUNS))?, terminal),
        }
    }
}

/// What the run of a checkpoint was trained on, as `--data` takes it; `None` of a model that no run keeps.
pub fn own_text(checkpoint: &Path) -> Option<String> {
    let state = std::fs::read(checkpoint.parent()?.join(Slot::Last.name()).join(STATE_FILE)).ok()?;
    let state = RunState::from_json(&serde_json::from_slice(&state).ok()?).ok()?;
    Some(state.data).filter(|data| !data.is_empty())
}

/// Reads the model of a path or name for inference.
pub fn load_named(model: &str, terminal: &Terminal) -> Result<LoadedModel> {
    load(&locate(model, terminal)?, terminal)
}

/// Reads the model of a path or name that adapters are of, which has none of its own: else it could be these very adapters.
///
/// # Errors
/// Also [`Error::AdaptedBase`].
pub fn load_base(model: &str, terminal: &Terminal) -> Result<LoadedModel> {
    read::undisturbed(&locate(model, terminal)?, |folder| {
        if is_adapter(folder) {
            return Err(Error::AdaptedBase { base: folder.into() });
        }
        load_with(folder, |read| Checkpoint::model_from_files(read))
    })
}

/// The folder of a path or name, fetched if it must be.
fn locate(model: &str, terminal: &Terminal) -> Result<PathBuf> {
    match hub_name(model) {
        None => Ok(model.into()),
        Some(name) => Ok(Hub::from_environment(terminal)?.fetch(&name, Freshness::CachedWillDo)?.snapshot.folder),
    }
}

/// The hub's model that is meant: a name, unless something lies there, or the folder does where it would lie.
fn hub_name(model: &str) -> Option<ModelName> {
    let path = Path::new(model);
    let is_here = |path: &Path| path.symlink_metadata().is_ok();
    let is_path = is_here(path) || path.parent().is_some_and(|parent| parent != Path::new("") && is_here(parent));
    // A typing mistake in the name of a run must not be sent to anybody.
    if is_path || path.starts_with(RUNS) { None } else { ModelName::parse(model) }
}

/// Reads a model for inference; adapters are merged with their base.
pub fn load(path: &Path, terminal: &Terminal) -> Result<LoadedModel> {
    read::undisturbed(path, |folder| {
        if is_adapter(folder) {
            let adapted = Adapted::load(folder, None, terminal)?;
            let weight_bytes = adapted.weight_bytes;
            return Ok(LoadedModel {
                folder: folder.into(),
                checkpoint: adapted.merged(),
                adapted: true,
                weight_bytes,
            });
        }
        load_with(folder, |read| Checkpoint::model_from_files(read))
    })
}

/// A run's checkpoint with the state of its training.
pub enum RunCheckpoint {
    /// Of a run that trains all weights.
    Model(Box<Checkpoint>),
    /// Of one that trains adapters.
    Adapters(Box<Adapted>),
}

/// Reads a run's checkpoint, and says in which folder it was.
pub fn load_for_training(path: &Path, terminal: &Terminal) -> Result<(PathBuf, RunCheckpoint)> {
    read::undisturbed(path, |folder| {
        let checkpoint = if is_adapter(folder) {
            RunCheckpoint::Adapters(Box::new(Adapted::load(folder, None, terminal)?))
        } else {
            RunCheckpoint::Model(Box::new(load_with(folder, |read| Checkpoint::from_files(read))?.checkpoint))
        };
        Ok((folder.into(), checkpoint))
    })
}

type Read<'a> = dyn FnMut(&str) -> inkling_core::Result<Option<Vec<u8>>> + 'a;

/// File by file, when it is asked for: of a model in several files one at a time is in memory.
fn load_with(folder: &Path, parse: impl Fn(&mut Read<'_>) -> inkling_core::Result<Checkpoint>) -> Result<LoadedModel> {
    let (mut failure, mut weight_bytes) = (None, 0);
    let outcome = parse(&mut |name| {
        let found = read::file(folder, name).map_err(|error| {
            let problem = Core::Checkpoint { file: name.into(), problem: error.to_string() };
            failure = Some(error);
            problem
        })?;
        if name.ends_with(".safetensors") {
            weight_bytes += found.as_ref().map_or(0, |bytes| bytes.len() as u64);
        }
        Ok(found)
    });
    match (outcome, failure) {
        (Ok(checkpoint), _) => Ok(LoadedModel { folder: folder.into(), checkpoint, adapted: false, weight_bytes }),
        (Err(_), Some(failure)) => Err(failure),
        (Err(problem), None) => {
            let hint = "take a copy of it that is whole, or another checkpoint: a run has best/ and last/".into();
            Err(Error::Checkpoint { folder: folder.into(), problem: Box::new(problem), hint })
        }
    }
}

/// The run in `runs`, if there is no doubt which.
fn only_run(runs: &Path) -> Result<PathBuf> {
    let found = read::runs(runs);
    let refuse = |problem: String, hint: String| Err(Error::NoCheckpoint { path: runs.into(), problem, hint });
    match found.as_slice() {
        [run] => Ok(run.clone()),
        [] => refuse(
            "no run has saved one yet".into(),
            format!(
                "train first with `{}`, or name a model with --model: a folder, or one of the hub such as gpt2",
                command_line("train")
            ),
        ),
        [newest, ..] => {
            let names: Vec<String> = found.iter().map(|run| run.display().to_string()).collect();
            refuse(
                format!("it could be any of these: {}", names.join(", ")),
                format!("name one, for example the newest with --model {}", format::argument(newest)),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use inkling_core::checkpoint;

    use super::*;

    #[test]
    fn what_lies_here_is_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("here");
        for path in [here.to_str().unwrap(), "nowhere", "runs/tinny", "src/nothing", "Cargo.toml", "src"] {
            assert_eq!(hub_name(path), None, "{path}");
        }
        for name in ["gpt2", "no-such-folder/model", "distilgpt2@main"] {
            assert!(hub_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_only_run_is_taken_and_of_several_the_newest_is_proposed() {
        let runs = tempfile::tempdir().unwrap();
        let error = only_run(&runs.path().join("missing")).unwrap_err();
        assert!(error.hint().unwrap().contains("train first"), "{error}");

        let save = |name: &str| {
            let folder = runs.path().join(name).join("last");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(checkpoint::CONFIG_FILE), "{}").unwrap();
        };
        save("tiny");
        assert_eq!(only_run(runs.path()).unwrap(), runs.path().join("tiny"));
        save("micro");
        let error = only_run(runs.path()).unwrap_err();
        assert!(error.to_string().contains("it could be any of these") && error.exit_code() == 2, "{error}");
        assert!(error.hint().unwrap().contains("--model "));
    }
}
