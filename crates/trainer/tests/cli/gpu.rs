//! Commands on a GPU, whatever adapter there is: a software one in CI. Without any these tests say that they were skipped; with
//! `INKLING_REQUIRE_GPU` set they fail.

use std::process::Output;

use serde_json::Value;

use crate::{SMALL, Workplace, object, run, stderr, stdout};

/// Whether there is an adapter to test with.
pub fn gpu_is_there() -> bool {
    let listed = object(&run(&["devices", "--json"]));
    let there = listed["devices"].as_array().unwrap().len() > 1;
    if !there {
        assert!(std::env::var_os("INKLING_REQUIRE_GPU").is_none(), "INKLING_REQUIRE_GPU is set, and there is no GPU");
        eprintln!("SKIPPED: commands on a GPU; this machine has no adapter");
    }
    there
}

const GPU: [&str; 2] = ["--device", "gpu"];

fn train(out: &str, more: &[&'static str]) -> Vec<String> {
    [&["train", "--out", out], &SMALL[..], &GPU, more].concat().into_iter().map(str::to_owned).collect()
}

fn arguments(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// Loss and gradient norm of every step.
fn losses(place: &Workplace, run: &str) -> Vec<(u64, f64, f64)> {
    let records = place.metrics(run);
    let steps = records.iter().filter(|record| record["kind"] == "step");
    let number = |value: &Value| value.as_f64().unwrap();
    steps.map(|r| (r["step"].as_u64().unwrap(), number(&r["loss"]), number(&r["grad_norm"]))).collect()
}

/// Trains while the device is taken away after these updates.
fn train_with_losses(place: &Workplace, out: &str, steps: &str, more: &[&'static str]) -> Output {
    let owned = train(out, more);
    place.command(&arguments(&owned)).env("INKLING_TEST_LOSE_DEVICE_AT", steps).output().unwrap()
}

#[test]
fn a_run_on_the_gpu_learns_as_on_the_cpu_and_every_command_reads_it() {
    if !gpu_is_there() {
        return;
    }
    let place = Workplace::new();
    let owned = train("a", &["--steps", "25"]);
    let output = place.succeed(&arguments(&owned));
    assert!(stderr(&output).contains("\nGPU: ") && stderr(&output).contains(" of its memory"), "{output:?}");
    let listed = object(&run(&["devices", "--json"]));
    let software = listed["devices"][1]["type"] == "software";
    assert_eq!(stderr(&output).contains("is a software adapter"), software, "{output:?}");

    place.train("b", &["--steps", "25"]);
    let (gpu, cpu) = (losses(&place, "a"), losses(&place, "b"));
    assert_eq!(gpu.iter().map(|step| step.0).collect::<Vec<_>>(), (1..=25).collect::<Vec<_>>());
    for (gpu, cpu) in gpu.iter().zip(&cpu) {
        // Rounding differs from the first step on, and every update carries it further.
        assert!((gpu.1 - cpu.1).abs() < 1e-3 && (gpu.2 - cpu.2).abs() < 1e-2 * cpu.2, "GPU {gpu:?}, CPU {cpu:?}");
    }
    let evaluated = |device: &str| {
        let eval = ["eval", "--model", "a", "--data", "poem.txt", "--json", "--device", device];
        object(&place.succeed(&eval))["loss"].as_f64().unwrap()
    };
    assert!((evaluated("gpu") - evaluated("cpu")).abs() < 1e-4);
    let greedy = |device| {
        let sample = ["sample", "--model", "a", "--greedy", "--weights", "f32", "--tokens", "40", "--device", device];
        stdout(&place.succeed(&sample)).to_owned()
    };
    assert_eq!(greedy("gpu"), greedy("cpu"));
}

#[test]
fn a_run_goes_on_from_the_gpu_to_the_cpu_and_back() {
    if !gpu_is_there() {
        return;
    }
    let place = Workplace::new();
    place.succeed(&arguments(&train("a", &["--steps", "11"])));
    place.succeed(&["train", "--resume", "--out", "a", "--steps", "14", "--device", "cpu"]);
    place.succeed(&["train", "--resume", "--out", "a", "--steps", "17", "--device", "gpu"]);
    let steps: Vec<u64> = losses(&place, "a").iter().map(|step| step.0).collect();
    assert_eq!(steps, (1..=17).collect::<Vec<_>>());
}

#[test]
fn a_run_whose_gpu_is_lost_ends_as_if_nothing_had_happened() {
    if !gpu_is_there() {
        return;
    }
    let place = Workplace::new();
    place.succeed(&arguments(&train("straight", &["--steps", "25"])));
    // Before the first save, in the middle, and right before an evaluation.
    let output = train_with_losses(&place, "a", "3,14,20", &["--steps", "25"]);
    assert!(output.status.success(), "{output:?}");
    for text in ["going on from the start on a new device", "going on from step 10 on a new device"] {
        assert!(stderr(&output).contains(text), "{text} in {output:?}");
    }
    assert_eq!(losses(&place, "a"), losses(&place, "straight"));
    assert_eq!(place.metrics("a"), place.metrics("straight"));
    for file in ["last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors"] {
        assert!(place.read(&format!("a/{file}")) == place.read(&format!("straight/{file}")), "{file}");
    }
}

#[test]
fn a_gpu_that_is_lost_again_and_again_ends_the_run_with_its_state_saved() {
    if !gpu_is_there() {
        return;
    }
    let place = Workplace::new();
    let output = train_with_losses(&place, "a", "12,12,12,12", &["--steps", "25", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = &object(&output)["error"];
    assert_eq!(error["kind"], "gpu_lost");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("3 times in a row without progress; saved in a"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("train --resume --out a --device cpu"), "{error}");
    place.succeed(&["train", "--resume", "--out", "a"]);
    assert_eq!(losses(&place, "a").len(), 25);

    // Without any save there is nothing to go on with.
    let output = train_with_losses(&place, "b", "2,2,2", &["--steps", "25"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!stderr(&output).contains("saved in"), "{output:?}");
}

#[test]
fn the_bench_measures_the_gpu_and_every_op_against_its_floor() {
    if !gpu_is_there() {
        return;
    }
    let bench = ["bench", "--device", "gpu", "--preset", "micro", "--batch-size", "2", "--seconds", "0", "--ops"];
    let measured = object(&run(&[&bench[..], &["--json", "--set", "n_layer=1"]].concat()));
    for key in [
        "train_tokens_per_s",
        "sample_tokens_per_s",
        "peak_gflops",
        "peak_copy_gb_per_s",
        "dispatches_per_step",
        "submits_per_step",
        "gpu_memory_bytes",
    ] {
        assert!(measured[key].as_f64().unwrap() > 0.0, "{key} in {measured}");
    }
    let ops = measured["ops"].as_array().unwrap();
    let linear = ops.iter().find(|op| op["op"] == "linear").unwrap();
    assert!(linear["floor_ms"].as_f64().unwrap() > 0.0 && linear["bytes"].as_u64().unwrap() > 0, "{linear}");
    assert!(measured["device"].as_str().unwrap().starts_with("GPU: "));
}

#[test]
fn a_model_too_large_for_the_gpu_is_refused_with_the_limit() {
    if !gpu_is_there() {
        return;
    }
    let place = Workplace::new();
    // One tensor of 16 TiB: no adapter binds that.
    let huge = ["train", "--data", "poem.txt", "--batch-size", "65536", "--set", "n_embd=8192", "n_positions=1024"];
    let output = place.run(&[&huge[..], &["n_layer=1", "--device", "gpu", "--json"]].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(object(&output)["error"]["kind"], "device", "{output:?}");
    assert!(!place.path("runs").exists());
}

#[test]
fn float16_is_a_setting_like_any_other() {
    if !gpu_is_there() {
        return;
    }
    let place = Workplace::new();
    let f16 =
        object(&run(&["devices", "--json"]))["devices"][1]["features"].as_array().unwrap().contains(&"f16".into());
    let output = place.run(&arguments(&train("a", &["--steps", "12", "--precision", "f16"])));
    if f16 {
        assert!(output.status.success(), "{output:?}");
        let state: Value = serde_json::from_slice(&place.read("a/last/trainer_state.json")).unwrap();
        assert_eq!(state["settings"]["precision"], "f16");
        let (half, _) = (losses(&place, "a"), place.succeed(&arguments(&train("b", &["--steps", "12"]))));
        for (half, full) in half.iter().zip(losses(&place, "b")) {
            assert!((half.1 - full.1).abs() < 0.02, "float16 {half:?}, float32 {full:?}");
        }
        // The CPU knows no float16: the refusal names the way out, which works, as does the way back.
        let resume = ["train", "--resume", "--out", "a", "--steps", "14", "--device", "cpu", "--json"];
        let refused = object(&place.run(&resume));
        assert_eq!(refused["error"]["kind"], "resume_precision", "{refused}");
        assert_eq!(refused["error"]["exit_code"], 2);
        let way_out = "train --resume --out a --precision f32";
        assert!(refused["error"]["hint"].as_str().unwrap().contains(way_out), "{refused}");
        place.succeed(&[&resume[..], &["--precision", "f32"]].concat());
        place.succeed(&["train", "--resume", "--out", "a", "--steps", "16", "--device", "gpu", "--precision", "f16"]);
        assert_eq!(losses(&place, "a").iter().map(|step| step.0).collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
        let state: Value = serde_json::from_slice(&place.read("a/last/trainer_state.json")).unwrap();
        assert!(state["settings"]["precision"] == "f16" && state["loss_scale"].is_object(), "{state}");
    } else {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains("shader-f16"), "{output:?}");
    }
}
