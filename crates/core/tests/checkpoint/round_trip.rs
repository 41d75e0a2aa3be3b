//! What is saved comes back, bit for bit, whatever the model.

use inkling_core::checkpoint::{
    Checkpoint, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, TOKENIZER_FILE, TrainingState, read_config, read_tokenizer,
    read_weights,
};
use inkling_core::tokenizer::{BpeTraining, Tokenizer, WordCounts};
use inkling_core::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding, Result};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::folder::{Folder, gpt2_config, llama_config, model, run};

fn check_round_trip(checkpoint: &Checkpoint) {
    let folder = Folder::of(checkpoint);
    let loaded = folder.load().unwrap();
    assert_eq!(&loaded, checkpoint);
    assert_eq!(Folder::of(&loaded), folder, "a second save differs from the first");
}

#[test]
fn a_gpt2_shaped_model_comes_back() {
    check_round_trip(&model(gpt2_config()));
}

/// `transformers` pads a model's rows to a multiple of 64 (`pad_to_multiple_of`); its tokenizer keeps its size.
#[test]
fn rows_beyond_the_byte_pairs_stand_for_no_text() {
    let mut counts = WordCounts::default();
    counts.add("aaaa").unwrap();
    let pairs = BpeTraining { vocab_size: 258, min_frequency: 0 }.train(counts, |_| {}).unwrap();
    let tokenizer = Tokenizer::from(pairs.clone().padded(320));
    let padded = Checkpoint { tokenizer, ..model(ModelConfig { vocab_size: 320, ..gpt2_config() }) };
    check_round_trip(&padded);
    // The file has no more tokens than the byte pairs.
    let file = Folder::of(&padded).0[TOKENIZER_FILE].clone();
    assert_eq!(Tokenizer::from_json(&file).unwrap(), Tokenizer::from(pairs));
    let loaded = Folder::of(&padded).load().unwrap().tokenizer;
    assert_eq!(loaded.vocab_size(), 320);
    let ids = loaded.encode("aaab").unwrap();
    assert_eq!(loaded.decode(&[&ids[..], &[258, 319]].concat()).unwrap(), "aaab");
    assert!(loaded.decode(&[320]).unwrap_err().to_string().contains("0 to 319"));
}

#[test]
fn an_untied_model_comes_back() {
    check_round_trip(&model(ModelConfig { tie_word_embeddings: false, ..gpt2_config() }));
}

#[test]
fn a_model_that_gpt2_cannot_express_comes_back() {
    check_round_trip(&model(ModelConfig { lm_head_bias: true, ..gpt2_config() }));
    let bigram = ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..gpt2_config() };
    check_round_trip(&model(bigram));
}

#[test]
fn a_llama_shaped_model_comes_back() {
    check_round_trip(&model(llama_config()));
    check_round_trip(&model(ModelConfig { tie_word_embeddings: true, ..llama_config() }));
    check_round_trip(&model(ModelConfig { n_kv_head: 4, sliding_window: Some(3), ..llama_config() }));
    check_round_trip(&model(ModelConfig { n_kv_head: 1, qk_norm: true, ..llama_config() }));
}

#[test]
fn a_run_comes_back_with_its_optimizer() {
    check_round_trip(&run(gpt2_config()));
    check_round_trip(&run(llama_config()));
    check_round_trip(&run(ModelConfig { lm_head_bias: true, ..gpt2_config() }));
}

#[test]
fn an_optimizer_without_slots_comes_back() {
    let training = TrainingState { step: 0, state: json!({"step": 0}), optimizer: Default::default() };
    check_round_trip(&Checkpoint { training: Some(training), ..model(gpt2_config()) });
}

#[test]
fn a_state_without_its_step_is_given_one() {
    let mut checkpoint = run(gpt2_config());
    checkpoint.training.as_mut().unwrap().state = json!({});
    assert_eq!(Folder::of(&checkpoint).load().unwrap().training.unwrap().state, json!({"step": 30}));
}

#[test]
fn inference_does_not_read_the_files_of_a_run() {
    let folder = Folder::of(&run(gpt2_config()));
    let loaded = Checkpoint::model_from_files(|file| {
        assert!(file != STATE_FILE && file != OPTIMIZER_FILE, "{file} was read");
        Ok(folder.0.get(file).cloned())
    });
    assert_eq!(loaded.unwrap(), model(gpt2_config()));
}

#[test]
fn parts_are_read_without_the_others() {
    let folder = Folder::of(&model(gpt2_config()));
    let only = |wanted: &'static [&str]| {
        let folder = folder.clone();
        move |file: &str| -> Result<Option<Vec<u8>>> {
            Ok(folder.0.get(file).filter(|_| wanted.contains(&file)).cloned())
        }
    };
    assert_eq!(read_config(only(&["config.json"])).unwrap(), gpt2_config());
    let (config, weights) = read_weights(only(&["config.json", MODEL_FILE])).unwrap();
    assert_eq!((config, weights), (gpt2_config(), model(gpt2_config()).weights));
    assert_eq!(read_tokenizer(only(&[TOKENIZER_FILE])).unwrap(), model(gpt2_config()).tokenizer);
}

