//! Folders of Llama's shape as `transformers` writes them, and its families'.

use std::collections::BTreeMap;

use inkling_core::checkpoint::{CONFIG_FILE, MODEL_FILE};
use inkling_core::{ModelConfig, Weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use crate::folder::{Folder, llama_config, model};

/// `config.json` as `LlamaForCausalLM.save_pretrained` of transformers 5.23 writes it.
const CONFIG: &str = r#"{
  "architectures": ["LlamaForCausalLM"],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "bos_token_id": 1,
  "dtype": "float16",
  "eos_token_id": 2,
  "head_dim": 4,
  "hidden_act": "silu",
  "hidden_size": 16,
  "intermediate_size": 6,
  "max_position_embeddings": 5,
  "mlp_bias": false,
  "model_type": "llama",
  "num_attention_heads": 4,
  "num_hidden_layers": 2,
  "num_key_value_heads": 2,
  "pad_token_id": null,
  "pretraining_tp": 1,
  "rms_norm_eps": 1e-06,
  "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"},
  "tie_word_embeddings": false,
  "transformers_version": "5.23.0",
  "use_cache": true,
  "vocab_size": 7
}"#;

/// Shape and bytes of each tensor of the file.
type FileTensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// Keys of a configuration with new values.
type Changes = Vec<(&'static str, Value)>;

/// Rows of a fused matrix: by Inkling's name, where they begin, and how many.
type Rows = (&'static str, usize, usize);

/// `LlamaForCausalLM`'s state dict for [`llama_config`], row by row: 4 heads of queries and 2 of keys, of 4 channels each.
fn state_dict(weights: &Weights) -> FileTensors {
    let mut tensors = FileTensors::new();
    let mut add = |name: String, (ours, start, rows): (String, usize, usize)| {
        let tensor = &weights[&ours];
        let row: usize = tensor.shape[1..].iter().product();
        let shape = [&[rows], &tensor.shape[1..]].concat();
        let data = &tensor.data[start * row..(start + rows) * row];
        tensors.insert(name, (shape, data.iter().flat_map(|x| x.to_le_bytes()).collect()));
    };
    add("model.embed_tokens.weight".into(), ("wte.weight".into(), 0, 7));
    for l in 0..2 {
        let parts: [(&str, Rows); 9] = [
            ("self_attn.q_proj", ("attn.c_attn", 0, 16)),
            ("self_attn.k_proj", ("attn.c_attn", 16, 8)),
            ("self_attn.v_proj", ("attn.c_attn", 24, 8)),
            ("self_attn.o_proj", ("attn.c_proj", 0, 16)),
            ("mlp.gate_proj", ("mlp.c_fc", 0, 6)),
            ("mlp.up_proj", ("mlp.c_fc", 6, 6)),
            ("mlp.down_proj", ("mlp.c_proj", 0, 16)),
            ("input_layernorm", ("ln_1", 0, 16)),
            ("post_attention_layernorm", ("ln_2", 0, 16)),
        ];
        for (name, (ours, start, rows)) in parts {
            add(format!("model.layers.{l}.{name}.weight"), (format!("h.{l}.{ours}.weight"), start, rows));
        }
    }
    add("model.norm.weight".into(), ("ln_f.weight".into(), 0, 16));
    add("lm_head.weight".into(), ("lm_head.weight".into(), 0, 7));
    tensors
}

fn file(tensors: &FileTensors) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

fn folder(config: &str, tensors: &FileTensors) -> Folder {
    Folder::of(&model(llama_config())).with(CONFIG_FILE, config).with(MODEL_FILE, file(tensors))
}

fn tensors() -> FileTensors {
    state_dict(&model(llama_config()).weights)
}

fn with(changes: &[(&str, Value)]) -> String {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    for (key, value) in changes {
        config[*key] = value.clone();
    }
    config.to_string()
}

fn without(key: &str) -> String {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    config.as_object_mut().unwrap().remove(key).unwrap();
    config.to_string()
}

fn loaded(config: &str) -> ModelConfig {
    folder(config, &tensors()).load().unwrap().config
}

#[test]
fn a_saved_model_loads() {
    assert_eq!(folder(CONFIG, &tensors()).load().unwrap(), model(llama_config()));
}

#[test]
fn we_write_the_tensors_that_it_writes() {
    let folder = Folder::of(&model(llama_config()));
    let ours = SafeTensors::deserialize(&folder.0[MODEL_FILE]).unwrap();
    let ours: FileTensors =
        ours.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec()))).collect();
    assert_eq!(ours, tensors());
}

