//! Folders as `transformers` writes them. What it thinks of ours is checked by the PyTorch fixtures.

use std::collections::HashMap;

use half::{bf16, f16};
use inkling_core::checkpoint::{CONFIG_FILE, MODEL_FILE};
use inkling_core::{Activation, ModelConfig, Weights};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use crate::folder::{Folder, gpt2_config, model};

/// `config.json` as `GPT2LMHeadModel.save_pretrained` of transformers 5.23 writes it, for 7 tokens.
const CONFIG: &str = r#"{
  "activation_function": "gelu_new",
  "add_cross_attention": false,
  "architectures": ["GPT2LMHeadModel"],
  "attn_pdrop": 0.1,
  "bos_token_id": 50256,
  "dtype": "float32",
  "embd_pdrop": 0.1,
  "eos_token_id": 50256,
  "initializer_range": 0.02,
  "layer_norm_epsilon": 1e-05,
  "model_type": "gpt2",
  "n_embd": 4,
  "n_head": 2,
  "n_inner": null,
  "n_layer": 1,
  "n_positions": 8,
  "pad_token_id": null,
  "reorder_and_upcast_attn": false,
  "resid_pdrop": 0.1,
  "scale_attn_by_inverse_layer_idx": false,
  "scale_attn_weights": true,
  "summary_activation": null,
  "summary_first_dropout": 0.1,
  "summary_proj_to_labels": true,
  "summary_type": "cls_index",
  "summary_use_proj": true,
  "tie_word_embeddings": true,
  "transformers_version": "5.23.0",
  "use_cache": true,
  "vocab_size": 7
}"#;

fn config() -> ModelConfig {
    ModelConfig { n_layer: 1, n_inner: 16, n_positions: 8, ..gpt2_config() }
}

/// A tensor of a file: name, type, shape, bytes.
type FileTensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// The bytes of an element.
type Encode = fn(f32) -> Vec<u8>;

/// `GPT2LMHeadModel`'s state dict: GPT-2's prefix, Conv1D weights as `[in, out]`, elements by `encode`.
fn state_dict(weights: &Weights, prefix: &str, dtype: Dtype, encode: Encode) -> Vec<FileTensor> {
    let conv1d = |name: &str| ["c_attn.weight", "c_proj.weight", "c_fc.weight"].iter().any(|end| name.ends_with(end));
    let tensor = |(name, tensor): (&String, &inkling_core::HostTensor)| {
        let (mut shape, mut data) = (tensor.shape.clone(), tensor.data.clone());
        if conv1d(name) {
            let (out, inner) = (shape[0], shape[1]);
            data = (0..inner * out).map(|i| tensor.data[i % out * inner + i / out]).collect();
            shape.reverse();
        }
        let prefix = if name.starts_with("lm_head") { "" } else { prefix };
        (format!("{prefix}{name}"), dtype, shape, data.into_iter().flat_map(encode).collect())
    };
    weights.iter().map(tensor).collect()
}

fn folder(config: &str, tensors: &[FileTensor]) -> Folder {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let model_file = serialize(views, Some(metadata.into_iter().collect())).unwrap();
    Folder::of(&model(self::config())).with(CONFIG_FILE, config).with(MODEL_FILE, model_file)
}

fn f32_bytes(x: f32) -> Vec<u8> {
    x.to_le_bytes().to_vec()
}

fn f32_tensors() -> Vec<FileTensor> {
    state_dict(&model(config()).weights, "transformer.", Dtype::F32, f32_bytes)
}

fn with(key: &str, value: Value) -> String {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    config[key] = value;
    config.to_string()
}

#[test]
fn a_saved_model_loads() {
    assert_eq!(folder(CONFIG, &f32_tensors()).load().unwrap(), model(config()));
}

#[test]
fn names_without_the_prefix_load() {
    let tensors = state_dict(&model(config()).weights, "", Dtype::F32, f32_bytes);
    assert_eq!(folder(CONFIG, &tensors).load().unwrap(), model(config()));
}

#[test]
fn one_tensor_under_two_names_is_refused() {
    let mut tensors = f32_tensors();
    tensors.extend(state_dict(&model(config()).weights, "", Dtype::F32, f32_bytes));
    folder(CONFIG, &tensors).check_refused(MODEL_FILE, &["two names"]);
}

