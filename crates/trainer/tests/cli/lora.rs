//! Low-rank adaptation: adapters trained, resumed, sampled from, merged and refused.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{SMALL, Workplace, object, stderr};

/// A trained base in `runs/base`, and the arguments that adapt it to another text.
fn base(place: &Workplace) {
    let arguments = [&["train", "--out", "runs/base", "--steps", "20", "--quiet"], &SMALL[..]].concat();
    let output = place.run(&arguments);
    assert!(output.status.success(), "{output:?}");
    let poem = fs::read_to_string(place.path("poem.txt")).unwrap();
    let other: String = poem.lines().rev().map(|line| format!("{line} {line}\n")).collect();
    fs::write(place.path("other.txt"), other).unwrap();
}

const ADAPT: [&str; 15] = [
    "train",
    "--from",
    "runs/base",
    "--data",
    "other.txt",
    "--lora-rank",
    "4",
    "--lora-alpha",
    "8",
    "--set",
    "eval_steps=10",
    "dropout=0",
    "--lr",
    "3e-2",
    "--json",
];

fn adapt(place: &Workplace, more: &[&str]) -> Value {
    let output = place.run(&[&ADAPT, more].concat());
    assert!(output.status.success(), "{output:?}");
    object(&output)
}

fn loss(place: &Workplace, model: &str) -> f64 {
    let output = place.run(&["eval", "--model", model, "--data", "other.txt", "--json"]);
    assert!(output.status.success(), "{output:?}");
    object(&output)["loss"].as_f64().unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn adapters_learn_are_merged_and_are_small() {
    for format in ["f16", "q4"] {
        let place = Workplace::new();
        base(&place);
        let before = loss(&place, "runs/base");
        let output = place.run(&[&ADAPT[..14], &["--out", "tuned", "--steps", "100", "--lora-base", format]].concat());
        assert!(output.status.success(), "{output:?}");
        assert!(stderr(&output).contains("LoRA of rank 4 on c_attn, c_proj:"), "{}", stderr(&output));
        assert_eq!(
            files(&place.path("tuned/best")),
            ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        );
        let config: Value =
            serde_json::from_slice(&fs::read(place.path("tuned/best/adapter_config.json")).unwrap()).unwrap();
        assert_eq!(
            (&config["peft_type"], &config["r"], &config["lora_alpha"]),
            (&json!("LORA"), &json!(4), &json!(8.0))
        );
        assert_eq!(
            (&config["fan_in_fan_out"], &config["target_modules"]),
            (&json!(true), &json!(["c_attn", "c_proj"]))
        );

        let adapted = loss(&place, "tuned");
        assert!(adapted < before - 0.03, "{before} to {adapted}");
        let merge = ["merge", "--model", "tuned", "--out", "merged", "--json"];
        let output = place.run(&merge);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(object(&output)["merged"], 3);
        assert_eq!(loss(&place, "merged"), adapted);
        let sample = |model| {
            let output = place.run(&["sample", "--model", model, "--tokens", "40", "--json"]);
            object(&output)["samples"][0]["text"].clone()
        };
        assert_eq!(sample("merged"), sample("tuned"));

        // Nothing is overwritten, and a plain model has nothing to merge.
        place.check_failure(&merge[..5], 2, "model_exists", "merged");
        place.check_failure(&["merge", "--model", "tuned", "--out", "tuned", "--overwrite"], 2, "not_a_model", "tuned");
        place.succeed(&["merge", "--model", "tuned", "--out", "merged/", "--overwrite"]);
        place.check_failure(&["merge", "--model", "merged", "--out", "again"], 2, "no_checkpoint", "a whole model");
        assert!(!place.path("again").exists());
        // What an export is compared with is both together.
        let export = place.succeed(&["export", "--model", "tuned", "--dtype", "f32", "--out", "exported", "--json"]);
        let size = |file: &str| fs::metadata(place.path(file)).unwrap().len();
        let both = size("runs/base/best/model.safetensors") + size("tuned/best/adapter_model.safetensors");
        assert_eq!(object(&export)["before"]["weight_bytes"], both);
        assert_eq!(loss(&place, "exported"), adapted);
        // Runs of adapters compare like others.
        let output = place.run(&["compare", "runs/base", "tuned", "--json"]);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_resumed_run_ends_as_one_that_was_not_interrupted() {
    let place = Workplace::new();
    base(&place);
    adapt(&place, &["--out", "straight", "--steps", "20", "--set", "lr_scheduler_type=constant", "warmup_steps=0"]);
    adapt(&place, &["--out", "resumed", "--steps", "10", "--set", "lr_scheduler_type=constant", "warmup_steps=0"]);
    let output = place.run(&["train", "--resume", "--out", "resumed", "--steps", "20", "--json"]);
    assert!(output.status.success(), "{output:?}");
    for file in ["adapter_model.safetensors", "optimizer.safetensors", "adapter_config.json"] {
        let read = |run: &str| fs::read(place.path(run).join("last").join(file)).unwrap();
        assert!(read("straight") == read("resumed"), "{file}");
    }
}

#[test]
fn adapters_of_another_base_are_refused() {
    let place = Workplace::new();
    base(&place);
    adapt(&place, &["--out", "tuned", "--steps", "10"]);
    // The same architecture with other weights.
    let again =
        [&["train", "--out", "runs/base", "--overwrite", "--steps", "20", "--seed", "5", "--quiet"], &SMALL[..]]
            .concat();
    assert!(place.run(&again).status.success());
    for arguments in [
        vec!["eval", "--model", "tuned", "--data", "other.txt"],
        vec!["sample", "--model", "tuned"],
        vec!["merge", "--model", "tuned", "--out", "merged"],
        vec!["train", "--resume", "--out", "tuned", "--steps", "30"],
    ] {
        place.check_failure(&arguments, 2, "other_base", "are of another base");
    }
    fs::remove_dir_all(place.path("runs")).unwrap();
    place.check_failure(&["sample", "--model", "tuned"], 2, "base", "the base of the adapters in tuned");
    assert!(!place.path("merged").exists());
}

#[test]
fn wrong_requests_are_named() {
    let place = Workplace::new();
    base(&place);
    let with = |more: &[&'static str]| {
        let mut arguments = vec!["train", "--from", "runs/base", "--data", "other.txt", "--out", "tuned"];
        arguments.extend(more);
        arguments
    };
    for (more, reason) in [
        (&["--lora-rank", "0"][..], "r is 0; it must be between 1 and 16"),
        (&["--lora-rank", "17"], "r is 17; it must be between 1 and 16"),
        (&["--lora-rank", "4", "--lora-targets", "c_attn,q_proj"], "attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj"),
        (&["--lora-rank", "4", "--lora-alpha", "-1"], "lora_alpha is -1"),
    ] {
        place.check_failure(&with(more), 2, "lora", reason);
    }
    assert!(!place.path("tuned").exists());
    for arguments in [with(&["--lora-alpha", "8"]), vec!["train", "--lora-rank", "4"]] {
        let output = place.run(&arguments);
        assert!(output.status.code() == Some(2) && stderr(&output).contains("required"), "{output:?}");
    }
    adapt(&place, &["--out", "tuned", "--steps", "10"]);
    // Adapters that name themselves as their base.
    let path = place.path("tuned/best/adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["base_model_name_or_path"] = json!("tuned");
    fs::write(&path, config.to_string()).unwrap();
    place.check_failure(&["sample", "--model", "tuned"], 2, "adapted_base", "need a whole model");
    fs::remove_dir_all(place.path("tuned")).unwrap();
    adapt(&place, &["--out", "tuned", "--steps", "10"]);
    let twice = ["train", "--from", "tuned", "--data", "other.txt", "--lora-rank", "2", "--out", "twice"];
    place.check_failure(&twice, 2, "adapted_base", "need a whole model");
}

#[test]
fn damaged_adapters_are_refused_by_name() {
    let place = Workplace::new();
    base(&place);
    adapt(&place, &["--out", "tuned", "--steps", "10"]);
    let path = place.path("tuned/best/adapter_config.json");
    let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let check = |reason: &str| place.check_failure(&["sample", "--model", "tuned"], 2, "checkpoint", reason);
    for (field, value, reason) in [
        ("peft_type", json!("IA3"), "peft_type is \"IA3\""),
        ("use_dora", json!(true), "`use_dora` is true"),
        ("modules_to_save", json!(["lm_head"]), "`modules_to_save`"),
        ("rank_pattern", json!({"c_attn": 2}), "`rank_pattern`"),
        ("bias", json!("all"), "`bias` is \"all\""),
        ("r", json!(0), "r is 0"),
        ("r", json!(5), "lora_A.weight is [4, 16] instead of [5, 16]"),
        ("r", json!("four"), "`r`"),
        ("base_model_name_or_path", Value::Null, "`base_model_name_or_path` is missing"),
    ] {
        let mut changed = whole.clone();
        changed[field] = value;
        fs::write(&path, changed.to_string()).unwrap();
        check(reason);
    }
    fs::write(&path, "{").unwrap();
    check("not JSON");
    fs::write(&path, whole.to_string()).unwrap();
    let weights = place.path("tuned/best/adapter_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 4]).unwrap();
    check("adapter_model.safetensors");
    fs::remove_file(&weights).unwrap();
    check("the file is missing");
    fs::write(&weights, &bytes).unwrap();
    assert!(place.run(&["sample", "--model", "tuned", "--tokens", "5"]).status.success());
}
