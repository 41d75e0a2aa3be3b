//! Weights in several files, as `save_pretrained(max_shard_size=…)` leaves them.

use std::collections::BTreeMap;

use inkling_core::checkpoint::{Checkpoint, INDEX_FILE, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE};
use inkling_core::{ModelConfig, Result};
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::serialize;
use serde_json::{Value, json};

use crate::folder::{Folder, gpt2_config, llama_config, model};

fn shard(number: usize) -> String {
    format!("model-{number:05}-of-00003.safetensors")
}

/// The same folder with its tensors dealt out to 3 files: the one after number `i` goes to file `deal(i)`.
fn sharded(folder: &Folder, deal: impl Fn(usize) -> usize) -> Folder {
    let file = SafeTensors::deserialize(&folder.0[MODEL_FILE]).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut files: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut map = serde_json::Map::new();
    for (i, (name, view)) in tensors.into_iter().enumerate() {
        let shard = shard(deal(i) % 3 + 1);
        map.insert(name.clone(), json!(shard));
        files.entry(shard).or_default().push((name, view));
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    let mut sharded = folder.clone().without(MODEL_FILE).with(INDEX_FILE, index);
    for (name, tensors) in files {
        sharded = sharded.with(&name, serialize(tensors, None).unwrap());
    }
    sharded
}

/// A Llama in three files, whose queries, keys and values are all apart.
fn llama() -> Folder {
    sharded(&Folder::of(&model(llama_config())), |i| i)
}

/// Changes the index's map.
fn with_map(folder: Folder, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Folder {
    let mut index: Value = serde_json::from_slice(&folder.0[INDEX_FILE]).unwrap();
    change(index["weight_map"].as_object_mut().unwrap());
    folder.with(INDEX_FILE, index.to_string())
}

#[test]
fn each_shard_is_read_once_and_they_make_the_model() {
    let folder = llama();
    let mut asked = Vec::new();
    let loaded = Checkpoint::from_files(|file| -> Result<Option<Vec<u8>>> {
        asked.push(file.to_owned());
        Ok(folder.0.get(file).cloned())
    });
    assert_eq!(loaded.unwrap(), model(llama_config()));
    let weights = asked.iter().filter(|file| file.starts_with("model")).cloned().collect::<Vec<_>>();
    assert_eq!(weights, [MODEL_FILE.to_owned(), INDEX_FILE.into(), shard(1), shard(2), shard(3)]);
    assert!(asked.iter().any(|file| file == STATE_FILE) && asked.iter().any(|file| file == OPTIMIZER_FILE));
}

#[test]
fn a_repeated_head_may_lie_in_another_file_than_its_table() {
    let tied = ModelConfig { tie_word_embeddings: true, ..gpt2_config() };
    let untied = model(ModelConfig { tie_word_embeddings: false, ..gpt2_config() });
    let mut repeated = untied.clone();
    repeated.weights.insert("lm_head.weight".into(), untied.weights["wte.weight"].clone());
    let config = Folder::of(&model(tied.clone())).0["config.json"].clone();
    let folder = |checkpoint: &Checkpoint| {
        // The table is the last by name, the head the first.
        let sharded = sharded(&Folder::of(checkpoint), |i| usize::from(i > 10));
        sharded.with("config.json", config.clone())
    };
    assert_eq!(folder(&repeated).load().unwrap().weights, model(tied).weights);
    folder(&untied).check_refused(&shard(1), &["lm_head.weight", "tie_word_embeddings"]);
}

#[test]
fn files_that_are_missing_or_mixed_up_are_named() {
    llama().without(&shard(2)).check_refused(&shard(2), &["missing", INDEX_FILE]);
    llama().without(INDEX_FILE).check_refused(MODEL_FILE, &["missing", INDEX_FILE]);
    let (first, second) = (llama().0[&shard(1)].clone(), llama().0[&shard(2)].clone());
    llama().with(&shard(2), first).with(&shard(1), second).check_refused(&shard(1), &["not in this file", INDEX_FILE]);
    llama().with(&shard(3), "PK\x03\x04").check_refused(&shard(3), &["zip archive"]);
}

#[test]
fn an_index_at_odds_with_the_files_is_refused() {
    let norm = "model.norm.weight";
    let home = with_home(norm);
    let elsewhere = (1..=3).map(shard).find(|other| *other != home).unwrap();
    let moved = with_map(llama(), |map| drop(map.insert(norm.into(), json!(elsewhere))));
    let message = moved.load().unwrap_err().to_string();
    assert!(message.contains(norm) && message.contains(INDEX_FILE), "{message}");

    with_map(llama(), |map| drop(map.remove(norm))).check_refused(INDEX_FILE, &["1 missing: model.norm.weight"]);
    let extra = with_map(llama(), |map| drop(map.insert("model.extra".into(), json!(shard(1)))));
    extra.check_refused(INDEX_FILE, &["1 unexpected: model.extra"]);
    let twice = with_map(llama(), |map| drop(map.insert("norm.weight".into(), json!(shard(1)))));
    twice.check_refused(INDEX_FILE, &["two names"]);
    // A tensor in its own file and in another.
    let copied = {
        let folder = llama();
        let files: Vec<_> = (1..=2).map(|n| folder.0[&shard(n)].clone()).collect();
        let (one, two) = (SafeTensors::deserialize(&files[0]).unwrap(), SafeTensors::deserialize(&files[1]).unwrap());
        let both = one.tensors().into_iter().chain(two.tensors().into_iter().take(1));
        folder.clone().with(&shard(1), serialize(both.collect::<Vec<_>>(), None).unwrap())
    };
    copied.check_refused(&shard(1), &["is in this file, but", INDEX_FILE, &shard(2)]);
}

/// The file of a tensor.
fn with_home(tensor: &str) -> String {
    let index: Value = serde_json::from_slice(&llama().0[INDEX_FILE]).unwrap();
    index["weight_map"][tensor].as_str().unwrap().to_owned()
}

#[test]
fn an_index_that_leads_elsewhere_or_is_none_is_refused() {
    for name in [
        "../model.safetensors",
        "\u{1b}[2J.safetensors",
        "a?b=%2e.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "a\\b.safetensors",
        "..",
        "",
        "model.bin",
        "c:x.safetensors",
    ] {
        let folder = with_map(llama(), |map| drop(map.insert("model.norm.weight".into(), json!(name))));
        folder.check_refused(INDEX_FILE, &["model.norm.weight", &format!("{name:?}")]);
    }
    for bytes in ["", "{", "[]", "{}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}"] {
        llama().with(INDEX_FILE, bytes).check_refused(INDEX_FILE, &["not an index"]);
    }
    let twice = r#"{"weight_map": {"model.norm.weight": "a.safetensors", "model.norm.weight": "b.safetensors"}}"#;
    llama().with(INDEX_FILE, twice).check_refused(INDEX_FILE, &["model.norm.weight", "twice"]);
}

#[test]
fn shapes_are_compared_file_by_file() {
    let other = sharded(&Folder::of(&model(ModelConfig { n_inner: 8, ..llama_config() })), |i| i);
    for n in 1..=3 {
        let folder = llama().with(&shard(n), other.0[&shard(n)].clone());
        folder.check_refused(&shard(n), &["of the wrong shape", "mlp."]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn however_the_tensors_are_dealt_the_model_comes_back(deal in prop::collection::vec(0..3usize, 64), gpt2: bool) {
        let checkpoint = model(if gpt2 { gpt2_config() } else { llama_config() });
        prop_assert_eq!(sharded(&Folder::of(&checkpoint), |i| deal[i]).load().unwrap(), checkpoint);
    }

    #[test]
    fn a_mutated_index_never_panics(at: prop::sample::Index, byte: u8) {
        let mut folder = llama();
        let index = folder.0.get_mut(INDEX_FILE).unwrap();
        let at = at.index(index.len());
        index[at] = byte;
        if let Ok(loaded) = folder.load() {
            prop_assert_eq!(loaded, model(llama_config()));
        }
    }
}
