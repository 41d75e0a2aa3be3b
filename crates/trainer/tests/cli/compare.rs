//! `trainer compare`: runs side by side.

use std::fs;

use serde_json::{Value, json};

use crate::{Workplace, object, stderr, stdout};

/// Two runs that differ in their seed and learning rate, the second of them longer.
fn trained() -> Workplace {
    let place = Workplace::new();
    place.train("runs/a", &["--steps", "20", "--lr", "1e-3"]);
    place.train("runs/b", &["--steps", "40", "--lr", "1e-2", "--seed", "7"]);
    place
}

fn compare(place: &Workplace, more: &[&str]) -> Value {
    object(&place.succeed(&[&["compare", "--json"], more].concat()))
}

#[test]
fn runs_are_sorted_by_their_loss_and_only_what_differs_is_shown() {
    let place = trained();
    let found = compare(&place, &["runs/a", "runs/b"]);
    let runs = found["runs"].as_array().unwrap();
    assert_eq!([&runs[0]["name"], &runs[1]["name"]], ["b", "a"]);
    let best = place.metrics("runs/b").into_iter().rfind(|record| record["best"] == true).unwrap();
    for (key, of_best) in [("best_step", "step"), ("best_val_loss", "val_loss"), ("bits_per_char", "bits_per_char")] {
        assert_eq!(runs[0][key], best[of_best], "{key}");
    }
    assert_eq!((runs[0]["steps"].as_u64(), runs[0]["characters_per_token"].as_f64()), (Some(40), Some(1.0)));
    assert_eq!(runs[0]["evaluations"].as_array().unwrap().len(), 4);
    // Four sequences of sixteen tokens per step.
    assert_eq!(runs[0]["evaluations"][1]["characters_learnt"], 20.0 * 64.0);
    assert!(runs.iter().all(|run| run["tokens_per_s"].as_f64().unwrap() > 0.0));
    assert_eq!(found["warnings"], json!([]));

    let differences = found["differences"].as_array().unwrap();
    let settings: Vec<_> = differences.iter().map(|row| row["setting"].as_str().unwrap()).collect();
    assert_eq!(settings, ["learning_rate", "max_steps", "min_learning_rate", "seed", "warmup_steps"]);
    assert_eq!(differences[3]["values"], json!([7, 1337]));

    let output = place.succeed(&["compare", "runs/a", "runs/b"]);
    let text = stdout(&output);
    assert!(text.lines().nth(1).unwrap().starts_with("1  b ") && text.contains("curves  runs/compare.svg"), "{text}");
    assert!(text.contains("\nsetting ") && text.contains("\nseed ") && !text.contains("n_embd"), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn the_curves_are_drawn_where_and_against_what_was_asked() {
    let place = trained();
    let all = compare(&place, &[]);
    assert_eq!((all["plot"].as_str(), all["runs"].as_array().unwrap().len()), (Some("runs/compare.svg"), 2));
    for (x, label) in
        [("steps", ">step<"), ("time", ">time (seconds)<"), ("tokens", ">tokens "), ("characters", ">characters ")]
    {
        place.succeed(&["compare", "--x", x, "--out", "drawn/here.svg"]);
        let svg = String::from_utf8(place.read("drawn/here.svg")).unwrap();
        assert!(svg.contains(label) && svg.contains(">a<") && svg.contains(">bits per character<"), "{label} in {svg}");
    }
    // The drawing is no run.
    assert_eq!(compare(&place, &[])["runs"].as_array().unwrap().len(), 2);
    fs::rename(place.path("runs"), place.path("elsewhere")).unwrap();
    assert_eq!(compare(&place, &["elsewhere/a", "elsewhere/b"])["plot"], "compare.svg");
}

#[test]
fn losses_that_do_not_compare_are_warned_of() {
    let place = trained();
    place.train("runs/sampled", &["--steps", "10", "--set", "eval_protocol=sampled"]);
    fs::write(place.path("song.txt"), "la la la, lo lo lo\n".repeat(50)).unwrap();
    place.succeed(&[
        "train",
        "--out",
        "runs/song",
        "--data",
        "song.txt",
        "--steps",
        "10",
        "--set",
        "n_layer=1",
        "n_embd=16",
        "n_head=2",
        "n_positions=16",
    ]);
    let warnings = |runs: &[&str]| compare(&place, runs)["warnings"].as_array().unwrap().clone();
    let [text] = &warnings(&["runs/a", "runs/song"])[..] else { panic!("one warning") };
    assert!(
        text.as_str().unwrap().contains("different texts: ") && text.as_str().unwrap().contains(" in song"),
        "{text}"
    );
    let [protocol] = &warnings(&["runs/a", "runs/sampled"])[..] else { panic!("one warning") };
    for part in ["different windows: ", "the full protocol in a", "the sampled protocol in sampled"] {
        assert!(protocol.as_str().unwrap().contains(part), "{part} in {protocol}");
    }
    let output = place.succeed(&["compare", "--quiet"]);
    assert_eq!(stderr(&output).matches("warning: the losses do not compare").count(), 2, "{output:?}");
    let settings = compare(&place, &["runs/a", "runs/song"])["differences"].clone();
    let differing = |name: &str| settings.as_array().unwrap().iter().any(|row| row["setting"] == name);
    assert!(differing("tokenizer") && differing("data_sha256") && differing("vocab_size"), "{settings}");

    // The same text, cut elsewhere.
    let log = String::from_utf8(place.read("runs/b/metrics.jsonl")).unwrap();
    let tokens = log.split("\"tokens\":").nth(1).unwrap().split(',').next().unwrap();
    fs::write(place.path("runs/b/metrics.jsonl"), log.replace(&format!("\"tokens\":{tokens}"), "\"tokens\":99"))
        .unwrap();
    let [split] = &warnings(&["runs/a", "runs/b"])[..] else { panic!("one warning") };
    assert!(split.as_str().unwrap().contains("the validation splits differ: the last 100 characters in b"), "{split}");
}

#[test]
fn older_logs_and_losses_that_were_not_finite_are_read() {
    let place = trained();
    let log = String::from_utf8(place.read("runs/a/metrics.jsonl")).unwrap();
    let without_time = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("elapsed_s");
        format!("{record}\n")
    };
    fs::write(place.path("runs/a/metrics.jsonl"), log.lines().map(without_time).collect::<String>()).unwrap();
    assert_eq!(compare(&place, &[])["runs"][1]["evaluations"][0]["elapsed_s"], Value::Null);
    place.check_failure(
        &["compare", "--x", "time"],
        2,
        "compare",
        "cannot compare runs/a: its log has no time at step 10",
    );

    let lost = r#"{"kind":"eval","step":10,"val_loss":null,"bits_per_char":null,"tokens":9,"protocol":"full"}"#;
    fs::write(place.path("runs/a/metrics.jsonl"), format!("{lost}\n{{\"torn")).unwrap();
    let found = compare(&place, &[]);
    assert_eq!((&found["runs"][1]["name"], &found["runs"][1]["bits_per_char"]), (&json!("a"), &Value::Null));
    assert!(String::from_utf8(place.read("runs/compare.svg")).unwrap().contains(">never finite<"));
}

#[test]
fn one_run_and_a_run_given_twice_are_shown_once() {
    let place = trained();
    let output = place.succeed(&["compare", "runs/a", "runs/../runs/a"]);
    assert!(stderr(&output).contains("warning: runs/../runs/a is given twice"), "{output:?}");
    assert!(
        stderr(&output).contains("a is alone: name another run") && !stdout(&output).contains("setting"),
        "{output:?}"
    );
    fs::create_dir(place.path("old")).unwrap();
    fs::rename(place.path("runs/b"), place.path("old/a")).unwrap();
    let found = compare(&place, &["runs/a", "old/a"]);
    assert_eq!([&found["runs"][0]["name"], &found["runs"][1]["name"]], ["old/a", "runs/a"]);
}

#[test]
fn what_is_no_run_is_refused_in_words_and_draws_nothing() {
    let place = Workplace::new();
    place.check_failure(&["compare"], 2, "compare", "cannot compare runs: no run has saved anything yet");
    place.train("runs/a", &["--steps", "10"]);
    let refuse = |path: &str, kind: &str, reason: &str| {
        place.check_failure(&["compare", "runs/a", path], 2, kind, reason);
    };
    fs::create_dir(place.path("music")).unwrap();
    refuse("music", "compare", "cannot compare music: it is not a run folder, there is no metrics.jsonl in it");
    refuse("poem.txt", "compare", "cannot compare poem.txt: it is not a run folder");
    refuse("nowhere", "compare", "there is no such folder");
    refuse("runs/a/best", "compare", "it is a part of a run");
    fs::write(place.path("music/metrics.jsonl"), "").unwrap();
    refuse("music", "compare", "it has saved nothing yet");

    place.train("b", &["--steps", "10"]);
    let log = String::from_utf8(place.read("b/metrics.jsonl")).unwrap();
    let damage = |content: &str, kind: &str, reason: &str| {
        fs::write(place.path("b/metrics.jsonl"), content).unwrap();
        refuse("b", kind, reason);
    };
    damage("", "compare", "it was never evaluated");
    damage(&format!("nonsense\n{log}"), "metrics", "metrics.jsonl line 1 is not a metrics record");
    damage(
        &log.replace("\"tokens\":", "\"token\":"),
        "metrics",
        "line 11 is not a metrics record: missing field `tokens`",
    );
    damage(&log.replace("\"protocol\":\"full\"", "\"protocol\":\"half\""), "metrics", "unknown variant `half`");
    fs::write(place.path("b/metrics.jsonl"), &log).unwrap();
    fs::write(place.path("b/last/trainer_state.json"), "{}").unwrap();
    refuse("b", "checkpoint", "cannot use the checkpoint b/last: trainer_state.json: not a run's state");
    fs::remove_file(place.path("b/last/trainer_state.json")).unwrap();
    refuse("b", "checkpoint", "a model without the state of its training");
    assert!(!place.path("runs/compare.svg").exists());
}