#[test]
fn we_write_the_keys_that_it_writes() {
    let folder = Folder::of(&model(llama_config()));
    let ours: Value = serde_json::from_slice(&folder.0[CONFIG_FILE]).unwrap();
    let theirs: Value = serde_json::from_str(CONFIG).unwrap();
    let differ = ["bos_token_id", "eos_token_id", "dtype", "pad_token_id", "pretraining_tp", "transformers_version"];
    for (key, value) in theirs.as_object().unwrap().iter().filter(|(key, _)| !differ.contains(&key.as_str())) {
        assert_eq!(&ours[key], value, "{key}");
    }
    assert_eq!((&ours["rope_theta"], &ours["bos_token_id"]), (&json!(500_000.0), &Value::Null));
}

#[test]
fn old_files_carry_the_rotations_frequencies() {
    let mut tensors = tensors();
    tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), (vec![2], vec![0; 8]));
    assert_eq!(folder(CONFIG, &tensors).load().unwrap(), model(llama_config()));
}

#[test]
fn tensors_that_do_not_fit_are_named_as_in_the_file() {
    let check = |change: &dyn Fn(&mut FileTensors), words: &[&str]| {
        let mut tensors = tensors();
        change(&mut tensors);
        folder(CONFIG, &tensors).check_refused(MODEL_FILE, words);
    };
    check(
        &|t| drop(t.remove("model.layers.1.self_attn.k_proj.weight")),
        &["1 missing: model.layers.1.self_attn.k_proj"],
    );
    check(
        &|t| {
            let keys = t["model.layers.1.self_attn.q_proj.weight"].clone();
            t.insert("model.layers.1.self_attn.k_proj.weight".into(), keys);
        },
        &["model.layers.1.self_attn.k_proj.weight is [16, 16] instead of [8, 16]"],
    );
    check(
        &|t| drop(t.insert("model.layers.0.self_attn.q_proj.bias".into(), (vec![1], vec![0; 4]))),
        &["1 unexpected: model.layers.0.self_attn.q_proj.bias"],
    );
}

#[test]
fn a_tied_head_may_be_repeated_but_not_differ() {
    let config = with(&[("tie_word_embeddings", json!(true))]);
    let mut tensors = tensors();
    tensors.insert("lm_head.weight".into(), tensors["model.embed_tokens.weight"].clone());
    let tied = folder(&config, &tensors).load().unwrap();
    assert!(tied.config.tie_word_embeddings && !tied.weights.contains_key("lm_head.weight"));
    tensors.get_mut("lm_head.weight").unwrap().1[0] ^= 1;
    folder(&config, &tensors).check_refused(MODEL_FILE, &["lm_head.weight", "tie_word_embeddings"]);
    tensors.remove("lm_head.weight");
    assert_eq!(folder(&config, &tensors).load().unwrap(), tied);
}

#[test]
fn the_rotations_base_is_found_where_each_version_writes_it() {
    let theta = |changes: &[(&str, Value)]| loaded(&with(changes)).rope_theta;
    let old = [("rope_parameters", Value::Null), ("rope_scaling", Value::Null)];
    assert_eq!(theta(&[&old[..], &[("rope_theta", json!(1e6))]].concat()), 1e6);
    assert_eq!(theta(&old), 10_000.0);
    assert_eq!(theta(&[("rope_theta", json!(500_000.0))]), 500_000.0);
    assert_eq!(theta(&[("rope_scaling", json!({"type": "default"}))]), 500_000.0);
    assert_eq!(theta(&[("rope_scaling", json!({"type": "default", "rope_type": "default"}))]), 500_000.0);
}

#[test]
fn what_old_files_lack_has_its_old_meaning() {
    let config = ModelConfig { n_kv_head: 4, n_layer: 2, ..llama_config() };
    let read = |json: &str| inkling_core::checkpoint::read_config(|_| Ok(Some(json.as_bytes().to_vec()))).unwrap();
    assert_eq!(read(&without("num_key_value_heads")), config);
    assert_eq!(read(&without("head_dim")), llama_config());
    assert_eq!(read(&without("mlp_bias")), llama_config());
    assert!(!read(&without("tie_word_embeddings")).tie_word_embeddings);
    for size in ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps", "hidden_act"] {
        folder(&without(size), &tensors()).check_refused(CONFIG_FILE, &[size, "missing"]);
    }
}

