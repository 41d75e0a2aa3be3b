//! `trainer export`: every format of a small trained model, read by the other commands.

use serde_json::Value;

use crate::{Workplace, object, stdout};

fn trained() -> Workplace {
    let place = Workplace::new();
    place.train("runs/a", &["--steps", "30", "--lr", "1e-2"]);
    place
}

fn export(place: &Workplace, dtype: &str, more: &[&str]) -> Value {
    let out = format!("models/{dtype}");
    let arguments = ["export", "--model", "runs/a", "--dtype", dtype, "--out", &out, "--json"];
    object(&place.succeed(&[&arguments, more].concat()))
}

fn loss(place: &Workplace, model: &str) -> f64 {
    object(&place.succeed(&["eval", "--model", model, "--data", "poem.txt", "--json"]))["loss"].as_f64().unwrap()
}

#[test]
fn every_format_is_smaller_and_has_the_loss_that_eval_finds() {
    let place = trained();
    let original = loss(&place, "runs/a");
    let mut sizes = Vec::new();
    // How much of the loss each may cost.
    for (dtype, most) in [("f32", 0.0), ("f16", 1e-3), ("bf16", 1e-2), ("q8", 2e-2), ("q4", 0.2)] {
        let found = export(&place, dtype, &["--data", "poem.txt"]);
        let out = format!("models/{dtype}");
        assert_eq!((found["dtype"].as_str(), found["out"].as_str()), (Some(dtype), Some(out.as_str())));
        assert_eq!(found["before"]["loss"], original);
        assert_eq!(found["after"]["loss"], loss(&place, &out), "{dtype}");
        assert!((found["after"]["loss"].as_f64().unwrap() - original).abs() <= most, "{found}");
        let file = place.read(&format!("{out}/model.safetensors"));
        assert_eq!(found["after"]["weight_bytes"], file.len());
        sizes.push(file.len());
        let names: Vec<_> =
            found["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]);
        assert_eq!(std::fs::read_dir(place.path(&out)).unwrap().count(), 4, "no state of the training");
    }
    let [f32, f16, bf16, q8, q4] = sizes[..] else { unreachable!() };
    assert!(f32 > f16.max(bf16) && f16.min(bf16) > q8 && q8 > q4, "{sizes:?}");
}

#[test]
fn the_table_shows_both_sides_on_the_runs_own_text_and_of_other_models_the_sizes() {
    let place = trained();
    let run = |more: &[&str]| {
        let output = place.succeed(&[&["export", "--dtype", "q8", "--overwrite", "--out", "models/a/"], more].concat());
        stdout(&output).to_owned()
    };
    let text = run(&["--model", "runs/a"]);
    assert!(text.contains("before") && text.contains("weights") && text.contains(" %"), "{text}");
    assert!(text.contains("loss, nats per token") && text.contains("bits per char"), "{text}");
    assert_eq!(run(&["--model", "runs/a", "--data", "poem.txt"]), text);

    let copy = ["export", "--dtype", "f32", "--out", "models/copy", "--model", "runs/a"];
    place.succeed(&copy);
    let text = run(&["--model", "models/copy"]);
    assert!(text.contains("weights") && !text.contains("nats"), "{text}");
    assert!(text.contains("The loss was not measured") && text.contains("--data"), "{text}");
}

#[test]
fn codes_write_what_the_weights_that_they_stand_for_write() {
    let place = trained();
    for dtype in ["q8", "q4"] {
        export(&place, dtype, &[]);
        let model = format!("models/{dtype}");
        let write = |weights: &str| {
            let arguments = ["sample", "--greedy", "--tokens", "60", "--json", "--model", &model, "--weights", weights];
            object(&place.succeed(&arguments))["samples"][0]["text"].clone()
        };
        assert_eq!(write(dtype), write("f32"));
    }
}

#[test]
fn models_are_replaced_on_request_and_nothing_else_ever() {
    let place = trained();
    export(&place, "q8", &[]);
    let first = place.read("models/q8/model.safetensors");
    let again = ["export", "--model", "runs/a", "--dtype", "q4", "--out", "models/q8"];
    place.check_failure(&again, 2, "model_exists", "models/q8");
    assert_eq!(place.read("models/q8/model.safetensors"), first);
    place.succeed(&[&again[..], &["--overwrite"]].concat());
    assert_ne!(place.read("models/q8/model.safetensors"), first);
    // An export can be exported again, onto itself too.
    place.succeed(&["export", "--model", "models/q8", "--dtype", "f16", "--out", "models/q8", "--overwrite"]);

    for out in ["runs/a", "runs/a/best", "runs", "."] {
        let arguments = ["export", "--model", "runs/a", "--dtype", "q4", "--overwrite", "--out", out];
        place.check_failure(&arguments, 2, "not_a_model", "is not a folder for a model");
    }
    place.check_failure(&["export", "--dtype", "q4", "--out", "poem.txt"], 1, "io", "poem.txt");
    place.check_failure(&["export", "--out", "models/b"], 2, "usage", "--dtype");
    place.check_failure(&["export", "--dtype", "q5", "--out", "models/b"], 2, "usage", "q5");
    let foreign = ["export", "--dtype", "q4", "--out", "models/b", "--data", "foreign.txt"];
    std::fs::write(place.path("foreign.txt"), "§ is not in the poem. ".repeat(100)).unwrap();
    place.check_failure(&foreign, 2, "foreign_text", "§");
    assert!(!place.path("models/b").exists(), "what fails writes nothing");
}
