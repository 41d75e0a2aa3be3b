//! `trainer data prepare`, and training and evaluating on what it wrote.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{SMALL, Workplace, object, stderr, stdout};

/// Prepares the text as the folder `p`.
fn prepare(place: &Workplace, more: &[&str]) -> Value {
    object(&place.succeed(&[&["data", "prepare", "--data", "poem.txt", "--json"], more].concat()))
}

fn prepared() -> Workplace {
    let place = Workplace::new();
    prepare(&place, &["--out", "p", "--shard-tokens", "1000"]);
    place
}

/// Arguments that train the small model on `data`.
fn train<'a>(out: &'a str, data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--out", out, "--data", data], &SMALL[2..], more].concat()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_text_becomes_a_folder_of_shards() {
    let place = Workplace::new();
    let length = place.read("poem.txt").len() as u64;
    let told = prepare(&place, &["--out", "deep/p", "--shard-tokens", "3000"]);
    assert_eq!((told["text_bytes"].as_u64(), told["tokenizer"]["kind"].as_str()), (Some(length), Some("char")));
    let (train, val) = (length * 9 / 10, length - length * 9 / 10);
    assert_eq!((told["train"]["tokens"].as_u64(), told["val"]["tokens"].as_u64()), (Some(train), Some(val)));
    assert_eq!(told["train"]["characters"], train);
    assert_eq!(
        names(&place.path("deep/p")),
        ["tokenizer.json", "train-00000-of-00002.tokens", "train-00001-of-00002.tokens", "val-00000-of-00001.tokens"]
    );
    assert_eq!(names(&place.path("deep")), ["p"], "nothing temporary is left");

    let output = place.succeed(&["data", "prepare", "--data", "poem.txt", "--out", "q"]);
    assert!(stdout(&output).starts_with("split  tokens  characters  shards"), "{output:?}");
    assert!(stdout(&output).contains("tokenizer  char ") && stdout(&output).contains("tokens/s"), "{output:?}");
}

#[test]
fn training_on_a_folder_is_training_on_its_text() {
    let place = Workplace::new();
    for (kind, order) in [("char", "random"), ("char", "shuffled"), ("byte", "shuffled"), ("bpe", "random")] {
        let [name, text, order] = [kind.to_owned() + order, format!("text-{kind}-{order}"), format!("order={order}")];
        let folder = text.replace("text", "folder");
        prepare(&place, &["--out", &name, "--shard-tokens", "1000", "--tokenizer", kind]);
        let settings = ["--steps", "20", "--set", &order];
        place.succeed(&train(&text, "poem.txt", &[&settings[..], &["--tokenizer", kind]].concat()));
        place.succeed(&train(&folder, &name, &settings));
        assert_eq!(place.metrics(&text), place.metrics(&folder));
        for file in ["best/model.safetensors", "last/optimizer.safetensors", "last/tokenizer.json"] {
            assert!(place.read(&format!("{text}/{file}")) == place.read(&format!("{folder}/{file}")), "{text}, {file}");
        }
    }
    // The shards decide.
    let other = train("a", "charrandom", &["--tokenizer", "bpe"]);
    place.check_failure(&other, 2, "setting", "was prepared with a tokenizer of its own");
}

#[test]
fn a_resumed_run_finds_its_folder_again_and_accepts_no_other() {
    let place = prepared();
    place.succeed(&train("straight", "p", &["--steps", "20", "--set", "lr_scheduler_type=constant", "warmup_steps=0"]));
    place.succeed(&train("a", "p", &["--steps", "10", "--set", "lr_scheduler_type=constant", "warmup_steps=0"]));
    let again = ["train", "--resume", "--out", "a", "--steps", "20"];
    fs::rename(place.path("p"), place.path("p.away")).unwrap();
    place.check_failure(&again, 2, "data", "there is no such file");
    // As the shards of another text.
    fs::write(place.path("other.txt"), [place.read("poem.txt"), b"Line 0".to_vec()].concat()).unwrap();
    place.succeed(&["data", "prepare", "--data", "other.txt", "--out", "p"]);
    place.check_failure(&again, 2, "other_data", "was trained on another text");
    fs::remove_dir_all(place.path("p")).unwrap();
    // As the same text, divided otherwise.
    prepare(&place, &["--out", "p", "--val-share", "0.2"]);
    place.check_failure(&again, 2, "data", "it was divided otherwise");
    fs::remove_dir_all(place.path("p")).unwrap();
    // As other shards of the same tokens.
    prepare(&place, &["--out", "p", "--shard-tokens", "77"]);
    place.succeed(&again);
    assert_eq!(place.metrics("a"), place.metrics("straight"));
    assert!(place.read("a/last/model.safetensors") == place.read("straight/last/model.safetensors"));
}

