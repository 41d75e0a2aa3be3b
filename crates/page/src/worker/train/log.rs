//! A run's records: `metrics.jsonl` as `trainer train` writes it, and the points that the page draws of it.

use inkling_core::train::history::{EvaluationRecord, History, StepRecord, line, records_up_to};
use serde_json::Value;

use crate::protocol::Failure;
use crate::protocol::train::{Evaluated, RunPart, StepPoint};

/// Everything that was recorded.
#[derive(Default)]
pub struct Log {
    lines: Vec<u8>,
    history: History,
}

impl Log {
    /// That of a run that goes on after `step`, and what the page is to hear of it.
    ///
    /// # Errors
    /// A line, other than a torn last one, that is no record.
    pub fn read(lines: &[u8], step: u64, elapsed: f64, prompt: &str) -> Result<(Self, Vec<RunPart>), Failure> {
        let (records, length) = records_up_to(lines, step).map_err(|(line, problem)| {
            Failure::input(format!("metrics.jsonl, line {line}, is no record of a run: {problem}"))
        })?;
        let log = Self { lines: lines[..length as usize].to_vec(), history: History::from_records(&records) };
        Ok((log, parts(&records, elapsed, prompt)))
    }

    /// `metrics.jsonl`.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Notes an update.
    pub fn step(&mut self, record: &StepRecord) {
        self.lines.extend(line(record));
        self.history.train.push((record.step, record.loss));
    }

    /// Notes an evaluation.
    pub fn evaluation(&mut self, record: &EvaluationRecord) {
        self.lines.extend(line(record));
        self.history.validation.push((record.step, record.val_loss as f32));
    }

    /// Mean training loss since the latest evaluation.
    pub fn recent_train(&self) -> Option<f32> {
        self.history.recent_train()
    }

    /// Forgets what was after a step.
    pub fn rewind(&mut self, step: u64) {
        let (records, length) = records_up_to(&self.lines, step).expect("these lines were read or written before");
        self.lines.truncate(length as usize);
        self.history = History::from_records(&records);
    }
}

/// The records as the page hears them: updates between two evaluations together.
fn parts(records: &[Value], elapsed: f64, prompt: &str) -> Vec<RunPart> {
    let mut parts = Vec::new();
    let mut steps = Vec::new();
    let flush = |steps: &mut Vec<StepPoint>, parts: &mut Vec<RunPart>, elapsed: f64| {
        if !steps.is_empty() {
            parts.push(RunPart::Steps { steps: std::mem::take(steps), tokens_per_second: 0.0, elapsed, memory: 0 });
        }
    };
    for record in records {
        // Losses that were not finite are `null`.
        let number = |key: &str| record[key].as_f64().unwrap_or(f64::NAN);
        let step = record["step"].as_u64().unwrap_or_default();
        match record["kind"].as_str() {
            Some("step") => steps.push(StepPoint {
                step,
                loss: number("loss") as f32,
                learning_rate: number("lr") as f32,
                grad_norm: number("grad_norm") as f32,
            }),
            Some("eval") => {
                // Logs of earlier versions have no times.
                flush(&mut steps, &mut parts, record["elapsed_s"].as_f64().unwrap_or(elapsed));
                parts.push(RunPart::Evaluated(Evaluated {
                    step,
                    val_loss: number("val_loss"),
                    train_loss: record["train_loss"].as_f64().map(|loss| loss as f32),
                    bits_per_char: number("bits_per_char"),
                    best: record["best"].as_bool().unwrap_or_default(),
                }));
                if let Some(sample) = record["sample"].as_str().filter(|sample| !sample.is_empty()) {
                    parts.push(RunPart::Sample { step, text: format!("{prompt}{sample}") });
                }
            }
            _ => {}
        }
    }
    flush(&mut steps, &mut parts, elapsed);
    parts
}
