//! A run as it is compared: what it was set to, and what its log says about each evaluation.

use std::path::{Path, PathBuf};

use inkling_core::checkpoint::{self, ADAPTER_CONFIG_FILE, CONFIG_FILE, STATE_FILE, TOKENIZER_FILE};
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::RunState;
use inkling_core::train::config::Protocol;
use inkling_core::{Error as Core, ModelConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::format;
use crate::run_folder::{METRICS, Slot, metrics, name_of, read};

/// A run from its folder.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run folder.
    pub path: PathBuf,
    /// What it is called here: the folder's own name, or its path where another run has that name too.
    pub name: String,
    /// Its model.
    pub model: ModelConfig,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Settings, data and time, as of its latest save.
    pub state: RunState,
    /// In the order of the log, at least one.
    pub evaluations: Vec<Evaluated>,
    /// Training speed over all steps of the log.
    pub tokens_per_s: Option<f64>,
}

/// One evaluation of the log. A loss that was not finite is absent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Evaluated {
    /// Updates done.
    pub step: u64,
    /// Nats per token.
    pub val_loss: Option<f64>,
    /// The same per character in bits.
    pub bits_per_char: Option<f64>,
    /// Predicted tokens.
    pub tokens: u64,
    /// Over what the loss was averaged.
    pub protocol: Protocol,
    /// Seconds of the run until then; earlier versions did not log them.
    #[serde(default)]
    pub elapsed_s: Option<f64>,
}

impl Run {
    /// Reads a run folder.
    ///
    /// # Errors
    /// [`Error::Compare`] where it is no run or was never evaluated; [`Error::Metrics`] and [`Error::Checkpoint`] name the file
    /// that is damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let refuse =
            |problem: &str, hint: String| Err(Error::Compare { path: path.into(), problem: problem.into(), hint });
        let log = path.join(METRICS);
        if !log.is_file() {
            let parent = path.parent().filter(|parent| parent.join(METRICS).is_file());
            return match (parent, path.exists()) {
                (Some(run), _) => {
                    let hint = format!("compare {}, whose checkpoint it is", format::argument(run));
                    refuse("it is a part of a run, not a run folder", hint)
                }
                (None, true) => refuse(
                    &format!("it is not a run folder, there is no {METRICS} in it"),
                    "pass folders that `trainer train` wrote, such as runs/tiny".into(),
                ),
                (None, false) => refuse("there is no such folder", "pass run folders, such as runs/tiny".into()),
            };
        }
        let not_yet = "wait for its first evaluation, or train it again with --overwrite";
        let last = path.join(Slot::Last.name());
        if read::resolve(&last).is_err() {
            return refuse("it has saved nothing yet", not_yet.into());
        }
        let files = read::files(&last, &[CONFIG_FILE, ADAPTER_CONFIG_FILE, TOKENIZER_FILE, STATE_FILE])?;
        let take = |name: &str| Ok(files.iter().find(|file| file.0 == name).map(|file| file.1.clone()));
        let damaged = |problem| Error::Checkpoint {
            folder: last.clone(),
            problem: Box::new(problem),
            hint: "leave this run out, or train it again with --overwrite".into(),
        };
        let model = checkpoint::read_config(take).map_err(damaged)?;
        let tokenizer = checkpoint::read_tokenizer(take).map_err(damaged)?;
        let state = read_state(take(STATE_FILE).map_err(damaged)?).map_err(damaged)?;
        let records = metrics::read(&log)?;
        let evaluations = evaluations(&log, &records)?;
        if evaluations.is_empty() {
            return refuse("it was never evaluated", not_yet.into());
        }
        let tokens_per_s = mean_speed(&records);
        Ok(Self { path: path.into(), name: name_of(path), model, tokenizer, state, evaluations, tokens_per_s })
    }

    /// The evaluation with the lowest loss, if one was finite.
    pub fn best(&self) -> Option<&Evaluated> {
        let finite = self.evaluations.iter().filter(|evaluated| evaluated.val_loss.is_some());
        finite.reduce(|best, other| if other.val_loss < best.val_loss { other } else { best })
    }

    /// Of the best evaluation.
    pub fn bits_per_char(&self) -> Option<f64> {
        self.best()?.bits_per_char
    }

    /// Characters per token of the validation split: what the two units of the same loss say.
    pub fn characters_per_token(&self) -> Option<f64> {
        let ratio = |evaluated: &Evaluated| {
            Some(evaluated.val_loss? / std::f64::consts::LN_2 / evaluated.bits_per_char?)
                .filter(|ratio| ratio.is_normal())
        };
        self.evaluations.iter().find_map(ratio)
    }

    /// Tokens that an update learns from.
    pub fn tokens_per_step(&self) -> f64 {
        let settings = &self.state.settings;
        settings.batch_size as f64 * settings.gradient_accumulation_steps as f64 * self.model.n_positions as f64
    }

    /// Loss in bits per character of guessing evenly among the tokens.
    pub fn guessing(&self) -> Option<f64> {
        Some((self.model.vocab_size as f64).log2() / self.characters_per_token()?)
    }
}

fn read_state(json: Option<Vec<u8>>) -> inkling_core::Result<RunState> {
    let damaged = |problem: String| Core::Checkpoint { file: STATE_FILE.into(), problem };
    let json =
        json.ok_or_else(|| damaged("the file is missing: this is a model without the state of its training".into()))?;
    let value: Value = serde_json::from_slice(&json).map_err(|error| damaged(format!("this is not JSON: {error}")))?;
    RunState::from_json(&value)
}

fn evaluations(log: &Path, records: &[Value]) -> Result<Vec<Evaluated>> {
    let of_kind = (1..).zip(records).filter(|(_, record)| record["kind"] == "eval");
    let parse = |(line, record): (usize, &Value)| {
        let bad = |error: serde_json::Error| Error::Metrics { path: log.into(), line, problem: error.to_string() };
        Evaluated::deserialize(record).map_err(bad)
    };
    of_kind.map(parse).collect()
}

/// Tokens over time: the harmonic mean, since every step has as many tokens.
fn mean_speed(records: &[Value]) -> Option<f64> {
    let speeds =
        records.iter().filter(|record| record["kind"] == "step").filter_map(|record| record["tokens_per_s"].as_f64());
    let (steps, time) =
        speeds.filter(|&speed| speed > 0.0).fold((0.0, 0.0), |(n, time), speed| (n + 1.0, time + 1.0 / speed));
    (steps > 0.0).then(|| steps / time)
}