#[test]
fn an_evaluation_on_a_folder_is_that_on_its_text_and_refuses_shards_of_another_tokenizer() {
    let place = prepared();
    place.train("a", &["--steps", "10"]);
    let eval = |data: &str, split: &str| {
        let found = object(&place.succeed(&["eval", "--model", "a", "--data", data, "--split", split, "--json"]));
        [&found["loss"], &found["bits_per_char"], &found["tokens"]].map(Value::to_string)
    };
    for split in ["train", "val", "all"] {
        assert_eq!(eval("p", split), eval("poem.txt", split), "{split}");
    }
    fs::write(place.path("other.txt"), "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(40))
        .unwrap();
    place.succeed(&["data", "prepare", "--data", "other.txt", "--out", "q"]);
    let hash = |folder: &str| {
        let bytes = place.read(&format!("{folder}/val-00000-of-00001.tokens"));
        let header = String::from_utf8_lossy(&bytes[..900]).into_owned();
        let start = header.find("\"sha256\":\"").unwrap() + 10;
        header[start..start + 12].to_owned()
    };
    let tokenizers = format!("its tokenizer is char {}…, and they were made with char {}…", hash("p"), hash("q"));
    place.check_failure(&["eval", "--model", "a", "--data", "q"], 2, "foreign_shards", &tokenizers);
    // The model's own tokenizer on the other text.
    let arguments = ["data", "prepare", "--data", "other.txt", "--tokenizer", "p/tokenizer.json", "--out", "r"];
    place.check_failure(
        &arguments,
        2,
        "data",
        "counted from byte 0: tokenizer: the character 'Z' (U+005A) at position 0",
    );
    assert!(!place.path("r").exists());
}

#[test]
fn damaged_folders_are_refused_by_name() {
    let place = prepared();
    let count = names(&place.path("p")).iter().filter(|name| name.starts_with("train")).count();
    let shard = |index: usize| place.path(&format!("p/train-{index:05}-of-{count:05}.tokens"));
    let tokenizer = place.path("p/tokenizer.json");
    let check = |reason: &str| {
        for arguments in [train("a", "p", &["--steps", "1"]), vec!["eval", "--model", "m", "--data", "p"]] {
            place.check_failure(&arguments, 2, "data", reason);
        }
        assert!(!place.path("a").exists(), "{reason}: nothing is left behind");
    };
    place.train("m", &["--steps", "1"]);
    let change = |path: &Path, change: &dyn Fn(&mut Vec<u8>), reason: &str| {
        let good = fs::read(path).unwrap();
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
        check(reason);
        fs::write(path, good).unwrap();
    };
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    change(&shard(1), &flip, &format!("train-00001-of-{count:05}.tokens: its tokens were altered"));
    change(&shard(0), &|bytes| bytes.truncate(700), "train-00000-of-");
    change(&shard(0), &Vec::clear, "it has 0 bytes, too few for a token shard");
    change(&shard(2), &|bytes| bytes.splice(.., *b"First Citizen:").for_each(drop), "it is not a token shard");
    change(&shard(2), &|bytes| bytes[8] = 9, "it has version 9 of the format");
    change(&tokenizer, &|bytes| bytes.truncate(50), "tokenizer.json: this is not a tokenizer.json");
    let swap = |bytes: &mut Vec<u8>| {
        *bytes = String::from_utf8(bytes.clone()).unwrap().replace("\"L\"", "\"Z\"").into_bytes();
    };
    change(&tokenizer, &swap, "tokenizer.json is the tokenizer char ");

    let away = place.path("away");
    for (path, reason) in [
        (shard(1), "shard 1 of the split train"),
        (place.path("p/val-00000-of-00001.tokens"), "there is no token shard of the split val"),
        (tokenizer, "tokenizer.json is missing"),
    ] {
        fs::rename(&path, &away).unwrap();
        check(reason);
        fs::rename(&away, &path).unwrap();
    }
    // A shard too many, of another text.
    fs::write(place.path("other.txt"), "The cat sees the owl. ".repeat(100)).unwrap();
    place.succeed(&["data", "prepare", "--data", "other.txt", "--out", "q"]);
    fs::copy(place.path("q/val-00000-of-00001.tokens"), place.path("p/other.tokens")).unwrap();
    check("it belongs to another text or preparation");
    fs::remove_file(place.path("p/other.tokens")).unwrap();
    place.succeed(&train("a", "p", &["--steps", "1"]));
}

#[test]
fn folders_of_something_else_are_told() {
    let place = Workplace::new();
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("music")).unwrap();
    fs::write(place.path("music/song.mp3"), "la").unwrap();
    for folder in ["empty", "music"] {
        let arguments = train("a", folder, &[]);
        place.check_failure(&arguments, 2, "data", "it is a folder without token shards (*.tokens)");
    }
}

