//! What a run has logged: the records of `metrics.jsonl`, and the curves that they make.

use serde::Serialize;
use serde_json::Value;

use super::config::Protocol;
use super::{Evaluation, RunState, StepReport};

/// Tokens of the sample at each evaluation: two or three lines.
pub const SHORT_SAMPLE: usize = 120;
/// Of samples, slightly below 1: the model's own distribution without its least likely letters.
pub const TEMPERATURE: f32 = 0.8;

/// One update.
#[derive(Clone, Debug, Serialize)]
pub struct StepRecord {
    kind: &'static str,
    /// Updates done.
    pub step: u64,
    /// Of its batches before the update, nats per token.
    pub loss: f32,
    lr: f32,
    grad_norm: f32,
    tokens_per_s: f64,
}

impl StepRecord {
    /// The record of a step at this speed.
    pub fn new(step: &StepReport, tokens_per_s: f64) -> Self {
        Self {
            kind: "step",
            step: step.step,
            loss: step.loss as f32,
            lr: step.learning_rate,
            grad_norm: step.grad_norm,
            tokens_per_s: tokens_per_s.round(),
        }
    }
}

/// One evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationRecord {
    kind: &'static str,
    /// Updates done.
    pub step: u64,
    /// Nats per token.
    pub val_loss: f64,
    /// The same per character in bits.
    pub bits_per_char: f64,
    tokens: u64,
    protocol: Protocol,
    /// Mean loss of the batches since the evaluation before.
    pub train_loss: Option<f32>,
    /// Seconds of the run until here, in all its sessions. Logs of earlier versions have none.
    elapsed_s: f64,
    /// Whether no evaluation before was as good.
    pub best: bool,
    /// A short text of the model's.
    pub sample: String,
}

impl EvaluationRecord {
    /// The record of an evaluation at the run's present step.
    pub fn new(state: &RunState, evaluation: &Evaluation, train_loss: Option<f32>, best: bool, sample: String) -> Self {
        Self {
            kind: "eval",
            step: state.step,
            val_loss: evaluation.loss,
            bits_per_char: evaluation.bits_per_char,
            tokens: evaluation.tokens,
            protocol: evaluation.protocol,
            train_loss,
            elapsed_s: state.elapsed_s,
            best,
            sample,
        }
    }
}

/// A record as a line of the log.
pub fn line(record: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("records are plain data with string keys");
    line.push(b'\n');
    line
}

/// The records up to `step` of a log, whose last line may be torn, and the number of bytes they take.
///
/// # Errors
/// The number of a bad line and what is wrong with it.
pub fn records_up_to(bytes: &[u8], step: u64) -> Result<(Vec<Value>, u64), (usize, String)> {
    let mut records = Vec::new();
    let mut length = 0;
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let record = parse(line);
        match record {
            Ok((at, _)) if at > step => break,
            Ok((_, record)) => {
                records.push(record);
                length += line.len() as u64;
            }
            Err(_) if lines.peek().is_none() => {} // torn by a kill or a power cut
            Err(problem) => return Err((number, problem)),
        }
    }
    Ok((records, length))
}

fn parse(line: &[u8]) -> Result<(u64, Value), String> {
    if !line.ends_with(b"\n") {
        return Err("it is cut short".into());
    }
    let record: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let step = record["step"].as_u64().ok_or("it has no step")?;
    Ok((step, record))
}

/// The curves so far: steps in rising order with the loss at each.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Of single updates.
    pub train: Vec<(u64, f32)>,
    /// Of evaluations.
    pub validation: Vec<(u64, f32)>,
}

impl History {
    /// The curves of a log. Losses that were not finite are `null` there; records of other kinds are nobody's curve.
    pub fn from_records(records: &[Value]) -> Self {
        let points = |kind: &str, key: &str| -> Vec<(u64, f32)> {
            let of_kind = records.iter().filter(|record| record["kind"] == kind);
            of_kind
                .filter_map(|record| Some((record["step"].as_u64()?, record[key].as_f64().unwrap_or(f64::NAN) as f32)))
                .collect()
        };
        Self { train: points("step", "loss"), validation: points("eval", "val_loss") }
    }

    /// Mean training loss since the latest evaluation; of a finished run, since the one before it.
    pub fn recent_train(&self) -> Option<f32> {
        let end = self.train.last()?.0;
        let since = self.validation.iter().rev().map(|point| point.0).find(|&step| step < end).unwrap_or(0);
        let recent: Vec<f64> =
            self.train.iter().rev().take_while(|(step, _)| *step > since).map(|&(_, loss)| f64::from(loss)).collect();
        Some((recent.iter().sum::<f64>() / recent.len() as f64) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curves_come_back_from_the_log() {
        let report = StepReport { step: 3, loss: f64::NAN, grad_norm: 1.5, learning_rate: 1e-3, skipped: false };
        let records = [
            serde_json::to_value(StepRecord::new(&StepReport { step: 1, loss: 4.0, ..report }, 10.0)).unwrap(),
            serde_json::to_value(StepRecord::new(&StepReport { step: 2, loss: 3.0, ..report }, 10.0)).unwrap(),
            serde_json::json!({"kind": "eval", "step": 2, "val_loss": 3.5}),
            serde_json::to_value(StepRecord::new(&report, 10.0)).unwrap(),
        ];
        let history = History::from_records(&records);
        assert_eq!(history.train[..2], [(1, 4.0), (2, 3.0)]);
        assert!(history.train[2].0 == 3 && history.train[2].1.is_nan());
        assert_eq!(history.validation, [(2, 3.5)]);
    }

    #[test]
    fn the_training_loss_is_the_mean_since_the_evaluation_before() {
        let mut history = History::default();
        assert_eq!(history.recent_train(), None);
        history.train = vec![(1, 5.0), (2, 3.0)];
        assert_eq!(history.recent_train(), Some(4.0));
        history.validation = vec![(2, 3.5)];
        assert_eq!(history.recent_train(), Some(4.0));
        history.train.extend([(3, 2.0), (4, 1.0)]);
        assert_eq!(history.recent_train(), Some(1.5));
    }
}
