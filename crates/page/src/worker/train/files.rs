//! A run as files: the folder that `trainer train` writes, and what the page adds to it.
//!
//! ```text
//! last/            checkpoint with the state of the training: what a run goes on from
//! best/            the model with the lowest validation loss
//! metrics.jsonl    what was recorded
//! notes.txt        the visitor's text, where it is one; its name is the data's in trainer_state.json
//! rewind/          the rest of the best checkpoint: its moments and state
//! page.json        what the visitor calls the run
//! snapshots/20/    the weights after 20 updates, to be looked at; where the browser keeps a run, and not in archives
//! ```
//!
//! `trainer train --resume` asks for `last/` and `metrics.jsonl` alone. A run of `trainer` has no `rewind/`: it cannot go back to its best.

use std::collections::BTreeMap;
use std::rc::Rc;

use inkling_core::checkpoint::{
    ADAPTER_CONFIG_FILE, CONFIG_FILE, Checkpoint, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, TrainingState, read_config,
    read_training, read_weights,
};
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::RunState;
use inkling_core::{ModelConfig, Weights};
use serde::{Deserialize, Serialize};

use super::text::{SHAKESPEARE, Text};
use crate::protocol::Failure;

/// Name and content.
pub type Named = (String, Vec<u8>);

/// The log.
pub const METRICS: &str = "metrics.jsonl";
const PAGE: &str = "page.json";
const LAST: &str = "last/";
const BEST: &str = "best/";
const REWIND: &str = "rewind/";
const SNAPSHOTS: &str = "snapshots/";

/// Where a run stands, or stood: its weights, and what it needs to go on from there.
pub struct Standing {
    /// As a checkpoint has them.
    pub weights: Rc<Weights>,
    /// Moments, random numbers, place in the data.
    pub training: TrainingState,
}

/// What the page adds.
#[derive(Serialize, Deserialize)]
struct Page {
    name: String,
}

/// The files of a checkpoint below a folder.
fn checkpoint(folder: &str, checkpoint: &Checkpoint) -> inkling_core::Result<Vec<Named>> {
    Ok(checkpoint.to_files()?.into_iter().map(|(name, bytes)| (format!("{folder}{name}"), bytes)).collect())
}

/// The files that change with every step.
///
/// # Errors
/// Weights that are not finite.
pub fn last(
    model: &ModelConfig,
    tokenizer: &Tokenizer,
    standing: &Standing,
    metrics: &[u8],
    name: &str,
) -> inkling_core::Result<Vec<Named>> {
    let whole = Checkpoint {
        config: model.clone(),
        weights: Weights::clone(&standing.weights),
        tokenizer: tokenizer.clone(),
        training: Some(standing.training.clone()),
    };
    let mut files = checkpoint(LAST, &whole)?;
    files.push((METRICS.into(), metrics.to_vec()));
    files.push((PAGE.into(), serde_json::to_vec(&Page { name: name.into() }).expect("a name is plain data")));
    Ok(files)
}

/// The files of the best checkpoint.
///
/// # Errors
/// Weights that are not finite.
pub fn best(model: &ModelConfig, tokenizer: &Tokenizer, standing: &Standing) -> inkling_core::Result<Vec<Named>> {
    let (config, weights) = (model.clone(), Weights::clone(&standing.weights));
    let mut whole = Checkpoint { config, weights, tokenizer: tokenizer.clone(), training: None };
    let mut files = checkpoint(BEST, &whole)?;
    whole.training = Some(standing.training.clone());
    let rewind = whole.to_files()?.into_iter().filter(|(name, _)| name == STATE_FILE || name == OPTIMIZER_FILE);
    files.extend(rewind.map(|(name, bytes)| (format!("{REWIND}{name}"), bytes)));
    Ok(files)
}

/// The best model alone, of a run that never kept more of it.
///
/// # Errors
/// Weights that are not finite.
pub fn best_model(model: &ModelConfig, tokenizer: &Tokenizer, weights: &Weights) -> inkling_core::Result<Vec<Named>> {
    let (config, weights) = (model.clone(), weights.clone());
    checkpoint(BEST, &Checkpoint { config, weights, tokenizer: tokenizer.clone(), training: None })
}

/// The weights of a step, to be looked at.
///
/// # Errors
/// Weights that are not finite.
pub fn snapshot(
    model: &ModelConfig,
    tokenizer: &Tokenizer,
    step: u64,
    weights: &Weights,
) -> inkling_core::Result<Vec<Named>> {
    let (config, weights) = (model.clone(), weights.clone());
    let whole = Checkpoint { config, weights, tokenizer: tokenizer.clone(), training: None };
    let mut files = checkpoint(&format!("{SNAPSHOTS}{step}/"), &whole)?;
    files.retain(|(name, _)| name.ends_with(MODEL_FILE));
    Ok(files)
}

/// The visitor's text.
pub fn text(text: &Text) -> Option<Named> {
    (text.name != SHAKESPEARE).then(|| (text.name.clone(), text.text.clone().into_bytes()))
}

/// A name for the visitor's text that a folder can have beside the run's own files.
pub fn text_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().map(|c| if c.is_alphanumeric() || "._- ".contains(c) { c } else { '-' }).collect();
    let stem = name.trim().trim_start_matches('.').trim_end_matches(".txt");
    if stem.is_empty() || stem == SHAKESPEARE { "text.txt".into() } else { format!("{stem}.txt") }
}

