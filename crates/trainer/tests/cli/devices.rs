//! `trainer devices`, and how `--device` and `--adapter` choose: with whatever adapters this machine has, and with none.

use std::process::Command;

use serde_json::Value;

use crate::{SMALL, Workplace, object, run, stderr, stdout, trainer};

/// Hides every Vulkan driver. Elsewhere than on Linux adapters do not come from Vulkan alone and cannot be hidden.
fn without_adapters(command: &mut Command) -> &mut Command {
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent")
}

fn listed() -> Value {
    object(&run(&["devices", "--json"]))
}

#[test]
fn devices_lists_the_processor_alike_for_people_and_programs() {
    let cpu = &listed()["devices"][0];
    assert_eq!(cpu["device"], "cpu");
    assert!(cpu["threads"].as_u64().unwrap() >= 1);
    let output = run(&["devices"]);
    let row = stdout(&output).lines().find(|line| line.starts_with("cpu ")).unwrap();
    assert!(row.contains(cpu["name"].as_str().unwrap()) && row.contains(&cpu["threads"].to_string()), "{row}");
}

#[test]
fn devices_lists_every_adapter_alike_for_people_and_programs() {
    let listed = listed();
    let output = run(&["devices"]);
    for (number, adapter) in listed["devices"].as_array().unwrap()[1..].iter().enumerate() {
        assert_eq!((adapter["device"].as_str(), adapter["adapter"].as_u64()), (Some("gpu"), Some(number as u64)));
        let start = format!("gpu {number} ");
        let row = stdout(&output).lines().find(|line| line.starts_with(&start)).unwrap();
        for key in ["name", "type", "backend", "driver"] {
            assert!(row.contains(adapter[key].as_str().unwrap()), "{key} in {row}");
        }
        assert!(adapter["max_binding_bytes"].as_u64().unwrap() >= 128 << 20, "WebGPU's least: {adapter}");
        for feature in adapter["features"].as_array().unwrap() {
            assert!(row.contains(feature.as_str().unwrap()), "{feature} in {row}");
        }
    }
}

#[test]
fn devices_says_what_auto_takes_and_never_a_software_adapter() {
    let listed = listed();
    let auto = &listed["auto"];
    let types: Vec<&str> =
        listed["devices"].as_array().unwrap()[1..].iter().map(|d| d["type"].as_str().unwrap()).collect();
    match auto["adapter"].as_u64() {
        Some(number) => assert!(auto["device"] == "gpu" && types[number as usize] != "software", "{listed}"),
        None => assert!(auto["device"] == "cpu" && types.iter().all(|kind| *kind == "software"), "{listed}"),
    }
    let output = run(&["devices"]);
    let line = stdout(&output).lines().find(|line| line.starts_with("--device auto takes ")).unwrap();
    assert!(line.contains(auto["reason"].as_str().unwrap()), "{line}");
}

#[test]
#[cfg(target_os = "linux")]
fn without_adapters_there_is_the_processor_and_auto_takes_it() {
    let place = Workplace::new();
    let listed = object(&without_adapters(&mut place.command(&["devices", "--json"])).output().unwrap());
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1);
    assert_eq!(listed["auto"]["device"], "cpu");
    let output = without_adapters(&mut place.command(&["devices"])).output().unwrap();
    assert!(stdout(&output).contains("takes the CPU: there is no adapter") && output.stderr.is_empty(), "{output:?}");

    let train = [&["train", "--device", "auto", "--out", "a", "--steps", "2"], &SMALL[..]].concat();
    let output = without_adapters(&mut place.command(&train)).output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("\nCPU, "), "{output:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_gpu_that_is_not_there_is_refused_with_a_remedy_before_anything_is_done() {
    let place = Workplace::new();
    let train = [&["train", "--device", "gpu", "--out", "a"], &SMALL[..]].concat();
    for arguments in
        [&train[..], &["train", "--adapter", "radeon"], &["sample", "--device", "gpu"], &["bench", "--device", "gpu"]]
    {
        let output = without_adapters(&mut place.command(arguments)).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        for text in ["no GPU that wgpu can use", "install a Vulkan", "--device cpu"] {
            assert!(stderr(&output).contains(text), "{text} in {output:?}");
        }
        let output = without_adapters(&mut place.command(&[arguments, &["--json"]].concat())).output().unwrap();
        assert_eq!(object(&output)["error"]["kind"], "device", "{output:?}");
    }
    assert!(!place.path("a").exists());
}

#[test]
fn an_adapter_that_is_not_there_is_refused_with_a_list_of_those_that_are() {
    let listed = listed();
    let Some(name) = listed["devices"][1]["name"].as_str() else {
        return eprintln!("SKIPPED: refusing an adapter by name; this machine has none at all");
    };
    let place = Workplace::new();
    for wanted in ["no such card", "99"] {
        let output = place.run(&["sample", "--adapter", wanted, "--json"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = &object(&output)["error"];
        assert_eq!(error["kind"], "device");
        assert!(error["message"].as_str().unwrap().contains(&format!("cannot use the adapter {wanted}")), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(&format!("0 {name} (")), "{error}");
    }
}

#[test]
fn an_adapter_and_the_cpu_exclude_each_other() {
    let place = Workplace::new();
    let arguments = ["sample", "--device", "cpu", "--adapter", "0"];
    place.check_failure(&arguments, 2, "device", "--device cpu computes without one");
}

#[test]
fn the_cpu_asks_no_driver_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    // A loader that is asked for drivers tells so here.
    let bench = ["bench", "--device", "cpu", "--preset", "micro", "--seconds", "0", "--quiet"];
    let output = trainer(folder.path(), &bench).env("VK_LOADER_DEBUG", "all").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
