//! `cargo xtask golden`: PyTorch's word on our arithmetic, in both directions.
//!
//! 1. `golden.py` writes the fixtures of core's tests. They are committed; a second run changes no byte.
//! 2. A model of each family that our trainer trains for a few steps opens in `transformers`, tokenizer included, and
//!    `transformers` finds the same validation loss as `trainer eval`.
//! 3. So it does for the folders that `transformers` saves of its own models (`save_folders.py`): in float32, float16 and bfloat16,
//!    in one file and in several.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::process::{capture, cargo, command_line, root, run as run_to_the_end};
use crate::python;

const FIXTURES: &str = "crates/core/tests/golden";
const SCRATCH: &str = "target/golden";

/// Largest relative difference between our float32 loss and PyTorch's float64 one over a whole split: hundreds of times the
/// rounding seen (1.3e-8), far below what any mistake in windows, targets or layouts makes.
const LOSS_TOLERANCE: f64 = 1e-5;

/// What makes a preset a model of each family.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("gpt2", &[]),
    ("llama", &["n_kv_head=2", "rope_theta=500000"]),
    ("mistral", &["n_kv_head=1", "sliding_window=5", "tie_word_embeddings=false"]),
    ("qwen3", &["qk_norm=true", "sliding_window=9", "dropout=0.1"]),
];
/// What all but GPT-2 have in common.
const LLAMA: [&str; 4] =
    ["position_embedding_type=rope", "normalization=rmsnorm", "activation_function=swiglu", "bias=false"];

/// What both `eval` implementations print; more fields may be there.
#[derive(Debug, Deserialize)]
struct Evaluation {
    loss: f64,
    tokens: u64,
    protocol: String,
}

/// Writes the fixtures, then checks a trained folder.
pub fn run() -> Result<()> {
    python::ensure()?;
    println!("writing {FIXTURES} with PyTorch");
    run_to_the_end(python::script("golden.py").arg(root().join(FIXTURES)))?;
    let scratch = root().join(SCRATCH);
    let text = scratch.join("text.txt");
    write_source_text(&text)?;
    check_our_folders(&scratch, &text)?;
    check_their_folders(&scratch, &text)
}

/// Trains each family for 20 steps on core's own source text, for `transformers` to open.
fn check_our_folders(scratch: &Path, text: &Path) -> Result<()> {
    for (family, settings) in FAMILIES {
        println!("training a {family} for a few steps, for `transformers` to open");
        let run = scratch.join(family);
        let mut train = trainer(&["train", "--preset", "micro", "--steps", "20", "--device", "cpu", "--overwrite"]);
        train.arg("--data").arg(text).arg("--out").arg(&run);
        if family != "gpt2" {
            train.arg("--set").args(LLAMA).args(settings);
        }
        run_to_the_end(&mut train)?;
        let folder = run.join("last");
        run_to_the_end(python::script("check_folder.py").arg("open").arg(&folder).arg("--text").arg(text))?;
        check_loss(&folder, text)?;
    }
    Ok(())
}

/// Opens what `transformers` saved.
fn check_their_folders(scratch: &Path, text: &Path) -> Result<()> {
    println!("saving models with `transformers`, to open here");
    let (tokenizer, folders) = (scratch.join("gpt2/last"), scratch.join("theirs"));
    let cases = capture(python::script("save_folders.py").arg(tokenizer).arg(&folders))?;
    cases.lines().try_for_each(|case| check_loss(&folders.join(case), text))
}

/// Both find the same validation loss.
fn check_loss(folder: &Path, text: &Path) -> Result<()> {
    let mut ours = trainer(&["eval", "--split", "val", "--device", "cpu", "--json"]);
    let ours = evaluation(ours.arg("--model").arg(folder).arg("--data").arg(text))?;
    let theirs = evaluation(python::script("check_folder.py").arg("loss").arg(folder).arg(text))?;
    let name = folder.strip_prefix(root()).unwrap_or(folder).display();
    println!("{name}: loss {:.8} here, {:.8} in transformers", ours.loss, theirs.loss);
    agree(&ours, &theirs)
}

/// Core's sources in one file, in the order of their paths.
fn write_source_text(file: &Path) -> Result<()> {
    let failed = |path: &Path, source| Error::File { file: path.display().to_string(), source };
    let folder = root().join("crates/core/src");
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| failed(&folder, source))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let mut text = String::new();
    for path in &paths {
        text.push_str(&fs::read_to_string(path).map_err(|source| failed(path, source))?);
    }
    let parent = file.parent().expect("the scratch folder");
    fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
    fs::write(file, text).map_err(|source| failed(file, source))
}

fn trainer(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "trainer", "--"]).args(arguments);
    command
}

fn evaluation(command: &mut Command) -> Result<Evaluation> {
    let text = capture(command)?;
    serde_json::from_str(&text).map_err(|error| Error::Output {
        command: command_line(command),
        problem: format!("expected one JSON object with `loss`, `tokens` and `protocol` ({error}), found: {text}"),
    })
}

fn agree(ours: &Evaluation, theirs: &Evaluation) -> Result<()> {
    let same_question = ours.tokens == theirs.tokens && ours.protocol == theirs.protocol;
    if same_question && (ours.loss - theirs.loss).abs() <= LOSS_TOLERANCE * theirs.loss.abs() {
        return Ok(());
    }
    Err(Error::Disagreement(format!("evaluation differs: here {ours:?}, in transformers {theirs:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(loss: f64, tokens: u64) -> Evaluation {
        Evaluation { loss, tokens, protocol: "full".into() }
    }

    #[test]
    fn rounding_is_agreement_and_anything_else_is_not() {
        let theirs = evaluation(2.5, 1000);
        assert!(agree(&evaluation(2.500_01, 1000), &theirs).is_ok());
        for wrong in [evaluation(2.5001, 1000), evaluation(2.5, 999), evaluation(f64::NAN, 1000)] {
            assert!(agree(&wrong, &theirs).is_err(), "{wrong:?}");
        }
    }
}
