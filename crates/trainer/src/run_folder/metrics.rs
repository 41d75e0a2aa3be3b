//! `metrics.jsonl`: one JSON object per line, each with its `step`, in the order of the steps.
//!
//! A line is on its way to the disk as soon as it is appended, so that `tail -f` follows a run. A process that is killed may
//! leave a torn last line, and a run that resumes from a checkpoint repeats the steps after it: resuming therefore cuts the
//! file after the last whole line up to the checkpoint's step.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use inkling_core::train::history::{line, records_up_to};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// The open file.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Starts an empty log.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("write", path))?;
        Ok(Self { path: path.into(), file })
    }

    /// Continues a log after `step`, and returns the records up to there. A missing file is an empty log.
    ///
    /// # Errors
    /// [`Error::Metrics`] names a line, other than a torn last one, that is no record.
    pub fn resume(path: &Path, step: u64) -> Result<(Self, Vec<Value>)> {
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(Error::io("write", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        let (records, length) = records_up_to(&bytes, step).map_err(|(line, problem)| Error::Metrics {
            path: path.into(),
            line,
            problem,
        })?;
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).map_err(Error::io("write", path))?;
        Ok((Self { path: path.into(), file }, records))
    }

    /// Appends one record, which must have a `step`.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        self.file.write_all(&line(record)).map_err(Error::io("write", &self.path))
    }
}

/// The records of a log, which a run may be writing just now: record `i` is line `i + 1`.
///
/// # Errors
/// [`Error::Metrics`] names a line, other than a torn last one, that is no record.
pub fn read(path: &Path) -> Result<Vec<Value>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let bad = |(line, problem)| Error::Metrics { path: path.into(), line, problem };
    Ok(records_up_to(&bytes, u64::MAX).map_err(bad)?.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// A log with this content, resumed at `step`; the outcome and what the file holds then.
    fn resume(content: &str, step: u64) -> (Result<Vec<Value>>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, content).unwrap();
        let outcome = MetricsLog::resume(&path, step).and_then(|(mut log, records)| {
            log.append(&json!({ "step": step + 1 }))?;
            Ok(records)
        });
        (outcome, fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn resuming_forgets_the_steps_after_the_checkpoint() {
        let (records, content) = resume("{\"step\":1}\n{\"step\":2,\"loss\":3.5}\n{\"step\":3}\n", 2);
        assert_eq!(records.unwrap(), [json!({"step": 1}), json!({"step": 2, "loss": 3.5})]);
        assert_eq!(content, "{\"step\":1}\n{\"step\":2,\"loss\":3.5}\n{\"step\":3}\n");
    }

    #[test]
    fn a_torn_last_line_is_dropped_wherever_it_was_torn() {
        let torn = "{\"step\":2,\"loss\":3.5}";
        for length in 0..=torn.len() {
            let (records, content) = resume(&format!("{{\"step\":1}}\n{}", &torn[..length]), 9);
            assert_eq!(records.unwrap(), [json!({"step": 1})]);
            assert_eq!(content, "{\"step\":1}\n{\"step\":10}\n");
        }
        // A power cut can leave a block of zeros.
        let (records, _) = resume("{\"step\":1}\n\0\0\0\0\n", 9);
        assert_eq!(records.unwrap().len(), 1);
    }

    #[test]
    fn a_bad_line_in_the_middle_is_named_and_nothing_is_cut() {
        let content = "{\"step\":1}\n{\"loss\":2}\n{\"step\":3}\n";
        let (outcome, after) = resume(content, 9);
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("metrics.jsonl line 2 is not a metrics record: it has no step"), "{error}");
        assert_eq!(after, content);
    }

    #[test]
    fn appended_lines_can_be_read_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::create(&path).unwrap();
        log.append(&json!({ "step": 1, "loss": 4.17 })).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"loss\":4.17,\"step\":1}\n");
        assert_eq!(read(&path).unwrap(), [json!({ "step": 1, "loss": 4.17 })]);
    }
}
