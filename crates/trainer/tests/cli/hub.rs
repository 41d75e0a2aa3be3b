//! Models of a hub (here: a server of this machine's) by their names, and fine-tuning.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::test_server::{Reply, Server, refusing_url};
use crate::{Workplace, object, stderr, stdout};

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// A place with a trained model in runs/a.
fn trained() -> Workplace {
    let place = Workplace::new();
    place.train("runs/a", &["--steps", "20", "--lr", "1e-2"]);
    place
}

fn at_commit(reply: Reply) -> Reply {
    reply.with("X-Repo-Commit", "c0ffee")
}

/// What the hub answers when the model in runs/a is fetched.
fn answers(place: &Workplace) -> Vec<Reply> {
    let file = |name: &&str| at_commit(Reply::ok(place.read(&format!("runs/a/best/{name}"))));
    [at_commit(Reply::ok(""))].into_iter().chain(FILES.iter().map(file)).collect()
}

/// A command that asks this hub.
fn with_hub(place: &Workplace, hub: &str, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.env("HF_ENDPOINT", hub).env_remove("HF_TOKEN");
    command
}

fn succeed(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn loss(output: &Output) -> f64 {
    object(output)["loss"].as_f64().unwrap()
}

#[test]
fn a_model_is_fetched_once_and_then_needs_no_network() {
    let place = trained();
    let hub = Server::start(answers(&place));
    let eval = |hub: &str, model| {
        loss(&succeed(with_hub(&place, hub, &["eval", "--model", model, "--data", "poem.txt", "--json"])))
    };
    let expected = eval("", "runs/a/best");
    assert_eq!(eval(&hub.url("/"), "org/poet"), expected);
    let asked: Vec<String> = hub.requests().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    let expected_requests = [
        "HEAD /org/poet/resolve/main/config.json HTTP/1.1",
        "GET /org/poet/resolve/c0ffee/config.json HTTP/1.1",
        "GET /org/poet/resolve/c0ffee/tokenizer.json HTTP/1.1",
        "GET /org/poet/resolve/c0ffee/model.safetensors HTTP/1.1",
    ];
    assert_eq!(asked, expected_requests);
    assert_eq!(eval(&refusing_url(), "org/poet"), expected);

    let again = with_hub(&place, &refusing_url(), &["model", "fetch", "org/poet", "--json"]);
    let found = object(&succeed(again));
    assert_eq!((found["commit"].as_str(), found["cached"].as_bool()), (Some("c0ffee"), Some(true)));
    assert_eq!(found["files"].as_object().unwrap().len(), 3);
    let text = succeed(with_hub(&place, &refusing_url(), &["model", "fetch", "org/poet"]));
    assert!(stdout(&text).contains("in the cache already") && stdout(&text).contains("c0ffee"), "{text:?}");

    // A file that is not as long as it came is fetched again, it alone.
    fs::write(place.path("cache/models/org--poet/c0ffee/tokenizer.json"), "{").unwrap();
    let tokenizer = || at_commit(Reply::ok(place.read("runs/a/best/tokenizer.json")));
    let hub = Server::start(vec![at_commit(Reply::ok("")), tokenizer()]);
    assert_eq!(eval(&hub.url(""), "org/poet"), expected);
}

#[test]
fn refreshing_takes_what_the_branch_is_at_now() {
    let place = trained();
    let fetch = |replies, more: &[&str]| {
        let hub = Server::start(replies);
        let arguments = [&["model", "fetch", "org/poet", "--json"], more].concat();
        object(&succeed(with_hub(&place, &hub.url(""), &arguments)))
    };
    fetch(answers(&place), &[]);
    assert_eq!(fetch(vec![at_commit(Reply::ok(""))], &["--refresh"])["cached"], Value::Bool(true));
    let later = |reply: Reply| reply.with("X-Repo-Commit", "decade");
    let replies = [later(Reply::ok(""))]
        .into_iter()
        .chain(FILES.iter().map(|name| later(Reply::ok(place.read(&format!("runs/a/last/{name}"))))))
        .collect();
    assert_eq!(fetch(replies, &["--refresh"])["commit"], "decade");
    assert_eq!(fetch(vec![], &[])["commit"], "decade");
}

#[test]
fn a_download_that_was_given_up_goes_on_with_the_file_that_was_cut() {
    let place = trained();
    let weights = place.read("runs/a/best/model.safetensors");
    let tagged = |reply: Reply| at_commit(reply).with("ETag", "\"w\"");
    let mut replies = answers(&place);
    replies.truncate(3);
    replies.push(tagged(Reply::cut(&weights[..100], weights.len() as u64)));
    replies.push(Reply::status(410));
    let fetch = |hub: &Server| with_hub(&place, &hub.url(""), &["model", "fetch", "org/poet", "--json"]);
    let output = fetch(&Server::start(replies)).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let hub = Server::start(vec![at_commit(Reply::ok("")), tagged(Reply::rest(&weights, 100))]);
    assert_eq!(object(&succeed(fetch(&hub)))["cached"], Value::Bool(false));
    assert!(hub.requests()[1].contains("bytes=100-"), "{:?}", hub.requests());
    assert_eq!(place.read("cache/models/org--poet/c0ffee/model.safetensors"), weights);
}

#[test]
fn a_model_in_several_files_is_fetched_whole() {
    let place = trained();
    let weights = place.read("runs/a/best/model.safetensors");
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&weights[8..8 + header]).unwrap();
    let names = header.as_object().unwrap().keys().filter(|name| *name != "__metadata__");
    let map: serde_json::Map<String, Value> = names.map(|name| (name.clone(), "model-1.safetensors".into())).collect();
    let mut replies = answers(&place);
    replies.truncate(3);
    replies.push(Reply::status(404).with("X-Error-Code", "EntryNotFound"));
    replies.push(Reply::ok(serde_json::json!({ "weight_map": map }).to_string()));
    replies.push(Reply::ok(&weights));
    let hub = Server::start(replies);
    let eval = |hub: &str, model| {
        loss(&succeed(with_hub(&place, hub, &["eval", "--model", model, "--data", "poem.txt", "--json"])))
    };
    assert_eq!(eval(&hub.url(""), "org/poet"), eval("", "runs/a"));
}

