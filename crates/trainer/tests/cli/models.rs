//! Commands that use a trained model or a preset: `sample`, `eval`, `inspect`, `bench`.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use inkling_core::presets;
use serde_json::Value;

use crate::{Workplace, object, run, stderr, stdout};

fn trained() -> Workplace {
    let place = Workplace::new();
    place.train("runs/a", &["--steps", "30", "--lr", "1e-2"]);
    place
}

fn texts(output: &std::process::Output) -> Vec<String> {
    let samples = object(output)["samples"].clone();
    samples.as_array().unwrap().iter().map(|sample| sample["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sampling_streams_the_text_and_tells_the_speed_aside() {
    let place = trained();
    let output = place.succeed(&["sample", "--model", "runs/a", "--prompt", "Line 7", "--tokens", "100"]);
    let text = stdout(&output);
    assert!(text.starts_with("Line 7"), "{text}");
    assert_eq!(text.trim_end_matches('\n').chars().count(), text.trim_end_matches('\n').len());
    assert!(stderr(&output).contains("100 tokens, ") && stderr(&output).contains(" tokens/s"), "{output:?}");
    // The only run is the default, and people and programs get the same text.
    let json = place.succeed(&["sample", "--prompt", "Line 7", "--tokens", "100", "--json"]);
    assert_eq!(texts(&json)[0].trim_end_matches('\n'), text.trim_end_matches('\n'));
    assert_eq!(texts(&json)[0].chars().count(), 106);
}

#[test]
fn the_seed_decides_the_sample_unless_it_is_greedy() {
    let place = trained();
    let sample = |more: &[&str]| texts(&place.succeed(&[&["sample", "--tokens", "60", "--json"], more].concat()));
    assert_eq!(sample(&["--seed", "1"]), sample(&["--seed", "1", "--threads", "1"]));
    assert_ne!(sample(&["--seed", "1"]), sample(&["--seed", "2"]));
    let several = sample(&["--seed", "1", "--num-samples", "3"]);
    assert_eq!(several.len(), 3);
    assert_eq!(several[..2], [sample(&["--seed", "1"]), sample(&["--seed", "2"])].concat());
    let greedy = sample(&["--greedy", "--seed", "1"]);
    assert_eq!(greedy, sample(&["--temperature", "0", "--seed", "2"]));
    assert_eq!(greedy, sample(&["--top-k", "1"]));
    assert_eq!(greedy, sample(&["--top-p", "1e-9"]));
}

#[test]
fn prompts_and_texts_may_be_longer_than_the_context() {
    let place = trained();
    let prompt = "Line 1: the cat sees the dog.\n".repeat(3);
    let output = place.succeed(&["sample", "--json", "--tokens", "50", "--prompt", &prompt]);
    assert!(texts(&output)[0].starts_with(&prompt) && texts(&output)[0].chars().count() == prompt.len() + 50);
}

#[test]
fn a_reader_that_has_enough_ends_the_sample_without_a_fuss() {
    let place = trained();
    let mut command = place.command(&["sample", "--tokens", "1000000000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    // A line arrives although the text has no end: it streams.
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
}

#[test]
fn eval_repeats_what_training_measured() {
    let place = trained();
    let eval = |more: &[&str]| {
        object(&place.succeed(&[&["eval", "--model", "runs/a", "--data", "poem.txt", "--json"], more].concat()))
    };
    let metrics = place.metrics("runs/a");
    let best = metrics.iter().rfind(|record| record["best"] == true).unwrap();
    let found = eval(&[]);
    let loss = found["loss"].as_f64().unwrap();
    assert!((loss - best["val_loss"].as_f64().unwrap()).abs() < 1e-6, "{found} {best}");
    assert_eq!((found["tokens"].as_u64(), found["protocol"].as_str()), (best["tokens"].as_u64(), Some("full")));
    assert!((found["perplexity"].as_f64().unwrap() - loss.exp()).abs() < 1e-9);
    assert!((found["bits_per_char"].as_f64().unwrap() - loss / std::f64::consts::LN_2).abs() < 1e-9);

    let tokens = |split| eval(&["--split", split])["tokens"].as_u64().unwrap();
    assert_eq!(tokens("all"), tokens("train") + tokens("val") + 1);
    let sampled = eval(&["--protocol", "sampled", "--batch-size", "2"]);
    assert_eq!((sampled["protocol"].as_str(), sampled["tokens"].as_u64()), (Some("sampled"), Some(50 * 2 * 16)));
    let batches = eval(&["--batch-size", "3"])["loss"].as_f64().unwrap();
    assert!((batches - loss).abs() < 1e-9, "the full protocol does not depend on the batch size");
}

#[test]
fn inspect_adds_up() {
    let sizes = |found: &Value| {
        let tensors = found["tensors"].as_array().unwrap();
        tensors.iter().map(|tensor| tensor["parameters"].as_u64().unwrap()).sum::<u64>()
    };
    let tiny = object(&run(&["inspect", "--preset", "tiny", "--json"]));
    assert_eq!((sizes(&tiny), tiny["parameters"].as_u64()), (809_856, Some(809_856)));
    // Values, gradients and two moments are a lower bound.
    assert!(tiny["training_memory_bytes"].as_u64().unwrap() > 16 * 809_856);
    // Two per weight of a matrix product and token forward, three times that for training.
    let (forward, training) =
        (tiny["forward_flops_per_token"].as_f64().unwrap(), tiny["training_flops_per_token"].as_f64().unwrap());
    assert!(forward > 2.0 * 786_432.0 && forward < 2.4 * 809_856.0, "{forward}");
    assert!((2.9..3.3).contains(&(training / forward)), "{training}");
    let half = object(&run(&["inspect", "--preset", "tiny", "--batch-size", "16", "--json"]));
    assert!(half["training_memory_bytes"].as_u64() < tiny["training_memory_bytes"].as_u64());

    let wide = run(&["inspect", "--preset", "tiny", "--set", "n_embd=64", "vocab_size=100"]);
    let text = stdout(&wide);
    assert!(text.contains("wte.weight") && text.contains("[100, 64]") && text.contains("[256, 64]"), "{text}");

    let place = trained();
    let found = object(&place.succeed(&["inspect", "--json"]));
    assert_eq!(found["name"], "runs/a/best");
    assert_eq!((sizes(&found), found["config"]["n_embd"].as_u64()), (found["parameters"].as_u64().unwrap(), Some(16)));
}

#[test]
fn presets_are_listed_with_what_inspect_says_they_cost() {
    let found = object(&run(&["presets", "--json"]));
    let listed = found["presets"].as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|preset| preset["name"].as_str().unwrap()).collect();
    assert_eq!(names, presets::all().iter().map(|preset| preset.name).collect::<Vec<_>>());
    let tiny = listed.iter().find(|preset| preset["name"] == "tiny").unwrap();
    let inspected = object(&run(&["inspect", "--preset", "tiny", "--json"]));
    for key in ["parameters", "config", "training_memory_bytes", "inference_memory_bytes", "training_flops_per_token"] {
        assert_eq!(tiny[key], inspected[key], "{key}");
    }
    assert_eq!(
        (tiny["tokens_per_step"].as_u64(), tiny["settings"]["learning_rate"].as_f64()),
        (Some(2048), Some(0.003))
    );

    let output = run(&["presets"]);
    let text = stdout(&output);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for preset in presets::all() {
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.join(" ").contains(preset.reason) && words.contains(&preset.name), "{} in {text}", preset.name);
    }
}

#[test]
fn inspect_finds_neighbours_and_analogies_beside_what_chance_finds() {
    let place = trained();
    let ask = ["inspect", "--model", "runs/a", "--neighbors", "a", "--neighbors", "#0", "--analogy", "a", "d", "c"];
    let found = object(&place.succeed(&[&ask[..], &["--json"]].concat()));
    assert_eq!(found["neighbors"][0]["token"]["text"], "a");
    assert_eq!(found["neighbors"][1]["token"], serde_json::json!({"id": 0, "text": "\n"}));
    let nearest = found["neighbors"][0]["nearest"].as_array().unwrap();
    assert_eq!(nearest.len(), 10);
    for (i, neighbour) in nearest.iter().enumerate() {
        let number = |value: &Value| value.as_f64().unwrap();
        assert_ne!(neighbour["token"]["text"], "a");
        assert!(i == 0 || number(&neighbour["cosine"]) <= number(&nearest[i - 1]["cosine"]));
        assert!(number(&neighbour["shuffled"]["mean"]) <= number(&neighbour["shuffled"]["max"]), "{neighbour}");
    }
    let given: Vec<_> =
        found["analogies"][0]["tokens"].as_array().unwrap().iter().map(|token| &token["text"]).collect();
    assert_eq!(given, ["a", "d", "c"]);

    let output = place.succeed(&ask);
    let text = stdout(&output);
    for part in ["nearest to \"a\" #", "nearest to \"\\n\" #0", ": ?\n", "shuffled: mean", "of 20 shuffles"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let neighbors = ["inspect", "--model", "runs/a", "--neighbors"];
    place.check_failure(&[&neighbors[..], &["cat"]].concat(), 2, "token", "it is 3 tokens, \"c\" #");
    place.check_failure(&[&neighbors[..], &["#99"]].concat(), 2, "token", "the ids of this model are #0 to #");
    let untrained = ["inspect", "--preset", "tiny", "--analogy", "a", "b", "c"];
    place.check_failure(&untrained, 2, "untrained", "the preset tiny is not trained");
}

#[test]
fn bench_reports_every_figure_and_where_the_time_goes() {
    let arguments = ["bench", "--preset", "micro", "--batch-size", "2", "--seconds", "0"];
    let found = object(&run(&[&arguments[..], &["--ops", "--json", "--weights", "f32", "f16", "q8", "q4"]].concat()));
    let sampling = found["sampling"].as_array().unwrap();
    let weights: Vec<_> = sampling.iter().map(|sampling| sampling["weights"].as_str().unwrap()).collect();
    assert_eq!(weights, ["f32", "f16", "q8", "q4"]);
    // 4 blocks of 12 · 64² weights, and a head of 65 · 64.
    let bytes: Vec<_> = sampling.iter().map(|sampling| sampling["weight_bytes_per_token"].as_u64().unwrap()).collect();
    let (layers, head) = (4 * 12 * 64 * 64, 65 * 64);
    assert_eq!(bytes[..2], [4 * (layers + head), 2 * (layers + head)]);
    assert!(bytes[1] > bytes[2] && bytes[2] > bytes[3] && bytes[3] > layers / 2, "{bytes:?}");
    assert!(sampling.iter().all(|sampling| sampling["weight_gb_per_s"].as_f64().unwrap() > 0.0), "{sampling:?}");
    for key in [
        "train_tokens_per_s",
        "sample_tokens_per_s",
        "train_gflops",
        "peak_gflops",
        "share_of_peak",
        "peak_memory_bytes",
        "sample_ms_per_token",
    ] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key} in {found}");
    }
    let ops = found["ops"].as_array().unwrap();
    let shares: f64 = ops.iter().map(|op| op["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9 && ops.iter().any(|op| op["op"] == "attention"), "{ops:?}");
    let output = run(&[&arguments[..], &["--ops"]].concat());
    assert!(stdout(&output).contains("ms per step") && stdout(&output).contains("tokens/s"), "{output:?}");
}
