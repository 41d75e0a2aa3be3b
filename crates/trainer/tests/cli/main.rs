//! The command line as a user runs it: the real program, its output and its exit codes.

mod bad_input;
mod compare;
mod data;
mod devices;
mod export;
mod gpu;
mod hub;
mod interruption;
mod lora;
mod models;
mod prepared;
#[path = "../../src/http/test_server.rs"]
#[allow(dead_code, reason = "shared with the unit tests, which use all of it")]
mod test_server;
mod tokenizer;
mod train;
mod variants;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The program, with a cache folder of its own, on the CPU unless the arguments say otherwise: whatever GPU there is, results are those
/// of the CPU engine, and no driver says anything on stderr.
fn trainer(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.args(arguments).env("INKLING_CACHE", cache);
    let computes = matches!(arguments, ["train" | "sample" | "eval" | "bench", ..]);
    if computes && !["--help", "--device", "--adapter"].iter().any(|option| arguments.contains(option)) {
        command.args(["--device", "cpu"]);
    }
    // As from a shell, whatever started the tests.
    command.env_remove("CARGO_PKG_NAME");
    command
}

fn run(arguments: &[&str]) -> Output {
    let cache = tempfile::tempdir().unwrap();
    trainer(cache.path(), arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Stdout as the single JSON object that `--json` promises.
fn object(output: &Output) -> Value {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(object.is_object());
    object
}

/// Fails with `code`, tells the reason on stderr and nothing on stdout; with `--json` tells it in both.
fn check_failure(arguments: &[&str], code: i32, kind: &str, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    check_failure_in(folder.path(), arguments, code, kind, reason);
}

/// The same in a folder.
fn check_failure_in(folder: &Path, arguments: &[&str], code: i32, kind: &str, reason: &str) {
    let run = |arguments: &[&str]| trainer(&folder.join("cache"), arguments).current_dir(folder).output().unwrap();
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    assert!(stderr(&output).starts_with("error: ") && stderr(&output).contains(reason), "{arguments:?}: {output:?}");
    assert_eq!(stdout(&output), "");

    let output = run(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    let error = &object(&output)["error"];
    assert_eq!((error["kind"].as_str(), error["exit_code"].as_i64()), (Some(kind), Some(code.into())));
    assert!(error["message"].as_str().unwrap().contains(reason), "{arguments:?}: {error}");
    assert!(stderr(&output).contains(reason));
}

/// A model that trains in an instant, on `poem.txt`.
const SMALL: [&str; 11] = [
    "--data",
    "poem.txt",
    "--set",
    "n_layer=1",
    "n_embd=16",
    "n_head=2",
    "n_positions=16",
    "eval_steps=10",
    "dropout=0.1",
    "--batch-size",
    "4",
];

/// A folder with a text, where the program runs.
struct Workplace {
    folder: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line =
            |i: u32| format!("Line {i}: the {} sees the {}.\n", ["cat", "dog", "owl"][(i % 3) as usize], i * i % 11);
        std::fs::write(folder.path().join("poem.txt"), (0..200).map(line).collect::<String>()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = trainer(&self.path("cache"), arguments);
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and succeeds.
    fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    /// Trains the small model in the folder `out`.
    fn train(&self, out: &str, more: &[&str]) -> Output {
        self.succeed(&[&["train", "--out", out], &SMALL[..], more].concat())
    }

    fn check_failure(&self, arguments: &[&str], code: i32, kind: &str, reason: &str) {
        check_failure_in(self.folder.path(), arguments, code, kind, reason);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The lines of a run's metrics, without what depends on the clock.
    fn metrics(&self, run: &str) -> Vec<Value> {
        let text = String::from_utf8(self.read(&format!("{run}/metrics.jsonl"))).unwrap();
        let mut records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for record in &mut records {
            record.as_object_mut().unwrap().retain(|key, _| !["tokens_per_s", "elapsed_s"].contains(&key.as_str()));
        }
        records
    }
}
