//! `trainer data fetch`, and what all commands have in common.

use std::process::Output;

use crate::test_server::{Reply, Server, refusing_url};
use crate::{check_failure, object, run, stderr, stdout, trainer};

#[test]
fn every_command_explains_itself_with_examples() {
    for command in [
        &[][..],
        &["train"],
        &["sample"],
        &["eval"],
        &["inspect"],
        &["bench"],
        &["data", "fetch"],
        &["data", "prepare"],
        &["model", "fetch"],
        &["tokenizer", "train"],
        &["tokenizer", "show"],
        &["tokenizer", "encode"],
        &["export"],
        &["merge"],
        &["compare"],
        &["presets"],
        &["devices"],
    ] {
        let output = run(&[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Examples:\n") && stdout(&output).contains("Usage: "), "{output:?}");
    }
}

#[test]
fn arguments_that_make_no_sense_exit_with_2() {
    check_failure(&["dance"], 2, "usage", "unrecognized subcommand 'dance'");
    check_failure(&["devices", "--fast"], 2, "usage", "unexpected argument '--fast'");
    check_failure(&["data", "fetch", "--data"], 2, "usage", "a value is required for '--data");
}

#[test]
fn data_that_cannot_be_used_exits_with_2_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let folder_path = folder.path().to_str().unwrap();
    for (data, reason) in [
        (file("empty.txt", b""), "it is empty"),
        (file("latin1.txt", b"caf\xe9"), "byte 3 (0xe9) is not UTF-8"),
        (folder_path.to_owned(), "it is a folder"),
        (format!("{folder_path}/missing.txt"), "there is no such file"),
        ("gopher://host/poems.txt".to_owned(), "gopher:// are not supported"),
    ] {
        check_failure(&["data", "fetch", "--data", &data], 2, "data", reason);
    }
}

#[test]
fn a_download_that_fails_exits_with_1_and_keeps_nothing() {
    let half = || Reply::cut("half of it", 100);
    let cut = Server::start(vec![half(), half()]).url("/poems.txt");
    check_failure(&["data", "fetch", "--data", &cut], 1, "download", "cut after 10 of 100 bytes");
    let missing = Server::start(vec![Reply::status(404), Reply::status(404)]).url("/poems.txt");
    check_failure(&["data", "fetch", "--data", &missing], 1, "download", "status 404");
    check_failure(&["data", "fetch", "--data", &refusing_url()], 1, "download", "refused");

    let cache = tempfile::tempdir().unwrap();
    let url = Server::start(vec![half()]).url("/poems.txt");
    assert!(!trainer(cache.path(), &["data", "fetch", "--data", &url]).status().unwrap().success());
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn a_url_is_fetched_once_and_refreshed_on_request() {
    let cache = tempfile::tempdir().unwrap();
    let url = Server::start(vec![Reply::ok("first"), Reply::ok("second!")]).url("/poems.txt");
    let fetch = |more: &[&str]| {
        let output =
            trainer(cache.path(), &[&["data", "fetch", "--json", "--data", &url], more].concat()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        object(&output)
    };
    for (more, source, bytes) in
        [(&[][..], "download", 5), (&[], "cache", 5), (&["--refresh"], "download", 7), (&[], "cache", 7)]
    {
        let fetched = fetch(more);
        assert_eq!((fetched["source"].as_str(), fetched["bytes"].as_u64()), (Some(source), Some(bytes)));
        assert_eq!(std::fs::metadata(fetched["path"].as_str().unwrap()).unwrap().len(), bytes);
    }
}

#[test]
fn the_default_corpus_is_the_real_one_and_damage_is_repaired() {
    const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
    let cache = tempfile::tempdir().unwrap();
    let fetch = || trainer(cache.path(), &["data", "fetch", "--json"]).output().unwrap();
    let check = |output: &Output, from_cache: bool| {
        assert!(output.status.success(), "{output:?}");
        let fetched = object(output);
        assert_eq!((fetched["sha256"].as_str(), fetched["bytes"].as_u64()), (Some(SHA256), Some(1_115_394)));
        assert_eq!(fetched["source"] == "cache", from_cache, "{fetched}");
        fetched["path"].as_str().unwrap().to_owned()
    };
    let path = check(&fetch(), false);
    check(&fetch(), true);
    std::fs::write(&path, "First Citizen:\n").unwrap();
    let repaired = fetch();
    assert!(stderr(&repaired).contains("was altered") && stderr(&repaired).contains("fetching it again"));
    check(&repaired, false);
    check(&fetch(), true);
}

#[test]
fn a_machine_that_reaches_nothing_is_told_every_way_that_failed_and_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let nowhere = refusing_url();
    let output = trainer(cache.path(), &["data", "fetch"])
        .env("ALL_PROXY", nowhere.trim_end_matches("/x"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("CARGO", "no-such-cargo")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let place = cache.path().join("tinyshakespeare.txt");
    for text in ["- cannot download https://", "- cannot take femto-gpt", "--data PATH", place.to_str().unwrap()] {
        assert!(stderr(&output).contains(text), "{text} in {}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn what_is_piped_has_no_colours_and_no_bars() {
    let url = Server::start(vec![Reply::ok("some text")]).url("/poems.txt");
    for output in [run(&["data", "fetch", "--data", &url]), run(&["data", "fetch", "--data", "missing"])] {
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{output:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_no_drama() {
    let cache = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = trainer(cache.path(), &["inspect", "--preset", "tiny"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write to stdout: No space left"), "{output:?}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = trainer(cache.path(), &["inspect", "--preset", "tiny"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
}