#[test]
fn the_library_reads_the_tensors_and_their_metadata() {
    let folder = Folder::of(&run(gpt2_config()));
    for file in [MODEL_FILE, OPTIMIZER_FILE] {
        let bytes = &folder.0[file];
        let (header, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        assert_eq!(header % 8, 0, "data starts unaligned");
        let metadata = metadata.metadata().as_ref().unwrap();
        assert_eq!((metadata["format"].as_str(), metadata["step"].as_str()), ("pt", "30"));
    }
    let tensors = SafeTensors::deserialize(&folder.0[MODEL_FILE]).unwrap();
    assert_eq!(tensors.tensor("transformer.h.1.mlp.c_fc.weight").unwrap().shape(), [4, 6], "Conv1D is [in, out]");
    assert!(tensors.tensor("lm_head.weight").is_err(), "a tied head is not stored");
}

#[test]
fn a_checkpoint_that_could_not_be_read_is_not_written() {
    let check = |change: &dyn Fn(&mut Checkpoint), words: &[&str]| {
        let mut checkpoint = run(gpt2_config());
        change(&mut checkpoint);
        let message = checkpoint.to_files().expect_err(&format!("{words:?} expected")).to_string();
        words.iter().for_each(|word| assert!(message.contains(word), "{word:?} is not in {message:?}"));
    };
    check(&|c| c.config.n_head = 3, &["n_head"]);
    check(&|c| c.config.vocab_size = 8, &["tokenizer.json", "7 tokens", "vocab_size 8"]);
    check(&|c| drop(c.weights.remove("wpe.weight")), &["1 missing: wpe.weight"]);
    check(&|c| drop(c.weights.insert("x".into(), c.weights["ln_f.bias"].clone())), &["1 unexpected: x"]);
    check(&|c| c.weights.get_mut("h.0.attn.c_attn.weight").unwrap().shape = vec![48], &["[48] instead of [12, 4]"]);
    check(&|c| c.weights.get_mut("h.0.attn.c_attn.weight").unwrap().data.truncate(47), &["c_attn.weight", "47 values"]);
    check(&|c| c.weights.get_mut("ln_f.bias").unwrap().data[2] = f32::NAN, &["ln_f.bias", "1 of 4", "index 2"]);
    let training = |c: &mut Checkpoint, change: &dyn Fn(&mut TrainingState)| change(c.training.as_mut().unwrap());
    check(&|c| training(c, &|t| t.step = 31), &["trainer_state.json", "30", "31"]);
    check(&|c| training(c, &|t| t.state = json!([])), &["trainer_state.json", "object"]);
    check(&|c| training(c, &|t| drop(t.optimizer.remove("v.wte.weight"))), &["1 missing: v.wte.weight"]);
    check(
        &|c| training(c, &|t| t.optimizer.values_mut().for_each(|t| t.data.fill(f32::INFINITY))),
        &["optimizer", "inf"],
    );
}

/// Small configurations of every kind, a third of them of Llama's shape.
fn configs() -> impl Strategy<Value = ModelConfig> {
    let sizes = (1..26usize, 1..9usize, 1..3usize, 1..4usize, 1..3usize, 1..4usize, 1..9usize);
    let activation = prop_oneof![
        Just(Activation::Relu),
        Just(Activation::Gelu),
        Just(Activation::GeluNew),
        Just(Activation::Swiglu)
    ];
    let parts = (sizes, activation, any::<[bool; 6]>(), 0.0..1.0f32, 1e-9..0.5f32, 0..3u8);
    parts.prop_map(|(sizes, activation_function, flags, dropout, layer_norm_epsilon, shape)| {
        let (vocab_size, n_positions, half_head, n_kv_head, groups, n_layer, n_inner) = sizes;
        let [bigram, tied, lm_head_bias, bias, qk_norm, has_window] = flags;
        let n_head = n_kv_head * groups;
        let any = ModelConfig {
            architecture: if bigram { Architecture::Bigram } else { Architecture::Gpt },
            vocab_size,
            n_positions,
            n_embd: n_head * 2 * half_head,
            n_layer,
            n_head,
            n_kv_head,
            n_inner,
            sliding_window: has_window.then_some(n_positions),
            qk_norm,
            activation_function,
            bias,
            layer_norm_epsilon,
            tie_word_embeddings: tied && !bigram,
            lm_head_bias,
            dropout,
            ..ModelConfig::default()
        };
        match shape {
            0 => any,
            1 => ModelConfig { n_kv_head: n_head, ..any },
            _ => ModelConfig {
                architecture: Architecture::Gpt,
                position_embedding_type: PositionEmbedding::Rope,
                normalization: Normalization::RmsNorm,
                activation_function: Activation::Swiglu,
                bias: false,
                lm_head_bias: false,
                ..any
            },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `==` on floats would let a sign of zero pass; bits do not.
    #[test]
    fn any_weights_come_back_bit_exact(config in configs(), seed: u32) {
        let mut checkpoint = model(config);
        let mut bits = seed;
        for x in checkpoint.weights.values_mut().flat_map(|tensor| &mut tensor.data) {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            *x = if value.is_finite() { value } else { -0.0 };
        }
        let loaded = Folder::of(&checkpoint).load().unwrap();
        prop_assert_eq!(&loaded.config, &checkpoint.config);
        for (name, tensor) in &checkpoint.weights {
            let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&loaded.weights[name].data), bits(&tensor.data), "{}", name);
        }
    }

    /// Resuming must not shift a best loss by one unit in the last place.
    #[test]
    fn numbers_of_the_state_come_back_exactly(loss in prop::num::f64::NORMAL, seed: u64) {
        let mut checkpoint = run(gpt2_config());
        let state: Value = json!({"step": 30, "seed": seed, "best_loss": loss});
        checkpoint.training.as_mut().unwrap().state = state.clone();
        prop_assert_eq!(Folder::of(&checkpoint).load().unwrap().training.unwrap().state, state);
    }
}