/// A run that was read.
pub struct Read {
    /// What the visitor called it, where the files say so.
    pub name: Option<String>,
    /// The model, and its tokens.
    pub model: ModelConfig,
    /// Of the model.
    pub tokenizer: Tokenizer,
    /// Where it stands.
    pub last: Standing,
    /// The same, read.
    pub state: RunState,
    /// The best, if there was one: without the state of the training where that was not kept.
    pub best: Option<(Rc<Weights>, Option<TrainingState>)>,
    /// Models by updates done, in order.
    pub snapshots: Vec<(u64, Rc<Weights>)>,
    /// The log's lines.
    pub metrics: Vec<u8>,
    /// The visitor's text, where it is among the files.
    pub text: Option<Text>,
}

/// Reads a run's files, which may lie in folders of any depth. `room` is how many bytes its model may take.
///
/// # Errors
/// What is missing, damaged or at odds.
pub fn read(mut files: BTreeMap<String, Vec<u8>>, room: u64) -> Result<Read, Failure> {
    let prefix = prefix(&files)?;
    if !prefix.is_empty() {
        files = files
            .into_iter()
            .filter_map(|(name, bytes)| Some((name.strip_prefix(&prefix)?.to_owned(), bytes)))
            .collect();
    }
    // Before anything is allocated for what the configuration says.
    let config = read_config(|name| Ok(files.get(&format!("{LAST}{name}")).cloned()))?;
    inkling_core::error::check_memory(config.num_parameters().saturating_mul(4 * 4), room)?;
    let written = files.get(&format!("{LAST}{CONFIG_FILE}")).cloned();
    let mut take = |folder: &str, name: &str| files.remove(&format!("{folder}{name}"));
    let last = Checkpoint::from_files(|name| Ok(take(LAST, name)))?;
    let Some(training) = last.training else {
        return Err(Failure::input(format!(
            "{LAST}{STATE_FILE} is missing: it is a model without the state of its training."
        )));
    };
    let state = RunState::from_json(&training.state)?;
    let best = match take(BEST, CONFIG_FILE) {
        None => None,
        Some(config) => {
            let mut config = Some(config);
            let found = Checkpoint::model_from_files(|name| {
                Ok(if name == CONFIG_FILE { config.take() } else { take(BEST, name) })
            })?;
            if found.config != last.config || found.tokenizer != last.tokenizer {
                return Err(Failure::input(format!("{BEST} is of another model than {LAST}.")));
            }
            let training = read_training(&found.config, |name| Ok(take(REWIND, name)))?;
            Some((Rc::new(found.weights), training))
        }
    };
    let steps =
        files.keys().filter_map(|path| path.strip_prefix(SNAPSHOTS)?.strip_suffix(MODEL_FILE)?.strip_suffix('/'));
    let mut steps: Vec<u64> = steps.filter_map(|step| step.parse().ok()).filter(|step| *step < state.step).collect();
    steps.sort_unstable();
    let mut snapshots = Vec::new();
    for step in steps {
        let (_, weights) = read_weights(|name| match name {
            CONFIG_FILE => Ok(written.clone()),
            _ => Ok(files.remove(&format!("{SNAPSHOTS}{step}/{name}"))),
        })?;
        snapshots.push((step, Rc::new(weights)));
    }
    let name = files.remove(PAGE).and_then(|json| serde_json::from_slice::<Page>(&json).ok()).map(|page| page.name);
    let metrics = files.remove(METRICS).unwrap_or_default();
    let text = own_text(files, &state);
    Ok(Read {
        name,
        model: last.config,
        tokenizer: last.tokenizer,
        last: Standing { weights: Rc::new(last.weights), training },
        state,
        best,
        snapshots,
        metrics,
        text,
    })
}

/// The folder that the run is in, with a `/` at its end unless it is none.
fn prefix(files: &BTreeMap<String, Vec<u8>>) -> Result<String, Failure> {
    let with = |name: &str| {
        let end = format!("{LAST}{name}");
        let folders = files.keys().filter_map(|path| path.strip_suffix(&end));
        let mut folders = folders.filter(|folder| folder.is_empty() || folder.ends_with('/'));
        folders.next().map(str::to_owned)
    };
    if let Some(prefix) = with(CONFIG_FILE) {
        return Ok(prefix);
    }
    Err(Failure::input(match with(ADAPTER_CONFIG_FILE) {
        Some(_) => {
            "This run trains adapters (LoRA), which the page does not: go on with it in `trainer train --resume`."
        }
        None => {
            "This is no run: one has a folder last/ with a checkpoint in it, as `trainer train` and this page write it."
        }
    }))
}

/// The file that is the text that the run learns from, whatever it is called.
fn own_text(files: BTreeMap<String, Vec<u8>>, state: &RunState) -> Option<Text> {
    let is_text = |(_, bytes): &(String, Vec<u8>)| inkling_core::hash::sha256(bytes) == state.data_sha256;
    let (name, bytes) = files.into_iter().filter(|(name, _)| name.ends_with(".txt")).find(is_text)?;
    Some(Text { name: text_name(&name), text: String::from_utf8(bytes).ok()?, sha256: state.data_sha256.clone() })
}