#[test]
fn half_precision_loads() {
    // Multiples of 1/8 below 32: exact in bfloat16's 8 bits as they are in float16's 11.
    let mut expected = model(config());
    expected.weights.values_mut().flat_map(|tensor| &mut tensor.data).for_each(|x| *x %= 16.0);
    let encoders: [(Dtype, Encode); 2] = [
        (Dtype::F16, |x| f16::from_f32(x).to_le_bytes().to_vec()),
        (Dtype::BF16, |x| bf16::from_f32(x).to_le_bytes().to_vec()),
    ];
    for (dtype, encode) in encoders {
        let tensors = state_dict(&expected.weights, "transformer.", dtype, encode);
        assert_eq!(folder(CONFIG, &tensors).load().unwrap(), expected, "{dtype}");
    }
}

#[test]
fn mask_buffers_are_ignored() {
    let mut tensors = f32_tensors();
    tensors.push(("transformer.h.0.attn.bias".into(), Dtype::U8, vec![1, 1, 8, 8], vec![1; 64]));
    tensors.push(("transformer.h.0.attn.masked_bias".into(), Dtype::F32, vec![], f32_bytes(-1e4)));
    assert_eq!(folder(CONFIG, &tensors).load().unwrap(), model(config()));
}

#[test]
fn a_tied_head_may_be_repeated_but_not_differ() {
    let mut tensors = f32_tensors();
    let (_, dtype, shape, bytes) = tensors.iter().find(|t| t.0 == "transformer.wte.weight").unwrap().clone();
    tensors.push(("lm_head.weight".into(), dtype, shape, bytes));
    assert_eq!(folder(CONFIG, &tensors).load().unwrap(), model(config()));
    tensors.last_mut().unwrap().3[0] ^= 1;
    folder(CONFIG, &tensors).check_refused(MODEL_FILE, &["lm_head.weight", "tie_word_embeddings"]);
}

#[test]
fn an_untied_head_loads() {
    let untied = model(ModelConfig { tie_word_embeddings: false, ..config() });
    let tensors = state_dict(&untied.weights, "transformer.", Dtype::F32, f32_bytes);
    assert_eq!(folder(&with("tie_word_embeddings", json!(false)), &tensors).load().unwrap(), untied);
    folder(&with("tie_word_embeddings", json!(false)), &f32_tensors())
        .check_refused(MODEL_FILE, &["1 missing: lm_head.weight"]);
}

#[test]
fn activations_are_found_by_their_names() {
    for (name, activation) in [
        ("relu", Activation::Relu),
        ("gelu", Activation::Gelu),
        ("gelu_new", Activation::GeluNew),
        ("gelu_pytorch_tanh", Activation::GeluNew),
    ] {
        let loaded = folder(&with("activation_function", json!(name)), &f32_tensors()).load().unwrap();
        assert_eq!(loaded.config.activation_function, activation);
    }
}

#[test]
fn absent_keys_have_gpt2s_defaults() {
    let config = inkling_core::checkpoint::read_config(|_| Ok(Some(br#"{"model_type": "gpt2"}"#.to_vec()))).unwrap();
    assert_eq!(config.num_parameters(), 124_439_808);
    assert_eq!((config.n_head, config.dropout, config.n_inner), (12, 0.1, 3072));
}

#[test]
fn the_published_gpt2_is_understood() {
    let published = r#"{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
        "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
        "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257}"#;
    let config = inkling_core::checkpoint::read_config(|_| Ok(Some(published.into()))).unwrap();
    let expected = ModelConfig {
        vocab_size: 50257,
        n_positions: 1024,
        n_embd: 768,
        n_layer: 12,
        n_head: 12,
        n_kv_head: 12,
        n_inner: 3072,
        dropout: 0.1,
        ..ModelConfig::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn what_the_model_would_not_compute_is_refused() {
    let cases = [
        ("scale_attn_by_inverse_layer_idx", json!(true)),
        ("scale_attn_weights", json!(false)),
        ("add_cross_attention", json!(true)),
        ("activation_function", json!("silu")),
        ("embd_pdrop", json!(0.2)),
        ("n_embd", json!("four")),
        ("n_head", json!(3)),
        ("n_layer", json!(-1)),
        ("vocab_size", json!(0)),
        ("layer_norm_epsilon", json!(1e39)),
    ];
    for (key, value) in cases {
        folder(&with(key, value), &f32_tensors()).check_refused(CONFIG_FILE, &[key]);
    }
    assert!(folder(&with("reorder_and_upcast_attn", json!(true)), &f32_tensors()).load().is_ok());
}
