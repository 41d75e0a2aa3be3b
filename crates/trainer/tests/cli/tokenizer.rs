//! `trainer tokenizer …`, and models whose tokens are several characters or parts of one.

use std::fs;

use serde_json::{Value, json};

use crate::{SMALL, Workplace, object, stderr, stdout};

fn read(place: &Workplace, name: &str) -> Value {
    serde_json::from_slice(&place.read(name)).unwrap()
}

#[test]
fn a_tokenizer_is_learnt_shown_and_used() {
    let place = Workplace::new();
    let learnt = object(&place.succeed(&["tokenizer", "train", "--data", "poem.txt", "--vocab", "290", "--json"]));
    assert_eq!((learnt["kind"].as_str(), learnt["vocab_size"].as_u64()), (Some("bpe"), Some(290)));
    assert_eq!(read(&place, "tokenizer.json")["model"]["merges"].as_array().unwrap().len(), 34);

    let shown = object(&place.succeed(&["tokenizer", "show", "--count", "3", "--json"]));
    assert_eq!(shown["merges"], 34);
    let token = &shown["tokens"][2];
    let parts: Vec<String> = token["merged"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| {
            let one = ["tokenizer", "show", "--start", &id.to_string(), "--count", "1", "--json"];
            object(&place.succeed(&one))["tokens"][0]["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(token["text"], parts.concat());
    let table = stdout(&place.succeed(&["tokenizer", "show"])).to_owned();
    assert!(table.starts_with("bpe tokenizer: 290 tokens, 34 merges\n") && table.contains("made of"), "{table}");

    let encoded = object(&place.succeed(&["tokenizer", "encode", "--merges", "--json", "the cat é"]));
    let steps = encoded["words"][1]["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["rank"], &steps[0]["tokens"]), (&Value::Null, &json!([" ", "c", "a", "t"])));
    assert!(
        steps
            .windows(2)
            .all(|pair| pair[0]["ids"].as_array().unwrap().len() == pair[1]["ids"].as_array().unwrap().len() + 1)
    );
    assert_eq!(encoded["tokens"].as_array().unwrap().iter().rev().take(2).collect::<Vec<_>>(), ["\\xA9", "\\xC3"]);
    let text = stdout(&place.succeed(&["tokenizer", "encode", "--merges", " cat"])).to_owned();
    let ends = "the<|endoftext|>cat";
    fs::write(place.path("ends.txt"), ends.repeat(40)).unwrap();
    let output = place.succeed(&["tokenizer", "train", "--data", "ends.txt", "--vocab", "999", "--out", "ends.json"]);
    assert!(stderr(&output).contains("not 999: the text has no more pairs to merge"), "{output:?}");
    let output = place.succeed(&["tokenizer", "encode", "--tokenizer", "ends.json", "--merges", "--json", ends]);
    let words: Vec<Value> =
        object(&output)["words"].as_array().unwrap().iter().map(|word| word["word"].clone()).collect();
    assert_eq!(words, ["the", "cat"]);
    assert!(text.contains("1 tokens, 4 characters, 4 bytes") && text.contains(r#"" " "c" "a" "t""#), "{text}");
}

#[test]
fn every_kind_trains_samples_and_is_evaluated() {
    let place = Workplace::new();
    for (name, options, vocab_size) in [
        ("char", &[][..], 28),
        ("byte", &["--tokenizer", "byte"], 256),
        ("bpe", &["--tokenizer", "bpe", "--vocab", "280"], 280),
        // The folder of the run before.
        ("file", &["--tokenizer", "./bpe"], 280),
    ] {
        place.train(name, &[&["--steps", "20"], options].concat());
        let config = read(&place, &format!("{name}/best/config.json"));
        assert_eq!(config["vocab_size"], vocab_size, "{name}");

        let best = place.metrics(name).into_iter().rfind(|record| record["best"] == true).unwrap();
        let found = object(&place.succeed(&["eval", "--model", name, "--data", "poem.txt", "--json"]));
        for (key, of_run) in [("loss", "val_loss"), ("bits_per_char", "bits_per_char")] {
            let (found, best) = (found[key].as_f64().unwrap(), best[of_run].as_f64().unwrap());
            assert!((found - best).abs() < 1e-6, "{name} {key}: {found} {best}");
        }
        let output = place.succeed(&["sample", "--model", name, "--prompt", "the", "--tokens", "30", "--json"]);
        let text = object(&output)["samples"][0]["text"].as_str().unwrap().to_owned();
        let streamed = place.succeed(&["sample", "--model", name, "--prompt", "the", "--tokens", "30"]);
        assert_eq!(stdout(&streamed).trim_end_matches('\n'), text.trim_end_matches('\n'), "{name}");
    }
    assert_eq!(place.read("bpe/best/tokenizer.json"), place.read("file/best/tokenizer.json"));
    let output = place.succeed(&["train", "--resume", "--out", "bpe", "--steps", "25", "--json"]);
    assert_eq!(object(&output)["steps"], 25);
}

/// Bits per character divide by the characters of what is predicted, not by its tokens; and what is written is whole characters, of which
/// each token is a part.
#[test]
fn characters_of_several_tokens_are_counted_and_shown_once() {
    let place = Workplace::new();
    fs::write(place.path("signs.txt"), "é€ ".repeat(600)).unwrap();
    let small: Vec<&str> = SMALL.iter().map(|&word| if word == "poem.txt" { "signs.txt" } else { word }).collect();
    let byte = ["train", "--out", "a", "--tokenizer", "byte", "--steps", "100", "--lr", "2e-2"];
    place.succeed(&[&byte[..], &small].concat());
    let found = object(&place.succeed(&["eval", "--model", "a", "--data", "signs.txt", "--split", "all", "--json"]));
    // 3 characters of 6 bytes; the first byte, which begins a character, is not predicted.
    let characters = (600 * 3 - 1) as f64 / (600 * 6 - 1) as f64;
    let expected = found["loss"].as_f64().unwrap() / std::f64::consts::LN_2 / characters;
    assert!((found["bits_per_char"].as_f64().unwrap() - expected).abs() < 1e-9, "{found}");

    let output = place.succeed(&["sample", "--model", "a", "--greedy", "--prompt", " ", "--tokens", "11"]);
    assert_eq!(stdout(&output), " é€ é€\n");
}

#[test]
fn tokenizers_that_cannot_be_had_are_refused() {
    let place = Workplace::new();
    fs::write(place.path("bad.json"), "{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}").unwrap();
    let train = |more: &[&'static str]| [&["train", "--data", "poem.txt"], more].concat();
    for (arguments, kind, reason) in [
        (
            train(&["--tokenizer", "nowhere.json"]),
            "tokenizer",
            "cannot use the tokenizer nowhere.json: there is no such file",
        ),
        (
            train(&["--tokenizer", "bad.json"]),
            "tokenizer",
            "cannot use the tokenizer bad.json: this is a Unigram tokenizer",
        ),
        (train(&["--tokenizer", "."]), "no_checkpoint", "holds neither config.json"),
        (train(&["--vocab", "300"]), "setting", "cannot set --vocab: a char vocabulary"),
        (train(&["--vocab", "300", "--tokenizer", "byte"]), "setting", "256 tokens"),
        (train(&["--vocab", "256", "--tokenizer", "bpe"]), "tokenizer", "a vocabulary of 256 tokens cannot be learnt"),
        (vec!["tokenizer", "train", "--vocab", "9999999"], "tokenizer", "9999999 tokens cannot be learnt"),
        (vec!["tokenizer", "train", "--data", "nowhere.txt"], "data", "there is no such file"),
        (vec!["tokenizer", "encode", "--tokenizer", "bad.json", "x"], "tokenizer", "Unigram"),
    ] {
        place.check_failure(&arguments, 2, kind, reason);
    }
    place.succeed(&["tokenizer", "train", "--kind", "char", "--data", "poem.txt"]);
    let written = place.read("tokenizer.json");
    let again = ["tokenizer", "train", "--kind", "byte", "--data", "poem.txt"];
    place.check_failure(&again, 2, "setting", "tokenizer.json is there already");
    assert_eq!(place.read("tokenizer.json"), written);
    place.succeed(&["tokenizer", "train", "--kind", "char", "--data", "poem.txt", "--overwrite"]);
    let encode = ["tokenizer", "encode", "--merges", "the"];
    place.check_failure(&encode, 2, "setting", "a char tokenizer merges nothing");
    place.check_failure(&["tokenizer", "encode", "é"], 2, "tokenizer", "'é' (U+00E9) at position 0");
    let sized = ["tokenizer", "train", "--kind", "char", "--vocab", "300"];
    place.check_failure(&sized, 2, "setting", "the size of a char vocabulary cannot be chosen");
    fs::write(place.path("signs.txt"), "é€ ".repeat(600)).unwrap();
    let foreign = ["train", "--data", "signs.txt", "--tokenizer", "tokenizer.json"];
    place.check_failure(&foreign, 2, "data", "cannot use signs.txt as data: tokenizer: the character 'é'");
    place.check_failure(&["tokenizer", "show", "--start", "99"], 2, "setting", "and it is 99");
    place.train("a", &["--steps", "1"]);
    let resume = ["train", "--resume", "--out", "a", "--tokenizer", "bpe"];
    place.check_failure(&resume, 2, "resume_setting", "--tokenizer cannot be given with --resume");
}

/// Shards keep the tokenizer they were made with; training on them is training on the text.
#[test]
fn shards_of_byte_pairs_train_as_their_text() {
    let place = Workplace::new();
    let bpe = ["--tokenizer", "bpe", "--vocab", "280"];
    place.succeed(&[&["data", "prepare", "--data", "poem.txt", "--out", "shards"], &bpe[..]].concat());
    place.train("text", &[&["--steps", "20"], &bpe[..]].concat());
    let small: Vec<&str> =
        SMALL.iter().map(|&argument| if argument == "poem.txt" { "shards" } else { argument }).collect();
    place.succeed(&[&["train", "--out", "prepared", "--steps", "20"], &small[..]].concat());
    assert_eq!(place.metrics("text"), place.metrics("prepared"));
    let beside = [&["train", "--out", "b"], &small[..], &bpe[..]].concat();
    place.check_failure(&beside, 2, "setting", "prepared with a tokenizer of its own");
}
