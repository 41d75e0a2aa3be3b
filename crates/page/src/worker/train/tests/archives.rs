//! Runs in archives: to `trainer` and back.

use std::collections::BTreeMap;

use inkling_core::checkpoint::Checkpoint;

use super::*;
use crate::protocol::Contents;
use crate::protocol::model::GivenFile;
use crate::protocol::train::SaveRun;
use crate::worker::zip;

fn given(path: &str, bytes: Vec<u8>) -> GivenFile {
    GivenFile { path: path.into(), size: bytes.len() as u64, contents: Contents(bytes) }
}

/// A run of 23 updates in an archive.
fn saved() -> (Desk, Opened, Vec<u8>) {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 23);
    let saved = desk.call(SaveRun(run.card.run)).unwrap();
    assert_eq!(saved.name, "My-run.zip");
    (desk, run, saved.bytes.0)
}

fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    zip::contents(archive, usize::MAX).unwrap().into_iter().collect()
}

fn refused(files: &BTreeMap<String, Vec<u8>>) -> String {
    let archive = zip::pack(files.clone().into_iter().collect()).unwrap();
    let refused = Desk::new().open(OpenRun::Zip(given("run.zip", archive)));
    refused.map(|_| ()).unwrap_err().message
}

/// Core's own run to the 60th update: losses of updates 24 and on.
fn expected() -> Vec<f32> {
    let mut trainer = native(&settings());
    (0..60).for_each(|_| wait(trainer.step()).unwrap());
    wait(trainer.reports()).unwrap()[23..].iter().map(|report| report.loss as f32).collect()
}

#[test]
fn core_goes_on_with_what_was_saved() {
    let (_, _, archive) = saved();
    let files = unpacked(&archive);
    let checkpoint = Checkpoint::from_files(|name| Ok(files.get(&format!("last/{name}")).cloned())).unwrap();
    let data = Dataset::new(
        checkpoint.tokenizer.encode(std::str::from_utf8(&files["notes.txt"]).unwrap()).unwrap(),
        &checkpoint.tokenizer.characters(),
    );
    let (model, training) = (checkpoint.config, checkpoint.training.unwrap());
    let device = Device::Cpu(Pool::new(2));
    let resumed = Trainer::resume(model, &checkpoint.weights, &training, data.unwrap(), device, u64::MAX);
    let mut trainer = wait(resumed).unwrap();
    (0..37).for_each(|_| wait(trainer.step()).unwrap());
    let losses: Vec<f32> = wait(trainer.reports()).unwrap().iter().map(|report| report.loss as f32).collect();
    assert_eq!(losses, expected());
    assert!(files["metrics.jsonl"].iter().filter(|byte| **byte == b'\n').count() == 24);
}

#[test]
fn the_page_goes_on_with_what_was_saved_from_any_folder() {
    let (desk, run, archive) = saved();
    let nested: Vec<_> =
        unpacked(&archive).into_iter().map(|(name, bytes)| (format!("runs/mine/{name}"), bytes)).collect();
    for archive in [archive, zip::pack(nested).unwrap()] {
        let mut other = Desk::new();
        let again = other.open(OpenRun::Zip(given("downloads/mine.zip", archive))).unwrap();
        assert_eq!((again.card.step, again.card.settings.name.as_str()), (23, "My run"));
        assert_eq!(other.evaluations(again.ask), desk.evaluations(run.ask));
        other.steer(&again, Steering::Play);
        other.settle();
        let points = other.points(again.ask);
        assert_eq!(points[23..].iter().map(|point| point.loss).collect::<Vec<_>>(), expected());
        assert_eq!(points.len(), 60);
    }
}

#[test]
fn a_run_of_the_trainers_is_opened_and_tells_that_it_cannot_go_back() {
    let (_, _, archive) = saved();
    let files: Vec<_> = unpacked(&archive)
        .into_iter()
        .filter(|(name, _)| !name.starts_with("rewind/") && name != "page.json")
        .map(|(name, bytes)| (format!("tiny/{name}"), bytes))
        .collect();
    let mut desk = Desk::new();
    let run = desk.open(OpenRun::Zip(given("tiny.zip", zip::pack(files).unwrap()))).unwrap();
    assert_eq!(run.card.settings.name, "tiny");
    assert!(desk.parts(run.ask).contains(&RunPart::Snapshot { step: 20 }));
    let refused = desk.call(Steer { run: run.card.run, to: Steering::RewindToBest }).unwrap_err();
    assert!(refused.message.contains("moments"), "{refused}");
}

