//! Adapters as files: PEFT's names, parts of fused matrices, and what is refused.

use std::collections::BTreeMap;

use inkling_core::checkpoint::{
    ADAPTER_CONFIG_FILE, ADAPTER_FILE, AdapterCheckpoint, AdapterConfig, Origin, read_adapters,
};
use inkling_core::lora::{BaseFormat, LoraConfig};
use inkling_core::tokenizer::{CharTokenizer, Tokenizer};
use inkling_core::{Activation, HostTensor, ModelConfig, Normalization, PositionEmbedding, Weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

fn gpt2() -> ModelConfig {
    ModelConfig {
        vocab_size: 3,
        n_positions: 4,
        n_embd: 8,
        n_layer: 2,
        n_head: 4,
        n_kv_head: 4,
        n_inner: 12,
        ..ModelConfig::default()
    }
}

fn llama() -> ModelConfig {
    ModelConfig {
        position_embedding_type: PositionEmbedding::Rope,
        normalization: Normalization::RmsNorm,
        activation_function: Activation::Swiglu,
        bias: false,
        n_kv_head: 2,
        ..gpt2()
    }
}

/// Adapters of rank 2 whose values are all different.
fn checkpoint(model: ModelConfig) -> AdapterCheckpoint {
    let target_modules = vec!["c_attn".to_owned(), "c_fc".to_owned()];
    let lora = LoraConfig { r: 2, lora_alpha: 3.0, target_modules: target_modules.clone(), base: BaseFormat::Q4 };
    let mut next = 0.0;
    let mut tensor = |shape: Vec<usize>| {
        let data = (0..shape.iter().product::<usize>()).map(|_| {
            next += 0.25;
            next
        });
        HostTensor { data: data.collect(), shape }
    };
    let adapters = lora.parameters(&model).into_iter().map(|spec| (spec.name, tensor(spec.shape))).collect();
    let (base_sha256, base_format) = ("0123".into(), lora.base);
    let origin = Origin { base_sha256, base_format, target_modules, model: model.clone() };
    let config = AdapterConfig { lora, base: "runs/base".into(), origin: Some(origin) };
    let tokenizer = Tokenizer::from(CharTokenizer::from_text("abc").unwrap());
    AdapterCheckpoint { config, model, adapters, tokenizer, training: None }
}

fn file(files: &[(String, Vec<u8>)], name: &str) -> Vec<u8> {
    files.iter().find(|(file, _)| file == name).unwrap().1.clone()
}

#[test]
fn files_come_back_and_have_pefts_names() {
    for (model, names) in [
        (gpt2(), &["transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_fc"][..]),
        (llama(), &["model.layers.0.self_attn.k_proj", "model.layers.1.mlp.up_proj", "model.layers.1.mlp.gate_proj"]),
    ] {
        let checkpoint = checkpoint(model);
        let files = checkpoint.to_files().unwrap();
        let config = AdapterConfig::parse(&file(&files, ADAPTER_CONFIG_FILE)).unwrap();
        assert_eq!(config, checkpoint.config);
        let bytes = file(&files, ADAPTER_FILE);
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for name in names {
            let shape =
                |which| tensors.tensor(&format!("base_model.model.{name}.{which}.weight")).unwrap().shape().to_vec();
            assert_eq!((shape("lora_A"), shape("lora_B")[1]), (vec![2, 8], 2), "{name}");
        }
        let read = |name: &str| Ok(files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone()));
        let (adapters, training) = read_adapters(&config, &checkpoint.model, read).unwrap();
        assert!(adapters == checkpoint.adapters && training.is_none());
    }
}