#[test]
fn what_cannot_be_prepared_leaves_nothing_behind() {
    let place = Workplace::new();
    fs::write(place.path("latin1.txt"), [place.read("poem.txt"), b"caf\xe9".to_vec()].concat()).unwrap();
    fs::write(place.path("empty.txt"), "").unwrap();
    fs::write(place.path("one.txt"), "x").unwrap();
    let length = place.read("poem.txt").len();
    let before = names(place.folder.path());
    let check = |arguments: &[&str], kind: &str, reason: &str| {
        let code = if kind == "io" { 1 } else { 2 };
        place.check_failure(&[&["data", "prepare", "--out", "p"], arguments].concat(), code, kind, reason);
        assert_eq!(names(place.folder.path()), before, "{arguments:?}");
    };
    check(&["--data", "empty.txt"], "data", "it is empty");
    check(&["--data", "missing.txt"], "data", "there is no such file");
    check(&["--data", "."], "data", "it is a folder");
    check(&["--data", "latin1.txt"], "data", &format!("byte {} (0xe9) is not UTF-8", length + 3));
    check(&["--data", "one.txt"], "data", "its 1 tokens give 0 to learn from and 1 to validate on");
    check(&["--data", "poem.txt", "--val-share", "1e-20"], "data", "and 0 to validate on");
    if cfg!(unix) {
        check(&["--data", "/dev/null"], "data", "it is no ordinary file");
    }
    for (option, value) in [("--val-share", "0"), ("--val-share", "1"), ("--val-share", "nan"), ("--shard-tokens", "0")]
    {
        check(&["--data", "poem.txt", option, value], "usage", "invalid value");
    }
    check(&["--data", "poem.txt", "--tokenizer", "poem.txt"], "tokenizer", "this is not a tokenizer.json");

    fs::write(place.path("long.txt"), "a b ".repeat(30_000)).unwrap();
    let arguments = ["data", "prepare", "--data", "long.txt", "--out", "p", "--shard-tokens", "1"];
    place.check_failure(&arguments, 2, "data", "it would make 120000 shards; the most is 100000");
    for out in ["poem.txt", "poem.txt/below"] {
        place.check_failure(&["data", "prepare", "--data", "poem.txt", "--out", out], 1, "io", "poem.txt");
    }
    fs::create_dir(place.path("music")).unwrap();
    fs::write(place.path("music/song.mp3"), "la").unwrap();
    let arguments = ["data", "prepare", "--data", "poem.txt", "--out", "music"];
    place.check_failure(&arguments, 2, "output_exists", "music already exists and is not empty");
    assert_eq!(names(&place.path("music")), ["song.mp3"]);
    fs::remove_file(place.path("music/song.mp3")).unwrap();
    place.succeed(&arguments);
}

/// A limit on the size of files stands for a disk that is full.
#[test]
#[cfg(unix)]
fn a_disk_that_is_full_leaves_nothing_behind() {
    let place = Workplace::new();
    fs::write(place.path("long.txt"), "The cat sees the owl. ".repeat(10_000)).unwrap();
    let before = names(place.folder.path());
    let program = env!("CARGO_BIN_EXE_trainer");
    let script = format!("trap '' XFSZ; ulimit -f 100; exec {program} data prepare --data long.txt --out p");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("INKLING_CACHE", place.path("cache"))
        .current_dir(place.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("cannot write"), "{output:?}");
    assert_eq!(names(place.folder.path()), before);
}
