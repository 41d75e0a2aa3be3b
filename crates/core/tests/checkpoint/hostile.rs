//! Damaged, foreign and contradictory files: each is refused by name, none panics.

use inkling_core::checkpoint::{
    CONFIG_FILE, Checkpoint, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, TOKENIZER_FILE, read_config, read_weights,
};
use inkling_core::{Error, ModelConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::folder::{Folder, gpt2_config, llama_config, model, raw_safetensors, run};

/// An entry of a safetensors header.
fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

fn with_header(entries: &[String], data: usize) -> Folder {
    with_model(raw_safetensors(&format!("{{{}}}", entries.join(",")), &vec![0; data]))
}

fn with_model(bytes: impl Into<Vec<u8>>) -> Folder {
    Folder::of(&model(gpt2_config())).with(MODEL_FILE, bytes)
}

/// The weights of a good folder, changed byte by byte.
fn damaged_model(change: impl FnOnce(&mut Vec<u8>)) -> Folder {
    let mut folder = Folder::of(&model(gpt2_config()));
    change(folder.0.get_mut(MODEL_FILE).unwrap());
    folder
}

#[test]
fn files_that_are_cut_short_are_refused() {
    damaged_model(|bytes| bytes.truncate(0)).check_refused(MODEL_FILE, &["0 bytes", "cut short"]);
    damaged_model(|bytes| bytes.truncate(5)).check_refused(MODEL_FILE, &["5 bytes", "cut short"]);
    damaged_model(|bytes| bytes.truncate(100)).check_refused(MODEL_FILE, &["header", "92", "cut short"]);
    damaged_model(|bytes| bytes.truncate(bytes.len() - 1)).check_refused(MODEL_FILE, &["tensor `", "cut short"]);
    damaged_model(|bytes| bytes.push(0)).check_refused(MODEL_FILE, &["last 1 bytes", "no tensor"]);
}

#[test]
fn headers_that_lie_are_refused() {
    let f32 = |name, shape, begin, end| entry(name, "F32", shape, begin, end);
    let check = |entries: &[String], data, words: &[&str]| with_header(entries, data).check_refused(MODEL_FILE, words);
    check(&[f32("a", "[2]", 0, 8), f32("b", "[2]", 4, 12)], 12, &["`a`", "`b`", "overlap"]);
    check(&[f32("a", "[2]", 0, 8), f32("b", "[2]", 12, 20)], 20, &["`b`", "8 to 12", "no tensor"]);
    check(&[f32("a", "[2]", 0, 8)], 4, &["`a`", "0 to 8", "4 bytes of data"]);
    check(&[f32("a", "[2]", 8, 0)], 8, &["`a`", "8 to 0"]);
    check(&[f32("a", "[3]", 0, 8)], 8, &["`a`", "[3]", "12 bytes", "8"]);
    check(&[f32("a", "[4294967296,4294967296]", 0, 8)], 8, &["`a`", "[4294967296, 4294967296]", "larger than any"]);
    check(&[f32("a", "[18446744073709551615]", 0, 8)], 8, &["`a`", "larger than any"]);
    check(&[f32("a", "[18446744073709551616]", 0, 8)], 8, &["`a`"]);
    check(&[f32("a", "[-1]", 0, 8)], 8, &["`a`", "-1"]);
    check(&[f32("a", "[2]", 0, 8), f32("a", "[2]", 8, 16)], 16, &["`a`", "twice"]);
    check(&[entry("a", "F33", "[2]", 0, 8)], 8, &["`a`", "F33"]);
    check(&[entry("a", "F4", "[3]", 0, 2)], 2, &["`a`", "F4"]);
    check(&[r#""__metadata__":{"step":3}"#.into()], 0, &["__metadata__"]);
    check(&[r#""a":[]"#.into()], 0, &["`a`"]);
}

/// Eight tensors whose sizes add up to 2^64: the sum must not wrap around to a small one.
#[test]
fn sizes_that_overflow_together_are_refused() {
    let size = 1u64 << 61;
    let entries: Vec<String> = (0..8u64)
        .map(|i| entry(&format!("t{i}"), "U8", &format!("[{}]", size - 1), i * (size - 1), (i + 1) * (size - 1)))
        .collect();
    with_header(&entries, 0).check_refused(MODEL_FILE, &["`t0`", "cut short"]);
}

#[test]
fn headers_that_are_none_are_refused() {
    with_model(u64::MAX.to_le_bytes()).check_refused(MODEL_FILE, &["header", "18446744073709551615", "100000000"]);
    with_model([&100_000_001u64.to_le_bytes()[..], b"{"].concat()).check_refused(MODEL_FILE, &["100000001"]);
    for header in ["", "{", "null", "[]", "{\"a\"}", "\u{0}\u{0}", "{} x"] {
        with_model(raw_safetensors(header, b"")).check_refused(MODEL_FILE, &["header is not valid"]);
    }
    let not_utf8 = [&3u64.to_le_bytes()[..], b"{\"\xff"].concat();
    with_model(not_utf8).check_refused(MODEL_FILE, &["header is not valid"]);
    let deep = "[".repeat(100_000);
    with_model(raw_safetensors(&format!("{{\"a\":{deep}"), b"")).check_refused(MODEL_FILE, &["header is not valid"]);
}

#[test]
fn files_of_another_kind_are_named() {
    let kinds: [(&[u8], &str); 7] = [
        (b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl", "zip archive"),
        (b"\x80\x02}q\x00X\x0a\x00\x00\x00wte.weight", "pickle"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs pointer"),
        (b"GGUF\x03\x00\x00\x00\x00\x00", "GGUF"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00", "gzip"),
        (b"<!DOCTYPE html><html></html>", "web page"),
    ];
    for (bytes, kind) in kinds {
        with_model(bytes).check_refused(MODEL_FILE, &[kind, "not a safetensors file"]);
    }
}

#[test]
fn values_that_are_not_numbers_are_refused() {
    // Tensors lie in the order of their names, this one last.
    let name = "transformer.wte.weight";
    let last = |values: usize, bits: u32| {
        damaged_model(|bytes| {
            let start = bytes.len() - 4 * values;
            bytes[start..].as_chunks_mut().0.iter_mut().for_each(|value| *value = bits.to_le_bytes());
        })
    };
    last(3, f32::NAN.to_bits()).check_refused(MODEL_FILE, &[name, "3 of 28", "NaN", "index 25"]);
    last(28, f32::NEG_INFINITY.to_bits()).check_refused(MODEL_FILE, &[name, "28 of 28", "-inf", "index 0"]);
}

#[test]
fn types_that_are_not_floats_are_refused() {
    let mut folder = Folder::of(&model(gpt2_config()));
    let bytes = folder.0.get_mut(MODEL_FILE).unwrap();
    let at = bytes.windows(5).position(|window| window == b"\"F32\"").unwrap();
    bytes[at..at + 5].copy_from_slice(b"\"I32\"");
    folder.check_refused(MODEL_FILE, &["I32", "F32, F16 and BF16"]);
}

/// Each tensor that does not fit is named with both shapes, in the file's own layout.
#[test]
fn tensors_of_another_model_are_refused() {
    let reshaped = Folder::of(&model(ModelConfig { n_inner: 8, ..gpt2_config() }));
    Folder::of(&model(gpt2_config())).with(MODEL_FILE, reshaped.0[MODEL_FILE].clone()).check_refused(
        MODEL_FILE,
        &["6 of the wrong shape", "transformer.h.0.mlp.c_fc.weight is [4, 8] instead of [4, 6]", "config.json"],
    );
    let shallow = Folder::of(&model(ModelConfig { n_layer: 1, ..gpt2_config() }));
    let deep = Folder::of(&model(gpt2_config()));
    deep.clone()
        .with(MODEL_FILE, shallow.0[MODEL_FILE].clone())
        .check_refused(MODEL_FILE, &["12 missing", "transformer.h.1.ln_1.weight", "and 6 more"]);
    shallow
        .with(MODEL_FILE, deep.0[MODEL_FILE].clone())
        .check_refused(MODEL_FILE, &["12 unexpected", "transformer.h.1.attn.c_attn.bias", "and 6 more"]);
}

#[test]
fn a_configuration_of_absurd_depth_is_refused_before_it_is_listed() {
    let deep = |layers: u32| {
        Folder::of(&model(gpt2_config())).with_json(CONFIG_FILE, "", "n_layer", json!(layers)).with_json(
            CONFIG_FILE,
            "/inkling",
            "n_layer",
            json!(layers),
        )
    };
    deep(1 << 24).check_refused(CONFIG_FILE, &["n_layer is 16777216", "1024"]);
    // Thousands of missing names help nobody; the file's own tensors say that they cannot be there.
    deep(1024).check_refused(MODEL_FILE, &["1024 layers", "28 tensors"]);
}

#[test]
fn configurations_that_contradict_themselves_are_refused() {
    let folder = || Folder::of(&model(gpt2_config()));
    let cases = [
        ("n_head", json!(4), "n_head"),
        ("n_inner", json!(null), "n_inner"),
        ("vocab_size", json!(9), "vocab_size"),
        ("activation_function", json!("relu"), "activation_function"),
        ("layer_norm_epsilon", json!(1e-6), "layer_norm_epsilon"),
        ("tie_word_embeddings", json!(false), "tie_word_embeddings"),
    ];
    for (key, value, word) in cases {
        folder().with_json(CONFIG_FILE, "", key, value).check_refused(CONFIG_FILE, &[word, "inkling", "agree"]);
    }
    let inner = |key, value| folder().with_json(CONFIG_FILE, "/inkling", key, value);
    inner("lm_head_bias", json!(true)).check_refused(CONFIG_FILE, &["inkling.lm_head_bias", "agree"]);
    inner("dropout", json!(0.5)).check_refused(CONFIG_FILE, &["inkling.dropout", "0.1", "0.5"]);
    inner("n_haed", json!(2)).check_refused(CONFIG_FILE, &["inkling", "n_haed"]);
    inner("n_head", json!("two")).check_refused(CONFIG_FILE, &["`inkling.n_head`", "two"]);
}

#[test]
fn configurations_that_are_none_are_refused() {
    let folder = || Folder::of(&model(ModelConfig { lm_head_bias: true, ..gpt2_config() }));
    let outer = |key, value| folder().with_json(CONFIG_FILE, "", key, value);
    outer("model_type", json!("bert"))
        .check_refused(CONFIG_FILE, &["\"bert\"", "\"gpt2\", \"llama\",", "and \"inkling\""]);
    outer("model_type", json!(null)).check_refused(CONFIG_FILE, &["model_type null"]);
    outer("inkling", json!(["gpt", 7, 5, 4, 2, 2, 6])).check_refused(CONFIG_FILE, &["`inkling` is not an object"]);
    folder().with(CONFIG_FILE, "{}").check_refused(CONFIG_FILE, &["`model_type` is missing"]);
    outer("n_layer", json!(3)).check_refused(CONFIG_FILE, &["unknown field `n_layer`"]);
    outer("inkling", json!(null)).check_refused(CONFIG_FILE, &["inkling"]);
    outer("inkling", json!({})).check_refused(CONFIG_FILE, &["`inkling.architecture` is missing"]);
    folder().with_json(CONFIG_FILE, "/inkling", "n_head", json!(3)).check_refused(CONFIG_FILE, &["n_head (3)"]);
    for bytes in ["", "{", "null", "[]", "{\"model_type\": \"gpt2\"} x", "\u{feff}{}"] {
        folder().with(CONFIG_FILE, bytes).check_refused(CONFIG_FILE, &[]);
    }
    folder().with(CONFIG_FILE, vec![b' '; (1 << 20) + 1]).check_refused(CONFIG_FILE, &["1048577 bytes"]);
    let twice = r#"{"model_type": "gpt2", "n_head": 1, "n_head": 2}"#;
    folder().with(CONFIG_FILE, twice).check_refused(CONFIG_FILE, &["duplicate", "n_head"]);
}

#[test]
fn missing_files_are_named() {
    let folder = || Folder::of(&run(gpt2_config()));
    for file in [CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, STATE_FILE, OPTIMIZER_FILE] {
        folder().without(file).check_refused(file, &["missing"]);
    }
}

#[test]
fn a_failure_to_read_passes_through() {
    let result = Checkpoint::from_files(|_| Err(Error::Data("the disk is on fire".into())));
    assert!(result.unwrap_err().to_string().contains("the disk is on fire"));
}

#[test]
fn a_vocabulary_of_another_size_is_refused() {
    let other = Folder::of(&model(ModelConfig { vocab_size: 8, ..gpt2_config() }));
    Folder::of(&model(gpt2_config()))
        .with(TOKENIZER_FILE, other.0[TOKENIZER_FILE].clone())
        .check_refused(TOKENIZER_FILE, &["8 tokens", "vocab_size 7"]);
}

#[test]
fn a_tokenizer_of_another_kind_is_named_with_its_file() {
    Folder::of(&model(gpt2_config()))
        .with_json(TOKENIZER_FILE, "/model", "merges", json!(["a b", "ab c"]))
        .check_refused(TOKENIZER_FILE, &["BPE tokenizer with 2 merges", "not supported"]);
}

/// Whichever file of a folder is of another save, the folder is refused.
#[test]
fn a_folder_mixed_from_two_saves_is_refused() {
    let old = run(gpt2_config());
    let mut new = old.clone();
    let training = new.training.as_mut().unwrap();
    (training.step, training.state["step"]) = (40, json!(40));
    let (old, new) = (Folder::of(&old), Folder::of(&new));
    for (file, blamed) in [(MODEL_FILE, MODEL_FILE), (OPTIMIZER_FILE, OPTIMIZER_FILE), (STATE_FILE, MODEL_FILE)] {
        old.clone().with(file, new.0[file].clone()).check_refused(blamed, &["mixed from two saves", "30", "40"]);
    }
    let exported = Folder::of(&model(gpt2_config()));
    old.with(MODEL_FILE, exported.0[MODEL_FILE].clone()).check_refused(MODEL_FILE, &["no known step", "two saves"]);
}

#[test]
fn a_state_or_optimizer_of_another_model_is_refused() {
    let folder = || Folder::of(&run(gpt2_config()));
    folder().with_json(STATE_FILE, "", "step", json!("30")).check_refused(STATE_FILE, &["step", "missing"]);
    folder().with(STATE_FILE, "[").check_refused(STATE_FILE, &["not JSON"]);
    let other = Folder::of(&run(ModelConfig { n_inner: 8, ..gpt2_config() }));
    folder().with(OPTIMIZER_FILE, other.0[OPTIMIZER_FILE].clone()).check_refused(
        OPTIMIZER_FILE,
        &["18 of the wrong shape", "ema.h.0.mlp.c_fc.weight is [8, 4] instead of [6, 4]"],
    );
}

/// Everything that loads can be saved, and what was saved loads as the same.
fn check_loadable_is_savable(folder: &Folder) -> Result<(), TestCaseError> {
    if let Ok(loaded) = folder.load() {
        prop_assert_eq!(Folder::of(&loaded).load().unwrap(), loaded);
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        prop_assert!(read_config(|_| Ok(Some(bytes.clone()))).is_err());
        prop_assert!(with_model(bytes).load().is_err());
    }

    #[test]
    fn arbitrary_headers_never_panic(header in r#"\{("[a-z_]{0,12}":[\[\]{}0-9:,"a-zF]{0,20},?){0,3}\}?"#, data: Vec<u8>) {
        prop_assert!(with_model(raw_safetensors(&header, &data)).load().is_err());
    }

    #[test]
    fn arbitrary_entries_never_panic(
        entries in prop::collection::vec((0..4u8, prop::collection::vec(any::<u64>(), 0..3), any::<[u64; 2]>()), 0..4),
        data in 0..64usize,
    ) {
        let entry = |(name, shape, [begin, end]): &(u8, Vec<u64>, [u64; 2])| {
            entry(&name.to_string(), "F16", &json!(shape).to_string(), *begin, *end)
        };
        let entries: Vec<String> = entries.iter().map(entry).collect();
        prop_assert!(with_header(&entries, data).load().is_err());
    }

    /// Bytes changed anywhere in any file, and files cut anywhere.
    #[test]
    fn mutated_folders_are_refused_or_consistent(
        file: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut folder = Folder::of(&run(gpt2_config()));
        let count = folder.0.len();
        let bytes = folder.0.values_mut().nth(file.index(count)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_loadable_is_savable(&folder)?;
    }

    /// Valid JSON with one value of the wrong kind or size.
    #[test]
    fn mutated_configurations_are_refused_or_consistent(
        key: prop::sample::Index,
        llama: bool,
        inner: bool,
        value in prop_oneof![
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            Just(Value::Null),
        ],
    ) {
        let folder = Folder::of(&model(if llama { llama_config() } else { gpt2_config() }));
        let config: Value = serde_json::from_slice(&folder.0[CONFIG_FILE]).unwrap();
        let object = if inner { "/inkling" } else { "" };
        let keys = config.pointer(object).unwrap().as_object().unwrap();
        let key = keys.keys().nth(key.index(keys.len())).unwrap();
        let folder = folder.with_json(CONFIG_FILE, object, key, value);
        check_loadable_is_savable(&folder)?;
        let part = read_weights(|file| Ok(folder.0.get(file).cloned()));
        prop_assert!(part.is_ok() || folder.load().is_err());
    }
}