/// A file of tensors filled with one value each.
fn adapters_file(tensors: &[(&str, [usize; 2], f32)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> =
        tensors.iter().map(|&(_, shape, value)| value.to_le_bytes().repeat(shape[0] * shape[1])).collect();
    let views: BTreeMap<String, TensorView<'_>> = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| {
            (format!("base_model.model.{name}.weight"), TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// Reads them as PEFT's.
fn read(model: &ModelConfig, bytes: &[u8]) -> inkling_core::Result<Weights> {
    let config = AdapterConfig { origin: None, ..checkpoint(model.clone()).config };
    Ok(read_adapters(&config, model, |name| Ok((name == ADAPTER_FILE).then(|| bytes.to_vec())))?.0)
}

#[test]
fn parts_with_adapters_of_their_own_are_stacked() {
    // Queries have 8 rows, keys and values 4 each; keys have no adapter.
    let layer = "model.layers.0.self_attn";
    let names =
        ["q_proj.lora_A", "q_proj.lora_B", "v_proj.lora_A", "v_proj.lora_B"].map(|name| format!("{layer}.{name}"));
    let bytes = adapters_file(&[
        (&names[0], [2, 8], 1.0),
        (&names[1], [8, 2], 2.0),
        (&names[2], [2, 8], 3.0),
        (&names[3], [4, 2], 5.0),
    ]);
    let adapters = read(&llama(), &bytes).unwrap();
    let (a, b) = (&adapters["h.0.attn.c_attn.lora_A.weight"], &adapters["h.0.attn.c_attn.lora_B.weight"]);
    assert_eq!((&a.shape[..], &b.shape[..], adapters.len()), (&[4, 8][..], &[16, 4][..], 2));
    assert_eq!((a.data[0], a.data[15], a.data[16], a.data[31]), (1.0, 1.0, 3.0, 3.0));
    let row = |n: usize| &b.data[4 * n..4 * n + 4];
    for n in 0..16 {
        let expected = match n {
            0..8 => [2.0, 2.0, 0.0, 0.0],
            8..12 => [0.0; 4],
            _ => [0.0, 0.0, 5.0, 5.0],
        };
        assert_eq!(row(n), expected, "row {n}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let name = "transformer.h.0.attn.c_attn";
    let (a, b) = (format!("{name}.lora_A"), format!("{name}.lora_B"));
    for (tensors, reason) in [
        (vec![(a.as_str(), [2, 8], 1.0)], "c_attn.lora_B.weight"),
        (vec![(&a, [2, 8], 1.0), (&b, [24, 3], 1.0)], "is [24, 3] instead of [24, 2]"),
        (vec![(&a, [2, 9], 1.0), (&b, [24, 2], 1.0)], "is [2, 9] instead of [2, 8]"),
        (vec![(&a, [2, 8], f32::NAN), (&b, [24, 2], 1.0)], "NaN"),
        (vec![(&a, [2, 8], 1.0), (&b, [24, 2], 1.0), ("lm_head.lora_A", [2, 8], 1.0)], "lm_head.lora_A"),
        (vec![], "missing"),
    ] {
        let error = read(&gpt2(), &adapters_file(&tensors)).unwrap_err().to_string();
        assert!(error.starts_with(ADAPTER_FILE) && error.contains(reason), "{reason}: {error}");
        assert!(!error.contains(" config.json"), "{error}");
    }
    let error = read(&gpt2(), b"PK\x03\x04").unwrap_err().to_string();
    assert!(error.contains("zip"), "{error}");
}

#[test]
fn inklings_own_adapters_must_be_complete_and_of_one_rank() {
    let check = |targets: &[&str], reason: &str| {
        let checkpoint = checkpoint(llama());
        let files = checkpoint.to_files().unwrap();
        let mut config = checkpoint.config;
        config.lora.target_modules = targets.iter().map(|&target| target.into()).collect();
        let read = |name: &str| Ok(files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone()));
        let error = read_adapters(&config, &checkpoint.model, read).unwrap_err().to_string();
        assert!(error.contains("not those of adapter_config.json") && error.contains(reason), "{error}");
    };
    check(&["c_attn", "mlp"], "4 unexpected: h.0.mlp.c_fc.lora_A.weight");
    check(&["c_attn", "c_fc", "attn.c_proj"], "4 missing: h.0.attn.c_proj.lora_A.weight");

    // Queries and keys with different A: of a higher rank than the run trains.
    let AdapterCheckpoint { config, model, .. } = checkpoint(llama());
    let layer = "model.layers.0.self_attn";
    let names =
        ["q_proj.lora_A", "q_proj.lora_B", "k_proj.lora_A", "k_proj.lora_B"].map(|name| format!("{layer}.{name}"));
    let tensors = [([2, 8], 1.0), ([8, 2], 1.0), ([2, 8], 2.0), ([4, 2], 1.0)];
    let tensors: Vec<_> =
        names.iter().zip(tensors).map(|(name, (shape, value))| (name.as_str(), shape, value)).collect();
    let bytes = adapters_file(&tensors);
    let read = |name: &str| Ok((name == ADAPTER_FILE).then(|| bytes.clone()));
    let error = read_adapters(&config, &model, read).unwrap_err().to_string();
    assert!(error.contains("h.0.attn.c_attn.lora_A.weight is [4, 8] instead of [2, 8]"), "{error}");
}

#[test]
fn only_a_base_that_was_rounded_is_rounded() {
    // Not a float16, nor is any sum below.
    let third = 1.0_f32 / 3.0;
    let AdapterCheckpoint { config, model, .. } = checkpoint(gpt2());
    let filled =
        |shape: &[usize], value: f32| HostTensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] };
    let base: Weights = model.parameters().into_iter().map(|spec| (spec.name, filled(&spec.shape, third))).collect();
    let name = "h.1.attn.c_attn";
    let adapters = Weights::from([
        (format!("{name}.lora_A.weight"), filled(&[2, 8], 1.0)),
        (format!("{name}.lora_B.weight"), filled(&[24, 2], 0.5)),
    ]);
    let peft = AdapterConfig { origin: None, ..config.clone() };
    let mut merged = base.clone();
    peft.merge(&mut merged, &adapters);
    // s · B A = 3/2 · (0.5 + 0.5)
    let adapted = format!("{name}.weight");
    assert_eq!(merged[&adapted], filled(&[24, 8], third + 1.5));
    merged.insert(adapted.clone(), base[&adapted].clone());
    assert!(merged == base);

    let mut rounded = base.clone();
    config.merge(&mut rounded, &adapters);
    let mut expected = base;
    config.lora.merge(&mut expected, &adapters);
    assert!(rounded == expected && rounded["h.0.attn.c_attn.weight"].data[0] != third);
}
