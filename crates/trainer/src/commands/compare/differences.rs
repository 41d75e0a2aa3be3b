//! What is not the same in all runs, setting by setting, and whether their losses can be compared in spite of it.

use inkling_core::hash::sha256;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::config::Protocol;
use serde_json::{Map, Value, json};

use super::run::Run;
use crate::format;
use crate::settings::as_written;

/// Characters of a hash that tell it from others.
const HASH_CHARS: usize = 10;
/// Share by which validation splits may differ in length before that is said: less moves no loss visibly.
const SPLIT_TOLERANCE: f64 = 1e-3;

/// A setting that differs, with its value in each run.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// As `--set` calls it; or `data`, `data_sha256`, `tokenizer`.
    pub setting: String,
    /// In the order of the runs.
    pub values: Vec<Value>,
}

/// Everything that a run was set to, by name.
pub fn settings(run: &Run) -> Map<String, Value> {
    let mut all = Map::new();
    for fields in [as_written(&run.model), as_written(&run.state.settings)] {
        all.extend(fields.as_object().cloned().unwrap_or_default());
    }
    all.insert("data".into(), json!(run.state.data));
    all.insert("data_sha256".into(), json!(run.state.data_sha256));
    all.insert("tokenizer".into(), json!(describe_tokenizer(&run.tokenizer)));
    all
}

/// The settings that are not the same in all runs: those of the model, of its training, of its text.
pub fn differences(runs: &[Run]) -> Vec<Difference> {
    let all: Vec<Map<String, Value>> = runs.iter().map(settings).collect();
    let Some(first) = all.first() else { return Vec::new() };
    let values = |setting: &String| all.iter().map(|settings| settings[setting].clone()).collect::<Vec<_>>();
    let rows = first.keys().map(|setting| Difference { setting: setting.clone(), values: values(setting) });
    rows.filter(|row| row.values.iter().any(|value| *value != row.values[0])).collect()
}

/// Kind, size and the beginning of the hash of its file.
fn describe_tokenizer(tokenizer: &Tokenizer) -> String {
    let hash = sha256(&tokenizer.to_json());
    let (kind, size) = (tokenizer.kind().name(), format::count(tokenizer.vocab_size() as u64));
    format!("{kind} {size} ({})", &hash[..HASH_CHARS])
}

/// Why losses of these runs do not compare; nothing where they do.
pub fn warnings(runs: &[Run]) -> Vec<String> {
    let mut warnings = Vec::new();
    let texts = groups(
        runs,
        |run| {
            let hash: String = run.state.data_sha256.chars().take(HASH_CHARS).collect();
            format!("{} (SHA-256 {hash}…)", run.state.data)
        },
        |a, b| a.state.data_sha256 == b.state.data_sha256,
    );
    let protocols =
        groups(runs, |run| format!("the {} protocol", name(protocol(run))), |a, b| protocol(a) == protocol(b));
    if let Some(groups) = &texts {
        warnings.push(format!("the losses do not compare, these runs were validated on different texts: {groups}"));
    }
    if let Some(groups) = &protocols {
        warnings.push(format!("the losses do not compare, they are averages over different windows: {groups}"));
    }
    let whole_splits = runs.iter().all(|run| protocol(run) == Protocol::Full);
    if texts.is_none() && whole_splits {
        let characters = |run: &Run| split_characters(run).map_or("?".into(), |n| format::count(n as u64));
        let describe = |run: &Run| format!("the last {} characters", characters(run));
        if let Some(groups) = groups(runs, describe, |a, b| alike(split_characters(a), split_characters(b))) {
            warnings.push(format!("the losses do not compare exactly, the validation splits differ: {groups}"));
        }
    }
    warnings
}

fn protocol(run: &Run) -> Protocol {
    run.evaluations.last().map(|evaluated| evaluated.protocol).unwrap_or_default()
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Full => "full",
        Protocol::Sampled => "sampled",
    }
}

/// Length of the validation split: of all its tokens, the first is not predicted.
fn split_characters(run: &Run) -> Option<f64> {
    Some((run.evaluations.last()?.tokens as f64 + 1.0) * run.characters_per_token()?)
}

/// Lengths that nobody knows are no difference.
fn alike(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_none_or(|(a, b)| (a - b).abs() <= SPLIT_TOLERANCE * a.max(b))
}

/// `what: run, run; other: run` where runs are of more than one kind.
fn groups(runs: &[Run], describe: impl Fn(&Run) -> String, same: impl Fn(&Run, &Run) -> bool) -> Option<String> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| same(group[0], run)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let names = |group: &[&Run]| group.iter().map(|run| run.name.clone()).collect::<Vec<_>>().join(", ");
    let parts: Vec<String> = groups.iter().map(|group| format!("{} in {}", describe(group[0]), names(group))).collect();
    (parts.len() > 1).then(|| parts.join("; "))
}
