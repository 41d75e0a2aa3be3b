//! Whatever a user can get wrong: a clear message, a non-zero exit, and nothing lost.

use std::fs;

use crate::{SMALL, Workplace, check_failure, stderr};

#[test]
fn texts_that_cannot_be_learnt_from_are_refused() {
    let place = Workplace::new();
    let file = |name: &str, bytes: &[u8]| fs::write(place.path(name), bytes).unwrap();
    file("empty.txt", b"");
    file("latin1.txt", b"caf\xe9");
    file("short.txt", b"too short");
    for (data, reason) in [
        ("empty.txt", "it is empty"),
        ("latin1.txt", "byte 3 (0xe9) is not UTF-8"),
        ("missing.txt", "there is no such file"),
        ("short.txt", "a context of 64 needs 65: use a longer text or a shorter context"),
        (".", "it is a folder"),
    ] {
        place.check_failure(&["train", "--data", data], 2, "data", reason);
        assert!(!place.path("runs").exists(), "{data}: nothing is left behind");
    }
}

#[test]
fn sizes_and_settings_that_no_model_can_have_are_named() {
    for (assignment, kind, reason) in [
        ("n_layer=0", "config", "n_layer is 0"),
        ("n_positions=0", "config", "n_positions is 0"),
        ("n_embd=100000000", "config", "n_embd is 100000000; it must be between 1 and"),
        ("n_layer=1000000", "config", "n_layer is 1000000; it must be between 1 and 1024"),
        ("n_embd=1048576", "config", "parameters; the most is 4294967295"),
        ("n_embd=130", "config", "n_embd (130) is not divisible by n_head (4)"),
        ("n_layer=99999999999999999999", "setting", "expected usize"),
        ("dropout=1.5", "config", "dropout is 1.5"),
        ("batch_size=0", "training", "batch_size is 0"),
        ("learning_rate=-1", "training", "learning_rate is -1"),
        ("adam_beta1=1", "training", "adam_beta1 is 1"),
        ("eval_steps=0", "training", "eval_steps is 0"),
        ("lr_scheduler_type=step", "setting", "expected one of `constant`, `cosine`, `linear`"),
        ("width=3", "setting", "cannot set width: there is no such setting"),
        ("vocab_size=3", "setting", "the number of tokens that the tokenizer has"),
    ] {
        check_failure(&["train", "--set", assignment], 2, kind, reason);
    }
    for (arguments, kind, reason) in [
        (&["--set", "n_layer"][..], "usage", "key=value"),
        (&["--preset", "tinny"], "usage", "a similar value exists: 'tiny'"),
        (&["--steps", "0"], "training", "max_steps is 0"),
        (&["--steps", "-3"], "usage", "unexpected argument '-3'"),
        (&["--lr", "nan"], "setting", "cannot set learning_rate"),
        (&["--lr", "-0.1"], "training", "learning_rate is -0.1"),
        (&["--threads", "0"], "usage", "0 is not in 1..=1024"),
        (&["--seed", "1", "--set", "seed=2"], "setting", "cannot set seed: it is given twice"),
    ] {
        check_failure(&[&["train"], arguments].concat(), 2, kind, reason);
    }
}

#[test]
fn a_model_larger_than_the_machine_is_refused_before_it_is_made() {
    let place = Workplace::new();
    // Petabytes of activations, whatever the machine.
    let huge = ["--batch-size", "65536", "--set", "n_embd=8192", "n_layer=5"];
    place.check_failure(&[&["train", "--data", "poem.txt"], &huge[..]].concat(), 2, "memory", "use a smaller batch");
    place.check_failure(&[&["bench"], &huge[..]].concat(), 2, "memory", "of memory and");
    assert!(!place.path("runs").exists());
    let long = ["inspect", "--preset", "tiny", "--batch-size", "65536", "--set", "n_positions=16777216"];
    check_failure(&long, 2, "setting", "65536 sequences of 16777216 tokens");
}

