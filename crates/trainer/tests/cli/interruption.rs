//! Runs that are stopped, killed or cut off by a full disk, and how they go on.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

use crate::{SMALL, Workplace, object, stderr};

/// Starts a run and waits until it has logged `steps` steps or has ended.
fn start_until(place: &Workplace, arguments: &[&str], run: &str, steps: usize) -> Child {
    let mut command = place.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while logged(&place.path(run)) < steps && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child
}

fn logged(run: &Path) -> usize {
    std::fs::read(run.join("metrics.jsonl")).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

#[cfg(unix)]
fn interrupt(child: Child, signal: &str) -> Output {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    child.wait_with_output().unwrap()
}

const LONG: &str = "2500";

fn begin(run: &str) -> Vec<&str> {
    [&["train", "--out", run], &SMALL[..], &["--steps", LONG]].concat()
}

fn resume(run: &str) -> Vec<&str> {
    vec!["train", "--resume", "--out", run]
}

/// Both runs hold the same model, optimizer and metrics.
fn assert_same(place: &Workplace, a: &str, b: &str) {
    for file in ["last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors"] {
        assert!(place.read(&format!("{a}/{file}")) == place.read(&format!("{b}/{file}")), "{file}");
    }
    assert_eq!(place.metrics(a), place.metrics(b));
}

#[test]
#[cfg(unix)]
fn an_interrupted_and_resumed_run_ends_bit_identical() {
    let place = Workplace::new();
    place.succeed(&begin("straight"));
    for (i, signal) in ["-INT", "-TERM"].into_iter().enumerate() {
        let arguments = if i == 0 { begin("a") } else { resume("a") };
        let child = start_until(&place, &arguments, "a", 300 + 700 * i);
        let output = interrupt(child, signal);
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        // On the device that was asked for: another one computes other bits.
        for text in ["stopping after this step", "saved in a", "trainer train --resume --out a --device cpu"] {
            assert!(stderr(&output).contains(text), "{text} in {output:?}");
        }
        let state: Value = serde_json::from_slice(&place.read("a/last/trainer_state.json")).unwrap();
        let last = place.metrics("a").last().unwrap()["step"].clone();
        assert_eq!(state["step"], last, "everything that was done is saved");
    }
    let output = place.succeed(&[&resume("a")[..], &["--threads", "1"]].concat());
    assert!(stderr(&output).contains("goes on after step "), "{output:?}");
    assert_same(&place, "a", "straight");
}

#[test]
#[cfg(unix)]
fn kill_9_at_any_moment_loses_at_most_what_was_not_saved() {
    let place = Workplace::new();
    // A save at every other step: most moments are in the middle of one.
    let often = ["--steps", "160", "--set", "eval_steps=2"];
    let small: Vec<&str> = SMALL.into_iter().filter(|text| *text != "eval_steps=10").collect();
    let train = |run| [&["train", "--out", run], &small[..], &often].concat();
    place.succeed(&train("straight"));
    for round in 0..8 {
        let saved = place.path("a/last").exists() || place.path("a/last.old").exists();
        let arguments = if saved { resume("a") } else { [&train("a")[..], &["--overwrite"]].concat() };
        let mut child = start_until(&place, &arguments, "a", 2 + 17 * round);
        child.kill().unwrap();
        child.wait().unwrap();
        if place.path("a/last").exists() || place.path("a/last.old").exists() {
            place.succeed(&["eval", "--model", "a", "--data", "poem.txt"]);
            place.succeed(&["sample", "--model", "a/last", "--tokens", "5"]);
        }
    }
    place.succeed(&resume("a"));
    assert_same(&place, "a", "straight");
    let leftovers = ["best.old", "best.tmp", "last.old", "last.tmp"];
    assert!(leftovers.iter().all(|name| !place.path("a").join(name).exists()));
}

#[test]
fn a_finished_run_says_so_and_goes_on_with_more_steps() {
    let place = Workplace::new();
    place.train("a", &["--steps", "12"]);
    let output = place.succeed(&resume("a"));
    assert!(stderr(&output).contains("12 steps are done"), "{output:?}");
    let done = object(&place.succeed(&[&resume("a")[..], &["--json"]].concat()));
    assert_eq!(done["steps"], 12);
    let longer = place.succeed(&[&resume("a")[..], &["--steps", "15", "--json"]].concat());
    assert_eq!(object(&longer)["steps"], 15);
    let evaluated: Vec<Value> = place.metrics("a").into_iter().filter(|record| record["kind"] == "eval").collect();
    assert_eq!(evaluated.iter().map(|record| record["step"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 12, 15]);

    let noted = place.succeed(&[&resume("a")[..], &["--steps", "30"]].concat());
    assert!(stderr(&noted).contains("schedule now takes 30 steps: it goes on at "), "{noted:?}");
    let steps: Vec<f64> = place.metrics("a").iter().filter_map(|record| record["lr"].as_f64()).collect();
    assert!(stderr(&noted).contains(&format!("at {:.3e} instead of 3.000e-4", steps[15])), "{steps:?} {noted:?}");
}

#[test]
fn a_resumed_run_keeps_its_settings_and_its_text() {
    let place = Workplace::new();
    place.train("a", &["--steps", "12"]);
    for (arguments, name) in [
        (&["--lr", "0.1"][..], "--lr"),
        (&["--batch-size", "2"], "--batch-size"),
        (&["--seed", "2"], "--seed"),
        (&["--patience", "2"], "--patience"),
        (&["--set", "dropout=0"], "--set"),
        (&["--preset", "small"], "--preset"),
    ] {
        place.check_failure(&[&resume("a")[..], arguments].concat(), 2, "resume_setting", name);
    }
    std::fs::write(place.path("other.txt"), "another text").unwrap();
    let longer = [&resume("a")[..], &["--steps", "15", "--data"]].concat();
    place.check_failure(&[&longer[..], &["other.txt"]].concat(), 2, "other_data", "was trained on another text");

    // The same text elsewhere is the same text.
    let out = place.path("a");
    let elsewhere = ["train", "--resume", "--out", out.to_str().unwrap(), "--steps", "13"];
    let output = place.command(&elsewhere).current_dir(place.path("a/best")).output().unwrap();
    assert!(output.status.success(), "the text is found from every folder: {output:?}");
    std::fs::rename(place.path("poem.txt"), place.path("moved.txt")).unwrap();
    place.check_failure(&[&resume("a")[..], &["--steps", "15"]].concat(), 2, "data", "poem.txt");
    place.succeed(&[&longer[..], &["moved.txt"]].concat());
    place.check_failure(&["train", "--resume", "--out", "none"], 2, "no_checkpoint", "nothing to resume");
    assert!(!place.path("none").exists());
}

#[test]
fn a_run_without_its_metrics_resumes_too_and_damaged_metrics_are_named() {
    let place = Workplace::new();
    place.train("a", &["--steps", "12"]);
    std::fs::write(place.path("a/metrics.jsonl"), "not a record\n{\"step\":1}\n").unwrap();
    let longer = [&resume("a")[..], &["--steps", "14"]].concat();
    place.check_failure(&longer, 2, "metrics", "a/metrics.jsonl line 1");
    std::fs::remove_file(place.path("a/metrics.jsonl")).unwrap();
    place.succeed(&longer);
    assert_eq!(place.metrics("a").len(), 3);
}

/// A limit on the size of files stands for a full disk: the write fails half-way through a save.
#[test]
#[cfg(unix)]
fn a_save_that_fails_half_way_leaves_the_one_before() {
    let place = Workplace::new();
    place.train("a", &["--steps", "12"]);
    let (model, optimizer) = ("a/last/model.safetensors", "a/last/optimizer.safetensors");
    let before = (place.read(model), place.read(optimizer));
    // In blocks of 512 bytes: room for the model but not for the optimizer's file, which has twice its size.
    let blocks = before.0.len().div_ceil(512) + 2;
    assert!(before.1.len() > blocks * 512);
    let arguments = "train --resume --out a --steps 30";
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {} {arguments}", env!("CARGO_BIN_EXE_trainer"));
    let limited = Command::new("sh").args(["-c", &script]).current_dir(place.path("")).output().unwrap();
    assert_eq!(limited.status.code(), Some(1), "{limited:?}");
    let text = stderr(&limited);
    assert!(text.contains("cannot save a/last") && text.contains("a complete checkpoint is there"), "{text}");
    assert!((place.read(model), place.read(optimizer)) == before);
    place.succeed(&[&resume("a")[..], &["--steps", "30"]].concat());
}

/// A small file system in memory, mounted while this lives.
#[cfg(target_os = "linux")]
struct SmallDisk<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mount = |status: std::io::Result<ExitStatus>| status.is_ok_and(|status| status.success());
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "inkling-test"]).arg(at).stderr(Stdio::null());
        mount(command.status()).then_some(Self(at))
    }

    fn grow(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0).status().unwrap();
        assert!(status.success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_keeps_the_last_save_and_the_run_goes_on_when_there_is_room() {
    let place = Workplace::new();
    let at = place.path("disk");
    // One model has about 220 kB, so best/ and last/ have 900 kB; a second last/ beside them does not fit.
    let Some(disk) = SmallDisk::mount(&at, "size=1300k") else {
        eprintln!("SKIPPED: a disk that fills up; mounting one takes root");
        return;
    };
    let small = [&SMALL[..3], &["n_layer=1", "n_embd=64", "n_head=2", "n_positions=16", "eval_steps=10"]].concat();
    let output = place.run(&[&["train", "--out", "disk/a", "--steps", "40"], &small[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("disk/a/last") && text.contains("a complete checkpoint is there"), "{text}");
    assert!(text.contains("free some space"), "{text}");
    place.succeed(&["eval", "--model", "disk/a/last", "--data", "poem.txt"]);
    disk.grow("size=8m");
    let summary = object(&place.succeed(&["train", "--resume", "--out", "disk/a", "--json"]));
    assert_eq!(summary["steps"], 40);
}
