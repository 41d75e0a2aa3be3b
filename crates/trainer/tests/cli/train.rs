//! `trainer train`: what a run leaves behind and what it says.

use inkling_core::presets;
use serde_json::Value;

use crate::{SMALL, Workplace, object, stderr, stdout};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_run_leaves_checkpoints_metrics_and_a_plot() {
    let place = Workplace::new();
    place.train("a", &["--steps", "25"]);
    let files = |folder: &str| {
        let mut names: Vec<_> = place
            .path(folder)
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(files("a"), ["best", "last", "loss.svg", "metrics.jsonl", "run.lock"]);
    let model = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(files("a/best"), model);
    assert_eq!(files("a/last").len(), model.len() + 2);

    let metrics = place.metrics("a");
    let steps: Vec<_> = metrics.iter().filter(|record| record["kind"] == "step").collect();
    assert_eq!(steps.len(), 25);
    assert_eq!(keys(steps[0]), ["grad_norm", "kind", "loss", "lr", "step"]);
    let evaluations: Vec<_> = metrics.iter().filter(|record| record["kind"] == "eval").collect();
    // Each ten steps, and at the end.
    assert_eq!(evaluations.iter().map(|record| record["step"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 20, 25]);
    assert_eq!(
        keys(evaluations[0]),
        ["best", "bits_per_char", "kind", "protocol", "sample", "step", "tokens", "train_loss", "val_loss"]
    );
    assert_eq!(evaluations[0]["best"], true);
    assert_eq!(evaluations[0]["sample"].as_str().unwrap().chars().count(), 120);
    let svg = String::from_utf8(place.read("a/loss.svg")).unwrap();
    assert!(svg.contains(">25<") && svg.contains(">best "), "{svg}");
}

#[test]
fn progress_goes_to_stderr_line_by_line_and_the_summary_to_stdout() {
    let place = Workplace::new();
    let output = place.train("a", &["--steps", "20"]);
    let (err, out) = (stderr(&output), stdout(&output));
    for text in ["tiny: 1 layers, 2 heads", "poem: ", "CPU, ", "20 steps of 64 tokens", "= 3.", "tokens/s"] {
        assert!(err.contains(text), "{text} in {err}");
    }
    let rows: Vec<_> = err.lines().filter(|line| line.trim_start().starts_with(['1', '2'])).collect();
    assert_eq!(rows.iter().filter(|row| row.ends_with("best")).count(), 2, "{err}");
    assert!(err.contains("          │ "), "samples are in the log: {err}");
    assert!(!output.stderr.contains(&0x1b) && !err.contains("left"), "{err}");
    for text in ["best val loss  ", "best model     a/best", "a/loss.svg", "It writes:", "trainer sample --model a"] {
        assert!(out.contains(text), "{text} in {out}");
    }
}

#[test]
fn with_json_the_summary_is_the_only_output() {
    let place = Workplace::new();
    let output = place.train("a", &["--steps", "20", "--json"]);
    assert_eq!(stderr(&output), "");
    let summary = object(&output);
    assert_eq!((summary["steps"].as_u64(), summary["stopped_early"].as_bool()), (Some(20), Some(false)));
    let best = summary["best_val_loss"].as_f64().unwrap();
    assert!(best > 0.0 && summary["tokens_per_s"].as_f64().unwrap() > 0.0);
    assert!((summary["bits_per_char"].as_f64().unwrap() - best / std::f64::consts::LN_2).abs() < 1e-9);
    assert_eq!(summary["sample"].as_str().unwrap().chars().count(), 300);
    for key in ["best", "last", "metrics", "plot"] {
        assert!(place.path(summary[key].as_str().unwrap()).exists(), "{key}");
    }
}

#[test]
fn every_preset_takes_a_step() {
    let place = Workplace::new();
    // The real architectures at a size that fits a test.
    let small = [
        "n_layer=1",
        "n_head=1",
        "n_kv_head=1",
        "n_embd=8",
        "n_positions=8",
        "eval_protocol=sampled",
        "eval_batches=1",
    ];
    for preset in presets::all() {
        let arguments = ["train", "--data", "poem.txt", "--quiet", "--preset", preset.name, "--steps", "1", "--set"];
        let output = place.succeed(&[&arguments[..], &small].concat());
        assert!(stdout(&output).contains(&format!("runs/{}/best", preset.name)), "{output:?}");
    }
}

#[test]
fn training_learns() {
    let place = Workplace::new();
    let losses = place.train("a", &["--steps", "200", "--json", "--lr", "1e-2"]);
    let untrained = (place.metrics("a")[0]["loss"].as_f64().unwrap(), 3.4);
    assert!((untrained.0 - untrained.1).abs() < 0.3, "{untrained:?}");
    assert!(object(&losses)["best_val_loss"].as_f64().unwrap() < 1.5, "{losses:?}");
}

#[test]
fn settings_reach_the_run() {
    let place = Workplace::new();
    place.train("a", &["--steps", "3", "--seed", "7", "--lr", "0.01", "--patience", "9"]);
    let state: Value = serde_json::from_slice(&place.read("a/last/trainer_state.json")).unwrap();
    let settings = &state["settings"];
    assert_eq!((settings["seed"].as_u64(), settings["patience"].as_u64()), (Some(7), Some(9)));
    assert_eq!((settings["batch_size"].as_u64(), settings["max_steps"].as_u64()), (Some(4), Some(3)));
    let config: Value = serde_json::from_slice(&place.read("a/last/config.json")).unwrap();
    assert_eq!((config["n_embd"].as_u64(), config["n_inner"].as_u64()), (Some(16), Some(64)));
}

#[test]
fn the_same_command_gives_the_same_model_whatever_the_thread_count() {
    let place = Workplace::new();
    place.train("a", &["--steps", "12", "--threads", "1"]);
    place.train("b", &["--steps", "12", "--threads", "3"]);
    assert!(place.read("a/last/model.safetensors") == place.read("b/last/model.safetensors"));
    assert_eq!(place.metrics("a"), place.metrics("b"));
    place.train("c", &["--steps", "12", "--seed", "1"]);
    assert!(place.read("a/last/model.safetensors") != place.read("c/last/model.safetensors"));
}

#[test]
fn patience_ends_a_run_early_and_more_steps_start_it_anew() {
    let place = Workplace::new();
    // Far too high a learning rate: the first evaluation stays the best.
    let flags = ["--lr", "3", "--patience", "2", "--steps", "5000"];
    let summary = object(&place.train("a", &[&flags[..], &["--json"]].concat()));
    assert_eq!(summary["stopped_early"], true);
    assert!(summary["steps"].as_u64().unwrap() < 5000);
    let stopped = place.succeed(&["train", "--resume", "--out", "a", "--json"]);
    assert_eq!(object(&stopped)["stopped_early"], true);
    let stopped = place.succeed(&["train", "--resume", "--out", "a"]);
    assert!(stderr(&stopped).contains("stopped early, 2 evaluations after its best"), "{stopped:?}");
    let command = "train --resume --out a --steps 5000";
    assert!(stderr(&stopped).contains(command) && stdout(&stopped).contains(command), "{stopped:?}");
    let command: Vec<&str> = command.split(' ').chain(["--json"]).collect();
    let longer = object(&place.succeed(&command));
    assert!(longer["steps"].as_u64() > summary["steps"].as_u64(), "{longer}");
}

#[test]
fn an_existing_run_is_only_touched_on_request() {
    let place = Workplace::new();
    place.train("a", &["--steps", "5"]);
    let model = place.read("a/best/model.safetensors");
    let again = [&["train", "--out", "a"], &SMALL[..], &["--steps", "5", "--seed", "5"]].concat();
    let output = place.run(&again);
    assert_eq!(output.status.code(), Some(2));
    for text in ["run folder a already exists", "trainer train --resume --out a", "--overwrite", "--out"] {
        assert!(stderr(&output).contains(text), "{text} in {output:?}");
    }
    assert!(place.read("a/best/model.safetensors") == model);
    place.succeed(&[&again[..], &["--overwrite"]].concat());
    assert!(place.read("a/best/model.safetensors") != model);
    assert_eq!(place.metrics("a").len(), 6);
    place.check_failure(&["train", "--resume", "--overwrite"], 2, "usage", "cannot be used with '--overwrite'");
}

#[test]
fn without_a_command_it_trains_the_preset_that_suits_the_machine() {
    let place = Workplace::new();
    std::fs::create_dir_all(place.path("runs/tiny/last")).unwrap();
    place.check_failure(&["train"], 2, "run_exists", "the run folder runs/tiny already exists");
    std::fs::create_dir_all(place.path("runs/small/last")).unwrap();
    let output = place.run(&[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("already exists"), "{output:?}");
}
