//! Weights stored as float16, bfloat16 and codes: what they become, and what is refused.

use half::{bf16, f16};
use inkling_core::checkpoint::{CONFIG_FILE, Checkpoint, MODEL_FILE, WeightFormat};
use inkling_core::{Architecture, ModelConfig};
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::folder::{Folder, gpt2_config, model, raw_safetensors};

/// Rows longer than a block, of no whole number of blocks.
fn wide() -> ModelConfig {
    ModelConfig { n_embd: 36, n_inner: 70, ..gpt2_config() }
}

/// A model of pseudorandom weights up to 1.
fn random(config: ModelConfig, seed: u32) -> Checkpoint {
    let mut checkpoint = model(config);
    let mut bits = seed;
    for x in checkpoint.weights.values_mut().flat_map(|tensor| &mut tensor.data) {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x = (bits >> 8) as f32 / (1 << 23) as f32 - 1.0;
    }
    checkpoint
}

fn folder(checkpoint: &Checkpoint, format: WeightFormat) -> Folder {
    Folder(checkpoint.to_files_as(format).unwrap().into_iter().collect())
}

fn config_of(folder: &Folder) -> Value {
    serde_json::from_slice(&folder.0[CONFIG_FILE]).unwrap()
}

#[test]
fn float32_is_the_default_and_nothing_else_changes_with_it() {
    assert_eq!(folder(&random(wide(), 1), WeightFormat::F32), Folder::of(&random(wide(), 1)));
}

#[test]
fn halves_are_rounded_to_the_nearest_and_open_in_transformers() {
    let checkpoint = random(wide(), 1);
    for (format, dtype, name) in
        [(WeightFormat::F16, Dtype::F16, "float16"), (WeightFormat::Bf16, Dtype::BF16, "bfloat16")]
    {
        let folder = folder(&checkpoint, format);
        assert_eq!(config_of(&folder)["dtype"], name);
        assert_eq!(config_of(&folder)["model_type"], "gpt2");
        let tensors = SafeTensors::deserialize(&folder.0[MODEL_FILE]).unwrap();
        assert!(tensors.tensors().iter().all(|(_, view)| view.dtype() == dtype));
        let loaded = folder.load().unwrap();
        for (name, tensor) in &checkpoint.weights {
            for (&w, &back) in tensor.data.iter().zip(&loaded.weights[name].data) {
                let nearest =
                    if format == WeightFormat::F16 { f16::from_f32(w).to_f32() } else { bf16::from_f32(w).to_f32() };
                assert_eq!(back, nearest, "{name}");
            }
        }
    }
}

#[test]
fn codes_are_of_matrices_and_the_rest_keeps_its_precision() {
    let untied = ModelConfig { tie_word_embeddings: false, lm_head_bias: true, ..wide() };
    for format in [WeightFormat::Q8, WeightFormat::Q4] {
        let folder = folder(&random(untied.clone(), 1), format);
        let tensors = SafeTensors::deserialize(&folder.0[MODEL_FILE]).unwrap();
        let is = |name: &str, dtype, shape: &[usize]| {
            let view = tensors.tensor(name).unwrap();
            assert_eq!((view.dtype(), view.shape()), (dtype, shape), "{name}");
        };
        for table in ["wte.weight", "lm_head.weight"] {
            is(table, Dtype::I8, &[7, 36]);
            is(&format!("{table}.scale"), Dtype::BF16, &[7]);
        }
        is("wpe.weight", Dtype::F16, &[5, 36]);
        is("h.1.mlp.c_proj.bias", Dtype::F32, &[36]);
        is("lm_head.bias", Dtype::F32, &[7]);
        if format == WeightFormat::Q8 {
            is("h.1.mlp.c_proj.weight", Dtype::I8, &[36, 70]);
            is("h.1.mlp.c_proj.weight.scale", Dtype::BF16, &[36]);
        } else {
            is("h.1.mlp.c_proj.weight", Dtype::U8, &[36, 48]);
            is("h.1.mlp.c_proj.weight.scale", Dtype::BF16, &[36, 3]);
        }
    }
}