#[test]
fn places_that_cannot_be_written_are_named_before_any_step() {
    let place = Workplace::new();
    let train = |out: &str| [&["train", "--steps", "1", "--out", out], &SMALL[..]].concat().join(" ");
    for out in ["poem.txt", "poem.txt/below"] {
        let arguments = train(out);
        let arguments: Vec<&str> = arguments.split(' ').collect();
        place.check_failure(&arguments, 1, "io", out);
    }
    if cfg!(target_os = "linux") {
        let arguments = train("/proc/inkling");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        place.check_failure(&arguments, 1, "io", "cannot create the folder /proc/inkling");
    }
    assert!(place.read("poem.txt").starts_with(b"Line 0"));
    fs::create_dir(place.path("music")).unwrap();
    fs::write(place.path("music/song.mp3"), "la").unwrap();
    let arguments = train("music") + " --overwrite";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    place.check_failure(&arguments, 2, "not_a_run", "music is not a run folder");
    assert!(place.path("music/song.mp3").exists());
}

#[test]
fn sampling_settings_out_of_range_are_named() {
    let place = Workplace::new();
    place.train("a", &["--steps", "1"]);
    for (arguments, kind, reason) in [
        (&["--temperature", "-1"][..], "sampling", "temperature is -1"),
        (&["--temperature", "nan"], "sampling", "temperature is NaN"),
        (&["--temperature", "inf"], "sampling", "temperature is inf"),
        (&["--temperature", "warm"], "usage", "invalid value 'warm'"),
        (&["--top-k", "0"], "sampling", "top-k is 0"),
        (&["--top-k", "-1"], "usage", "-1"),
        (&["--top-p", "0"], "sampling", "top-p is 0"),
        (&["--top-p", "1.5"], "sampling", "top-p is 1.5"),
        (&["--top-p", "-0.5"], "sampling", "top-p is -0.5"),
        (&["--top-p", "nan"], "sampling", "top-p is NaN"),
        (&["--greedy", "--temperature", "1"], "usage", "cannot be used with"),
        (&["--tokens", "0"], "usage", "0 is not in 1.."),
        (&["--num-samples", "0"], "usage", "0 is not in 1.."),
        (&["--prompt", "Zürich"], "foreign_text", "cannot read the prompt: tokenizer: the character 'Z' (U+005A)"),
        (&["--prompt", ""], "sampling", "the prompt is empty"),
    ] {
        place.check_failure(&[&["sample", "--model", "a"], arguments].concat(), 2, kind, reason);
    }
}

#[test]
fn texts_that_a_model_cannot_read_are_refused() {
    let place = Workplace::new();
    place.train("a", &["--steps", "1"]);
    fs::write(place.path("foreign.txt"), "the cat\tsees").unwrap();
    let eval = ["eval", "--model", "a", "--data"];
    let reason = "cannot read foreign.txt: tokenizer: the character '\\t' (U+0009) at position 7";
    place.check_failure(&[&eval[..], &["foreign.txt"]].concat(), 2, "foreign_text", reason);
    fs::write(place.path("short.txt"), "cat").unwrap();
    place.check_failure(&[&eval[..], &["short.txt"]].concat(), 2, "data", "its val split has 1 tokens");
    place.check_failure(&[&eval[..], &["short.txt", "--protocol", "sampled"]].concat(), 2, "data", "needs 17");
}

#[test]
fn models_that_are_not_there_are_told_apart() {
    let place = Workplace::new();
    for command in ["sample", "eval", "inspect"] {
        place.check_failure(&[command], 2, "no_checkpoint", "no run has saved one yet");
        place.check_failure(&[command, "--model", "nowhere"], 2, "no_checkpoint", "there is no such folder");
        place.check_failure(&[command, "--model", "poem.txt"], 2, "no_checkpoint", "it is a file, not a folder");
    }
    place.train("runs/a", &["--steps", "1"]);
    place.train("runs/b", &["--steps", "1"]);
    place.check_failure(&["sample"], 2, "no_checkpoint", "it could be any of these: runs/b, runs/a");
    assert!(stderr(&place.run(&["sample"])).contains("--model runs/b"));
}

/// Damages a copy of a checkpoint and expects every command that reads it to say what is wrong.
fn check_damage(place: &Workplace, damage: impl Fn(&std::path::Path), reason: &str) {
    let folder = place.path("damaged");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    for entry in place.path("a/best").read_dir().unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    damage(&folder);
    for command in [&["sample"][..], &["eval", "--data", "poem.txt"], &["inspect"]] {
        place.check_failure(&[command, &["--model", "damaged"]].concat(), 2, "checkpoint", reason);
    }
}

