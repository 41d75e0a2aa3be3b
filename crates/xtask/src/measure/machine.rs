//! On which machine a run was trained, in words: the processor's or the graphics card's own name, never a host's.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::answer;
use crate::error::{Error, Result};
use crate::process::trainer;

/// Beside the trainer's own files.
const NOTE: &str = "machine.txt";

/// Notes that the run was trained here.
pub fn note(folder: &Path) -> Result<String> {
    let mut devices = trainer();
    let here = words(&answer(devices.args(["devices", "--json"]))?);
    let note = folder.join(NOTE);
    fs::write(&note, &here).map_err(|source| Error::File { file: note.display().to_string(), source })?;
    Ok(here)
}

/// Where it was trained; a run without a note was trained here, by hand.
pub fn noted(folder: &Path) -> Result<String> {
    match fs::read_to_string(folder.join(NOTE)) {
        Ok(noted) => Ok(noted),
        Err(_) => note(folder),
    }
}

/// `NAME, N threads` of the processor, or the name of the card that the trainer takes by itself.
fn words(devices: &Value) -> String {
    let chosen = &devices["auto"];
    let all = devices["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_chosen = |device: &&Value| {
        device["device"] == chosen["device"] && (device["device"] == "cpu" || device["adapter"] == chosen["adapter"])
    };
    let found = all.iter().find(is_chosen).unwrap_or(&Value::Null);
    let name = found["name"].as_str().unwrap_or("an unknown machine");
    match found["threads"].as_u64() {
        Some(1) => format!("{name}, 1 thread"),
        Some(threads) => format!("{name}, {threads} threads"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_is_what_the_trainer_computes_on() {
        let cpu = json!({"device": "cpu", "name": "Xeon", "threads": 2});
        let card = json!({"device": "gpu", "adapter": 0, "name": "A card"});
        let of = |auto: Value| words(&json!({"devices": [cpu, card], "auto": auto}));
        assert_eq!(of(json!({"device": "cpu", "adapter": null})), "Xeon, 2 threads");
        assert_eq!(of(json!({"device": "gpu", "adapter": 0})), "A card");
        assert_eq!(words(&Value::Null), "an unknown machine");
    }
}