#[test]
fn what_the_model_would_not_compute_is_refused() {
    let rope = |value: Value| vec![("rope_parameters", value)];
    let cases: Vec<(Changes, &[&str])> = vec![
        (vec![("attention_bias", json!(true))], &["attention_bias"]),
        (vec![("mlp_bias", json!(true))], &["mlp_bias"]),
        (vec![("hidden_act", json!("gelu"))], &["hidden_act", "\"gelu\"", "\"silu\""]),
        (vec![("head_dim", json!(8))], &["head_dim", "8", "4 heads"]),
        (vec![("num_key_value_heads", json!(3))], &["n_kv_head (3)"]),
        (vec![("sliding_window", json!(4))], &["sliding_window", "mistral"]),
        (vec![("rope_theta", json!(1e4))], &["rope_theta", "10000", "500000", "agree"]),
        (vec![("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}))], &["\"llama3\"", "rope_scaling"]),
        (vec![("rope_scaling", json!({"type": "linear", "factor": 2.0}))], &["\"linear\"", "rope_scaling"]),
        (rope(json!({"rope_theta": 500000.0, "rope_type": "yarn"})), &["\"yarn\"", "rope_parameters"]),
        (
            rope(json!({"rope_theta": 5e5, "rope_type": "default", "partial_rotary_factor": 0.5})),
            &["partial_rotary", "0.5"],
        ),
        (vec![("quantization_config", json!({"bits": 4}))], &["quantization_config"]),
        (vec![("attention_dropout", json!(1.5))], &["dropout is 1.5"]),
    ];
    for (changes, words) in cases {
        folder(&with(&changes), &tensors()).check_refused(CONFIG_FILE, words);
    }
}

#[test]
fn mistral_and_qwen3_say_whether_there_is_a_window() {
    let mistral = |window: Value| with(&[("model_type", json!("mistral")), ("sliding_window", window)]);
    assert_eq!(loaded(&mistral(json!(3))), ModelConfig { sliding_window: Some(3), ..llama_config() });
    assert_eq!(loaded(&mistral(Value::Null)), llama_config());
    folder(&with(&[("model_type", json!("mistral"))]), &tensors())
        .check_refused(CONFIG_FILE, &["`sliding_window` is missing"]);

    let qwen3 = |more: &[(&str, Value)]| with(&[&[("model_type", json!("qwen3"))], more].concat());
    let read = |json: String| inkling_core::checkpoint::read_config(|_| Ok(Some(json.clone().into_bytes())));
    let window = |more: &[(&str, Value)]| read(qwen3(more)).unwrap().sliding_window;
    let used = ("use_sliding_window", json!(true));
    let size = ("sliding_window", json!(3));
    assert!(read(qwen3(&[])).unwrap().qk_norm);
    assert_eq!(window(&[size.clone(), ("use_sliding_window", json!(false)), ("max_window_layers", json!(2))]), None);
    assert_eq!(window(&[size.clone(), used.clone(), ("max_window_layers", json!(0))]), Some(3));
    assert_eq!(window(&[size.clone(), used.clone(), ("max_window_layers", json!(28))]), None);
    let refused = |more: &[(&str, Value)], word: &str| {
        let message = read(qwen3(more)).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refused(&[size.clone(), used.clone(), ("max_window_layers", json!(1))], "1 of 2 blocks");
    let mixed = ["full_attention", "sliding_attention"];
    refused(&[size.clone(), used.clone(), ("layer_types", json!(mixed))], "1 of 2 blocks");
    refused(&[size.clone(), used.clone(), ("layer_types", json!(["linear_attention", "x"]))], "linear_attention");
    refused(&[size, used, ("layer_types", json!(["full_attention"]))], "1 entries for 2 blocks");
    refused(&[("head_dim", Value::Null)], "`head_dim` is 128");
    refused(&[("num_key_value_heads", Value::Null)], "num_key_value_heads");
}
