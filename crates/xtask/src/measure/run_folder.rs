//! What a run of the trainer left: `last/trainer_state.json` and `metrics.jsonl` (crates/trainer/src/run_folder.rs).

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::page::corpus;

/// How far a run has come.
#[derive(Debug)]
pub enum Progress {
    /// There is nothing to go on from.
    None,
    /// It was interrupted.
    Begun,
    /// It is over.
    Finished(Finished),
}

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// Updates done.
    steps: u64,
    /// Sequences per update.
    sequences: u64,
    /// Of its training, evaluations included.
    seconds: f64,
    /// Of an update in the middle: the median.
    tokens_per_second: f64,
    /// Every evaluation, over the whole validation split.
    evaluations: Vec<Evaluation>,
    /// The best of them.
    pub best: Evaluation,
}

/// A line of the log.
#[derive(Clone, Debug, Deserialize)]
pub struct Evaluation {
    step: u64,
    /// Nats per token.
    pub val_loss: f64,
    bits_per_char: f64,
    elapsed_s: f64,
    protocol: String,
}

/// As the trainer keeps it.
#[derive(Deserialize)]
struct State {
    step: u64,
    elapsed_s: f64,
    data_sha256: String,
    settings: Settings,
}

#[derive(Deserialize)]
struct Settings {
    max_steps: u64,
    batch_size: u64,
    gradient_accumulation_steps: u64,
}

/// Looks at a run.
///
/// # Errors
/// A file that should be there is missing or torn, or the run is of another text: the sentence says which and what to do.
pub fn look(folder: &Path) -> Result<Progress> {
    let state = folder.join("last/trainer_state.json");
    if !state.is_file() {
        return Ok(Progress::None);
    }
    let broken = |why: String| {
        Error::Usage(format!(
            "the run in {} cannot be read: {why}; `--again --only NAME` trains it anew",
            folder.display()
        ))
    };
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| broken(format!("{}: {error}", path.display())));
    let state: State =
        serde_json::from_str(&read(&state)?).map_err(|error| broken(format!("last/trainer_state.json: {error}")))?;
    if state.data_sha256 != corpus::SHA256 {
        return Err(broken("it learnt from another text".into()));
    }
    if state.step < state.settings.max_steps {
        return Ok(Progress::Begun);
    }
    let log = read(&folder.join("metrics.jsonl"))?;
    let (evaluations, speeds) = lines(&log).map_err(broken)?;
    let best = evaluations.iter().min_by(|a, b| a.val_loss.total_cmp(&b.val_loss)).cloned();
    let is_whole = evaluations.last().is_some_and(|last| last.step == state.step);
    let Some(best) = best.filter(|_| is_whole) else {
        return Err(broken(format!("metrics.jsonl ends before step {}", state.step)));
    };
    if let Some(other) = evaluations.iter().find(|evaluation| evaluation.protocol != "full") {
        return Err(broken(format!("step {} was evaluated on a part of the text", other.step)));
    }
    Ok(Progress::Finished(Finished {
        steps: state.step,
        sequences: state.settings.batch_size * state.settings.gradient_accumulation_steps,
        seconds: state.elapsed_s,
        tokens_per_second: median(speeds),
        evaluations,
        best,
    }))
}

