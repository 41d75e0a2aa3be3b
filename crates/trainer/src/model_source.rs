//! `--model`: a checkpoint folder, a run folder (its best checkpoint), or by default the only run there is.

use std::path::{Path, PathBuf};

use clap::Args;
use inkling_core::checkpoint::{self, Checkpoint};

use crate::error::{Error, Result};
use crate::format::{self, command_line};
use crate::run_folder::read;

/// Where runs are written by default.
pub const RUNS: &str = "runs";

/// The option of commands that work on a trained model.
#[derive(Clone, Debug, Args)]
pub struct ModelArgument {
    /// A run folder (its best checkpoint is taken) or a folder with config.json, model.safetensors and tokenizer.json
    /// [default: the run in runs/ if there is only one]
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
}

/// A model from disk.
#[derive(Debug)]
pub struct LoadedModel {
    /// The checkpoint folder.
    pub folder: PathBuf,
    /// The model, without the state of its training.
    pub checkpoint: Checkpoint,
}

impl ModelArgument {
    /// Reads the model.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] where there is none (or several, and none was named); [`Error::Checkpoint`] names the file
    /// that is damaged.
    pub fn load(&self) -> Result<LoadedModel> {
        match &self.model {
            Some(path) => load(path),
            None => load(&only_run(Path::new(RUNS))?),
        }
    }
}

/// Reads a model for inference.
pub fn load(path: &Path) -> Result<LoadedModel> {
    load_with(path, &[], |read| Checkpoint::model_from_files(read))
}

/// Reads a run's checkpoint with the state of its training.
pub fn load_for_training(path: &Path) -> Result<LoadedModel> {
    load_with(path, &[checkpoint::STATE_FILE, checkpoint::OPTIMIZER_FILE], |read| Checkpoint::from_files(read))
}

type Read<'a> = dyn FnMut(&str) -> inkling_core::Result<Option<Vec<u8>>> + 'a;

fn load_with(
    path: &Path,
    more: &[&str],
    parse: impl FnOnce(&mut Read<'_>) -> inkling_core::Result<Checkpoint>,
) -> Result<LoadedModel> {
    let folder = read::resolve(path)?;
    let names = [checkpoint::CONFIG_FILE, checkpoint::MODEL_FILE, checkpoint::TOKENIZER_FILE];
    let mut files = read::files(path, &[&names, more].concat())?;
    let mut take = |name: &str| {
        let at = files.iter().position(|(file, _)| file == name);
        Ok(at.map(|at| files.swap_remove(at).1))
    };
    match parse(&mut take) {
        Ok(checkpoint) => Ok(LoadedModel { folder, checkpoint }),
        Err(problem) => {
            let hint = "take a copy of it that is whole, or another checkpoint: a run has best/ and last/".into();
            Err(Error::Checkpoint { folder, problem: Box::new(problem), hint })
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
            format!("train first with `{}`, or name a checkpoint folder with --model PATH", command_line("train")),
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
    use super::*;

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