#[test]
fn a_folder_of_codes_is_none_that_transformers_would_take_for_weights() {
    for (format, expected) in [
        (WeightFormat::Q8, json!({"quant_method": "inkling", "bits": 8})),
        (WeightFormat::Q4, json!({"quant_method": "inkling", "bits": 4, "group_size": 32})),
    ] {
        let folder = folder(&random(wide(), 1), format);
        assert_eq!(config_of(&folder)["model_type"], "inkling");
        assert_eq!(config_of(&folder)["quantization_config"], expected);
        folder
            .with_json(CONFIG_FILE, "/quantization_config", "quant_method", json!("gptq"))
            .check_refused(CONFIG_FILE, &["quantization_config.quant_method", "gptq", "inkling"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What comes back is near, of the same configuration, and comes back exactly ever after.
    #[test]
    fn every_format_comes_back_and_then_stays(seed: u32, n_embd in 1..40usize, n_inner in 1..80usize, bigram: bool) {
        let architecture = if bigram { Architecture::Bigram } else { Architecture::Gpt };
        let config = ModelConfig {
            n_embd: 2 * n_embd, n_inner, architecture, tie_word_embeddings: !bigram, ..gpt2_config()
        };
        let checkpoint = random(config, seed);
        for format in WeightFormat::ALL {
            let bound = match format {
                WeightFormat::F32 => 0.0,
                WeightFormat::F16 => 1.0 / 2048.0,
                WeightFormat::Bf16 => 1.0 / 256.0,
                WeightFormat::Q8 => 1.01 / 254.0,
                WeightFormat::Q4 => 1.04 / 8.0,
            };
            let once = folder(&checkpoint, format);
            let loaded = once.load().unwrap();
            prop_assert_eq!(&loaded.config, &checkpoint.config);
            for (name, tensor) in &checkpoint.weights {
                for (w, back) in tensor.data.iter().zip(&loaded.weights[name].data) {
                    prop_assert!((w - back).abs() <= bound, "{format:?}: {name} has {w}, which came back as {back}");
                }
            }
            prop_assert_eq!(&folder(&loaded, format), &once);
        }
    }

    #[test]
    fn damaged_codes_never_panic(seed: u32, at in any::<prop::sample::Index>(), byte: u8, q4: bool) {
        let format = if q4 { WeightFormat::Q4 } else { WeightFormat::Q8 };
        let mut folder = folder(&random(wide(), seed), format);
        let bytes = folder.0.get_mut(MODEL_FILE).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(loaded) = folder.load() {
            prop_assert!(loaded.weights.values().all(|tensor| tensor.data.iter().all(|w| w.is_finite())));
        }
    }
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_name() {
    let check = |format, name: &str, value, words: &[&str]| {
        let mut checkpoint = random(wide(), 1);
        checkpoint.weights.get_mut(name).unwrap().data[37] = value;
        let message = checkpoint.to_files_as(format).expect_err(&format!("{words:?} expected")).to_string();
        words.iter().for_each(|word| assert!(message.contains(word), "{word:?} is not in {message:?}"));
    };
    check(WeightFormat::F16, "wpe.weight", 65_520.0, &["`transformer.wpe.weight`", "65520", "index 37", "65504"]);
    check(WeightFormat::Bf16, "wte.weight", f32::MAX, &["`transformer.wte.weight`", "bfloat16"]);
    for format in [WeightFormat::Q8, WeightFormat::Q4] {
        check(format, "wpe.weight", -7e4, &["`wpe.weight`", "-70000", "65504"]);
        check(format, "h.1.mlp.c_fc.weight", 3e38, &["`h.1.mlp.c_fc.weight`", "row 1", "too large"]);
        check(format, "h.1.mlp.c_fc.weight", f32::NAN, &["`h.1.mlp.c_fc.weight`", "NaN", "index 37"]);
    }
    let mut largest = random(wide(), 1);
    largest.weights.get_mut("wpe.weight").unwrap().data[37] = 65_519.0;
    assert_eq!(folder(&largest, WeightFormat::F16).load().unwrap().weights["wpe.weight"].data[37], 65_504.0);
}

/// An entry of a header: name, type and shape.
type Entry<'a> = (&'a str, &'a str, &'a str);

/// A file of these tensors, all bytes zero, with `columns` of `a` in its metadata.
fn file(entries: &[(Entry, usize)], columns: Option<&str>) -> Vec<u8> {
    let metadata = columns.map_or(String::new(), |columns| format!(r#""a.columns":"{columns}""#));
    let mut header = format!(r#"{{"__metadata__":{{{metadata}}}"#);
    let mut end = 0;
    for ((name, dtype, shape), bytes) in entries {
        let begin = end;
        end += bytes;
        header += &format!(r#","{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#);
    }
    raw_safetensors(&(header + "}"), &vec![0; end])
}

#[test]
fn codes_and_scales_that_do_not_fit_each_other_are_refused() {
    let check = |entries: &[(Entry, usize)], columns, words: &[&str]| {
        Folder::of(&model(gpt2_config())).with(MODEL_FILE, file(entries, columns)).check_refused(MODEL_FILE, words);
    };
    let q8 = (("a", "I8", "[2,3]"), 6);
    check(&[q8, (("a.scale", "BF16", "[3]"), 6)], None, &["codes `a`", "[3] instead of [2]"]);
    check(&[q8, (("a.scale", "BF16", "[2,1]"), 4)], None, &["[2, 1] instead of [2]"]);
    check(&[q8, (("a.scale", "F32", "[2]"), 8)], None, &["codes `a`", "type F32, not BF16"]);
    check(&[q8, (("a.scale", "I8", "[2]"), 2)], None, &["codes `a`", "type I8, not BF16"]);
    check(&[(("a", "I8", "[6]"), 6), (("a.scale", "BF16", "[]"), 2)], None, &["codes `a`", "[6]", "only matrices"]);
    let q4 = (("a", "U8", "[2,32]"), 64);
    let scales = (("a.scale", "BF16", "[2,2]"), 8);
    check(&[q4, scales], None, &["codes `a`", "how many columns"]);
    check(&[q4, scales], Some("64.0"), &["codes `a`", "\"64.0\"", "no number"]);
    check(&[q4, scales], Some("99999999999999999999"), &["codes `a`", "no number"]);
    check(&[q4, scales], Some("65"), &["65 columns", "rows of 32 bytes"]);
    check(&[q4, scales], Some("32"), &["32 columns", "rows of 32 bytes"]);
    check(&[q4, scales], Some("18446744073709551615"), &["18446744073709551615 columns", "rows of 32 bytes"]);
    check(&[q4, (("a.scale", "BF16", "[2]"), 4)], Some("64"), &["[2] instead of [2, 2]"]);
    check(&[(("a", "U8", "[2,31]"), 62), scales], Some("62"), &["62 columns", "rows of 31 bytes"]);
    // Such codes and scales fit; the model has more tensors.
    check(&[q4, scales], Some("33"), &["only 1 tensors"]);
}

#[test]
fn codes_without_scales_and_scales_without_codes_are_refused() {
    let folder = folder(&random(wide(), 1), WeightFormat::Q8);
    let without = |name: &str| {
        let tensors = SafeTensors::deserialize(&folder.0[MODEL_FILE]).unwrap();
        let kept = tensors.tensors().into_iter().filter(|(other, _)| other != name);
        folder.clone().with(MODEL_FILE, safetensors::serialize(kept, None).unwrap())
    };
    let matrix = "h.0.attn.c_proj.weight";
    without("h.0.attn.c_proj.weight.scale").check_refused(MODEL_FILE, &["I8", "`h.0.attn.c_proj.weight.scale`"]);
    without(matrix).check_refused(MODEL_FILE, &["1 missing: h.0.attn.c_proj.weight", "1 unexpected"]);
}

/// The first place of a tensor's bytes in a file.
fn offset(bytes: &[u8], name: &str) -> usize {
    let (header, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    8 + header + metadata.info(name).unwrap().data_offsets.0
}

#[test]
fn codes_that_nothing_stands_for_are_refused() {
    let damaged = |format, name: &str, at: usize, change: &[u8]| {
        let mut folder = folder(&random(wide(), 1), format);
        let bytes = folder.0.get_mut(MODEL_FILE).unwrap();
        let start = offset(bytes, name) + at;
        bytes[start..start + change.len()].copy_from_slice(change);
        folder
    };
    let matrix = "h.0.attn.c_proj.weight";
    damaged(WeightFormat::Q8, matrix, 40, &[0x80]).check_refused(MODEL_FILE, &[matrix, "-128", "row 1"]);
    for format in [WeightFormat::Q8, WeightFormat::Q4] {
        for (scale, text) in [(bf16::NAN, "NaN"), (bf16::NEG_INFINITY, "-inf")] {
            damaged(format, &format!("{matrix}.scale"), 2, &scale.to_le_bytes())
                .check_refused(MODEL_FILE, &[matrix, "scale", text, "index 1"]);
        }
    }
    // Rows of 36 have 32 weights in their first block and 4 in the second, whose other places hold no weight.
    damaged(WeightFormat::Q4, matrix, 32 + 16 + 4, &[0x89]).check_refused(MODEL_FILE, &[matrix, "36 columns", "row 1"]);
    damaged(WeightFormat::Q4, matrix, 32 + 16, &[0x98]).check_refused(MODEL_FILE, &[matrix, "36 columns", "row 1"]);
    damaged(WeightFormat::Q4, matrix, 32 + 16, &[0x89]).load().unwrap();
}