/// Evaluations, and the speeds of updates.
fn lines(log: &str) -> std::result::Result<(Vec<Evaluation>, Vec<f64>), String> {
    let (mut evaluations, mut speeds) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(log.lines()) {
        let bad = |error: serde_json::Error| format!("metrics.jsonl line {number}: {error}");
        let record: Value = serde_json::from_str(line).map_err(bad)?;
        match record["kind"].as_str() {
            Some("eval") => evaluations.push(serde_json::from_value(record).map_err(bad)?),
            _ => speeds.extend(record["tokens_per_s"].as_f64()),
        }
    }
    Ok((evaluations, speeds))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Finished {
    /// What the page's files say of every run. Losses have four digits after the point, as the trainer's table has.
    pub fn entry(&self) -> Value {
        let last = self.evaluations.last().unwrap_or(&self.best);
        let curve = self.evaluations.iter().map(|e| json!([e.step, rounded(e.val_loss, 4), rounded(e.elapsed_s, 2)]));
        json!({
            "updates": self.steps,
            "seconds": rounded(self.seconds, 2),
            "tokens_per_second": self.tokens_per_second.round() as u64,
            "best": rounded(self.best.val_loss, 4),
            "best_step": self.best.step,
            "last": rounded(last.val_loss, 4),
            "bits_per_char": rounded(self.best.bits_per_char, 4),
            "evaluations": curve.collect::<Value>(),
        })
    }

    /// Tokens that it has read.
    pub fn tokens(&self, model: &Value) -> Result<u64> {
        let context = model["n_positions"].as_u64();
        let context = context.ok_or_else(|| Error::Disagreement("a model without n_positions".into()))?;
        Ok(self.steps * self.sequences * context)
    }
}

/// Bytes that a model which writes keeps of a token, in float32: a key and a value of every key head in every layer.
pub fn cache_bytes_per_token(model: &Value) -> u64 {
    let size = |name: &str| model[name].as_u64().unwrap_or_default();
    let channels = size("n_embd") / size("n_head").max(1);
    2 * size("n_layer") * size("n_kv_head") * channels * 4
}

fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder of its own, away at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, state: Option<(u64, &str)>, log: Option<&str>) -> Self {
            let folder = std::env::temp_dir().join(format!("inkling-measure-{}-{name}", std::process::id()));
            fs::create_dir_all(folder.join("last")).unwrap();
            if let Some((step, sha256)) = state {
                let settings = json!({"max_steps": 20, "batch_size": 4, "gradient_accumulation_steps": 2});
                let state = json!({"step": step, "elapsed_s": 1.25, "data_sha256": sha256, "settings": settings});
                fs::write(folder.join("last/trainer_state.json"), state.to_string()).unwrap();
            }
            if let Some(log) = log {
                fs::write(folder.join("metrics.jsonl"), log).unwrap();
            }
            Self(folder)
        }

        fn complaint(&self) -> String {
            look(&self.0).unwrap_err().to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn evaluation(step: u64, loss: f64) -> String {
        json!({"kind": "eval", "step": step, "val_loss": loss, "bits_per_char": 2.0 * loss, "protocol": "full", "elapsed_s": step}).to_string()
    }

    fn whole() -> String {
        let steps =
            [3.0, 100.0, 5.0].map(|speed| json!({"kind": "step", "step": 1, "tokens_per_s": speed}).to_string());
        format!("{}\n{}\n{}\n", steps.join("\n"), evaluation(10, 1.234_56), evaluation(20, 1.5))
    }

    #[test]
    fn a_finished_run_is_read() {
        let folder = Folder::new("finished", Some((20, corpus::SHA256)), Some(&whole()));
        let Progress::Finished(run) = look(&folder.0).unwrap() else { panic!("it is finished") };
        let entry = run.entry();
        assert_eq!(entry["best"], 1.2346);
        assert_eq!((&entry["best_step"], &entry["last"]), (&json!(10), &json!(1.5)));
        assert_eq!(entry["evaluations"], json!([[10, 1.2346, 10.0], [20, 1.5, 20.0]]));
        assert_eq!((&entry["tokens_per_second"], &entry["seconds"]), (&json!(5), &json!(1.25)));
        assert_eq!(run.tokens(&json!({"n_positions": 64})).unwrap(), 20 * 8 * 64);
        assert!(run.tokens(&json!({})).is_err());
    }

    #[test]
    fn what_is_missing_or_interrupted_is_no_error() {
        assert!(matches!(look(Path::new("nowhere")).unwrap(), Progress::None));
        assert!(matches!(look(&Folder::new("empty", None, None).0).unwrap(), Progress::None));
        let half = Folder::new("half", Some((10, corpus::SHA256)), None);
        assert!(matches!(look(&half.0).unwrap(), Progress::Begun));
    }

    #[test]
    fn a_torn_run_is_a_sentence() {
        let finished = Some((20, corpus::SHA256));
        let torn = &whole()[..whole().len() - 30];
        let sampled = evaluation(20, 1.0).replace("full", "sampled");
        for (name, state, log, why) in [
            ("no-log", finished, None, "metrics.jsonl"),
            ("torn", finished, Some(torn), "metrics.jsonl line 5: "),
            ("short", finished, Some(&*evaluation(10, 1.0)), "metrics.jsonl ends before step 20"),
            ("sampled", finished, Some(&*sampled), "evaluated on a part of the text"),
            ("other", Some((20, "0123")), Some(&*whole()), "it learnt from another text"),
        ] {
            let message = Folder::new(name, state, log).complaint();
            assert!(message.contains(why) && message.contains("--again --only NAME"), "{message}");
        }
        let folder = Folder::new("no-json", finished, None);
        fs::write(folder.0.join("last/trainer_state.json"), "{\"step\":").unwrap();
        assert!(folder.complaint().contains("last/trainer_state.json: EOF"), "{}", folder.complaint());
    }

    #[test]
    fn a_cache_keeps_a_key_and_a_value_of_every_head() {
        let model = json!({"n_layer": 4, "n_kv_head": 2, "n_embd": 64, "n_head": 4});
        assert_eq!(cache_bytes_per_token(&model), 2 * 4 * 2 * 16 * 4);
    }
}