#[test]
fn what_the_hub_does_not_give_is_told_with_what_to_do() {
    let place = Workplace::new();
    let check = |replies: Vec<Reply>, kind: &str, code: i32, problem: &str, hint: &str| {
        let hub = Server::start(replies);
        let output = with_hub(&place, &hub.url(""), &["sample", "--model", "org/poet", "--json"]).output().unwrap();
        let error = &object(&output)["error"];
        assert_eq!((output.status.code(), error["kind"].as_str()), (Some(code), Some(kind)), "{output:?}");
        assert!(error["message"].as_str().unwrap().contains(problem), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    };
    check(vec![Reply::status(401)], "hub", 1, "there is no such model at http", "set HF_TOKEN");
    check(vec![Reply::status(403)], "hub", 1, "gated", "HF_TOKEN");
    check(vec![Reply::status(404)], "hub", 1, "there is no such model", "/models");
    let coded = |code| Reply::status(404).with("X-Error-Code", code);
    check(vec![coded("RevisionNotFound")], "hub", 1, "it has no revision main", "/tree");
    let foreign = || at_commit(Reply::ok(r#"{"model_type": "bert"}"#));
    let found = || at_commit(Reply::ok(""));
    check(vec![found(), foreign(), coded("EntryNotFound")], "hub", 1, "it has no tokenizer.json", "another copy");
    let tokenizer = || at_commit(Reply::ok("{}"));
    check(vec![found(), tokenizer()], "checkpoint", 2, "\"bert\" is not supported", "take another model");

    let output = with_hub(&place, &refusing_url(), &["sample", "--model", "gpt2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("openai-community/gpt2") && text.contains("refused") && text.contains("HF_ENDPOINT"),
        "{text}"
    );
    place.check_failure(&["model", "fetch", "../gpt2"], 2, "setting", "../gpt2 is no name of a model");
}

#[test]
fn fine_tuning_starts_where_the_base_stands() {
    let place = trained();
    fs::write(place.path("other.txt"), "the owl sees the dog.\nLine 4: the cat.\n".repeat(40)).unwrap();
    let from = ["train", "--from", "runs/a", "--data", "other.txt", "--json", "--steps", "4"];
    let summary = object(&place.succeed(&from));
    assert_eq!(summary["steps"].as_u64().or(summary["step"].as_u64()), Some(4), "{summary}");
    let metrics = place.metrics("runs/a-tuned");
    let eval = loss(&place.succeed(&["eval", "--model", "runs/a", "--data", "other.txt", "--json"]));
    assert_eq!((metrics[0]["kind"].as_str(), metrics[0]["step"].as_u64()), (Some("eval"), Some(0)));
    assert!((metrics[0]["val_loss"].as_f64().unwrap() - eval).abs() < 1e-6, "{} {eval}", metrics[0]);
    assert_eq!(place.read("runs/a-tuned/last/tokenizer.json"), place.read("runs/a/best/tokenizer.json"));

    // The run goes on like any other, and as if it had not been interrupted.
    place.succeed(&["train", "--resume", "--out", "runs/a-tuned", "--steps", "8", "--json"]);
    assert_eq!(place.metrics("runs/a-tuned").last().unwrap()["step"], 8);
}

#[test]
fn a_base_may_be_shortened_and_dropped_out_but_not_rebuilt() {
    let place = trained();
    let from =
        |more: &[&'static str]| [&["train", "--from", "runs/a", "--data", "poem.txt", "--steps", "2"], more].concat();
    place.succeed(&from(&["--out", "runs/b", "--set", "n_positions=8", "dropout=0.25", "--lr", "1e-3"]));
    let config: Value = serde_json::from_slice(&place.read("runs/b/last/config.json")).unwrap();
    assert_eq!((&config["n_positions"], &config["resid_pdrop"]), (&Value::from(8), &Value::from(0.25)));
    for (more, kind, reason) in [
        (&["--set", "n_positions=32"][..], "config", "n_positions is 32, but the model was trained on texts of 16"),
        (&["--set", "n_layer=2"], "config", "n_layer is 2, but the weights were trained with 1"),
        (&["--set", "vocab_size=300"], "config", "vocab_size is 300"),
        (&["--tokenizer", "byte"], "base_tokenizer", "--tokenizer cannot be given with --from"),
        (&["--preset", "micro"], "usage", "cannot be used with"),
        (&["--resume"], "resume_setting", "--from cannot be given with --resume"),
    ] {
        place.check_failure(&from(more), 2, kind, reason);
    }
    fs::write(place.path("foreign.txt"), "Zürich\n".repeat(50)).unwrap();
    let foreign = ["train", "--from", "runs/a", "--data", "foreign.txt"];
    place.check_failure(&foreign, 2, "foreign_text", "the model runs/a cannot read foreign.txt");
    place.check_failure(&["train", "--from", "runs/nobody"], 2, "no_checkpoint", "no such folder");
}