#[test]
fn damaged_checkpoints_are_refused_by_name() {
    let place = Workplace::new();
    place.train("a", &["--steps", "1"]);
    let model = place.read("a/best/model.safetensors");
    let weights =
        |bytes: Vec<u8>| move |folder: &std::path::Path| fs::write(folder.join("model.safetensors"), &bytes).unwrap();
    check_damage(&place, weights(model[..model.len() - 100].to_vec()), "model.safetensors: ");
    check_damage(&place, weights(model[..5].to_vec()), "the file has 5 bytes, too few");
    let header = |length: u64| [&length.to_le_bytes()[..], &model[8..]].concat();
    check_damage(&place, weights(header(u64::MAX)), "the header claims 18446744073709551615 bytes");
    check_damage(&place, weights(b"PK\x03\x04 and so on".to_vec()), "a zip archive");
    let nan = [&model[..model.len() - 4], &f32::NAN.to_le_bytes()].concat();
    check_damage(&place, weights(nan), "values that are NaN or infinite");

    let replaced = |file: &'static str, from: &'static str, to: &'static str| {
        move |folder: &std::path::Path| {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(folder.join(file), text.replace(from, to)).unwrap();
        }
    };
    check_damage(&place, replaced("config.json", "\"n_embd\": 16", "\"n_embd\": 32"), "model.safetensors: ");
    check_damage(&place, replaced("config.json", "\"n_layer\": 1", "\"n_layer\": 0"), "config.json: n_layer is 0");
    check_damage(&place, replaced("config.json", "{", ""), "config.json: this is not JSON");
    for file in ["model.safetensors", "tokenizer.json"] {
        let remove = |folder: &std::path::Path| fs::remove_file(folder.join(file)).unwrap();
        check_damage(&place, remove, &format!("{file}: the file is missing"));
    }
}

#[test]
fn a_model_that_computes_infinities_is_refused_in_words() {
    let place = Workplace::new();
    place.train("a", &["--steps", "1"]);
    let mut model = place.read("a/best/model.safetensors");
    let header = 8 + u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    for value in model[header..].chunks_exact_mut(4) {
        value.copy_from_slice(&3e38f32.to_le_bytes());
    }
    fs::write(place.path("a/best/model.safetensors"), model).unwrap();
    let model = ["--model", "a"];
    let eval = [&["eval", "--data", "poem.txt"], &model[..]].concat();
    place.check_failure(&eval, 1, "not_finite", "the model's loss is not a finite number");
    for weights in ["f16", "f32"] {
        let sample = [&["sample", "--weights", weights], &model[..]].concat();
        place.check_failure(&sample, 1, "not_finite", "the model's logit is not a finite number");
    }
}

#[test]
fn a_damaged_run_is_not_resumed_and_not_touched() {
    let place = Workplace::new();
    place.train("a", &["--steps", "4"]);
    let resume = ["train", "--resume", "--out", "a", "--steps", "8"];
    let optimizer = place.read("a/last/optimizer.safetensors");
    fs::write(place.path("a/last/optimizer.safetensors"), &optimizer[..optimizer.len() / 2]).unwrap();
    place.check_failure(&resume, 2, "checkpoint", "optimizer.safetensors: ");
    fs::write(place.path("a/last/optimizer.safetensors"), &optimizer).unwrap();

    let state = String::from_utf8(place.read("a/last/trainer_state.json")).unwrap();
    fs::write(place.path("a/last/trainer_state.json"), state.replace("\"step\": 4", "\"step\": 3")).unwrap();
    place.check_failure(&resume, 2, "checkpoint", "mixed from two saves");
    fs::write(place.path("a/last/trainer_state.json"), &state).unwrap();
    place.succeed(&resume);

    // A model that was handed on has no run to go on with.
    fs::remove_dir_all(place.path("a/last")).unwrap();
    fs::rename(place.path("a/best"), place.path("a/last")).unwrap();
    place.check_failure(&resume, 2, "no_checkpoint", "without the state of its training");
}