#[test]
fn hostile_archives_are_refused_with_a_sentence() {
    let (_, _, archive) = saved();
    let whole = unpacked(&archive);
    let without = |name: &str| {
        let mut files = whole.clone();
        files.remove(name).unwrap();
        refused(&files)
    };
    assert!(without("last/config.json").contains("no run"));
    assert!(without("last/model.safetensors").contains("model.safetensors"));
    assert!(without("last/optimizer.safetensors").contains("optimizer.safetensors"));
    assert!(without("last/tokenizer.json").contains("tokenizer.json"));
    assert!(without("notes.txt").contains("notes.txt"));
    assert!(without("best/model.safetensors").contains("model.safetensors"));
    let with = |name: &str, bytes: &[u8]| {
        let mut files = whole.clone();
        files.insert(name.into(), bytes.into());
        refused(&files)
    };
    assert!(with("notes.txt", b"another text").contains("not in the archive"));
    assert!(with("metrics.jsonl", b"{\"step\":1}\nnonsense\n{\"step\":2}\n").contains("line 2"));
    assert!(with("last/trainer_state.json", b"{}").contains("trainer_state.json"));
    let config = String::from_utf8(whole["last/config.json"].clone()).unwrap();
    let huge = config.replace("\"n_embd\": 16", "\"n_embd\": 999984");
    assert_ne!(huge, config);
    assert!(!with("last/config.json", huge.as_bytes()).is_empty());
    let state = String::from_utf8(whole["last/trainer_state.json"].clone()).unwrap();
    let never = state.replace("\"eval_steps\": 20", "\"eval_steps\": 0");
    assert_ne!(never, state);
    assert!(with("last/trainer_state.json", never.as_bytes()).contains("eval_steps"));
    assert!(Desk::new().open(OpenRun::Zip(given("a.zip", b"PK".to_vec()))).is_err());
    // Cut or changed anywhere, an archive is refused or is the run.
    for at in (0..archive.len()).step_by(archive.len() / 60) {
        assert!(Desk::new().open(OpenRun::Zip(given("a.zip", archive[..at].to_vec()))).is_err());
        let mut changed = archive.clone();
        changed[at] ^= 0xff;
        if let Ok(run) = Desk::new().open(OpenRun::Zip(given("a.zip", changed))) {
            assert_eq!(run.card.step, 23);
        }
    }
}

/// The program, which is built with the tests of the whole workspace.
fn trainer() -> std::path::PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("trainer").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.is_file(), "{} is missing: `cargo build -p trainer` makes it", program.display());
    program
}

#[test]
fn the_trainer_goes_on_with_what_was_saved_and_the_page_with_what_it_leaves() {
    let (_, _, archive) = saved();
    let folder = std::env::temp_dir().join(format!("inkling-run-{}", std::process::id()));
    for (name, bytes) in zip::contents(&archive, usize::MAX).unwrap() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let mut command = std::process::Command::new(trainer());
    command.args(["train", "--resume", "--device", "cpu", "--out"]).arg(&folder);
    let output = command.arg("--data").arg(folder.join("notes.txt")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut files = Vec::new();
    for name in ["last", "best"] {
        for entry in std::fs::read_dir(folder.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.push((format!("{name}/{file}"), std::fs::read(path).unwrap()));
        }
    }
    for file in ["metrics.jsonl", "notes.txt"] {
        files.push((file.into(), std::fs::read(folder.join(file)).unwrap()));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let mut desk = Desk::new();
    let run = desk.open(OpenRun::Zip(given("back.zip", zip::pack(files.clone()).unwrap()))).unwrap();
    assert_eq!(desk.state(run.ask), RunState::Finished);
    assert_eq!(desk.points(run.ask)[23..].iter().map(|point| point.loss).collect::<Vec<_>>(), expected());

    // What the page itself would have recorded and kept, but for the time that it took.
    let mut page = Desk::new();
    let own = page.new_run();
    page.train_to(&own, 60);
    assert_eq!(page.evaluations(own.ask), desk.evaluations(run.ask));
    let whole = unpacked(&page.call(SaveRun(own.card.run)).unwrap().bytes.0);
    for (name, bytes) in files {
        let is_timed = ["metrics.jsonl", "last/trainer_state.json"].contains(&name.as_str());
        assert!(is_timed || whole[&name] == bytes, "{name} differs");
    }
    assert_eq!(timeless(&whole["metrics.jsonl"]), timeless(&files_of(&desk, &run)));
}

/// Records without what no two machines have in common.
fn timeless(lines: &[u8]) -> Vec<serde_json::Value> {
    let (mut records, _) = inkling_core::train::history::records_up_to(lines, u64::MAX).unwrap();
    for record in &mut records {
        for key in ["tokens_per_s", "elapsed_s"] {
            record.as_object_mut().unwrap().remove(key);
        }
    }
    records
}

/// The log of an open run.
fn files_of(desk: &Desk, run: &Opened) -> Vec<u8> {
    let of = desk.workshop.runs.open.iter().find(|open| open.ask == run.ask).unwrap();
    of.log_lines().to_vec()
}
