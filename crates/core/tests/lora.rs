//! Low-rank adaptation of whole models.

#[path = "common/variants.rs"]
mod variants;

use inkling_core::checkpoint::TrainingState;
use inkling_core::cpu::Pool;
use inkling_core::lora::{BaseFormat, LoraConfig};
use inkling_core::nn::attention::Probs;
use inkling_core::nn::{Graph, Recording};
use inkling_core::program::{DType, Field, Pass, Program, Training};
use inkling_core::rng::{Site, Stream};
use inkling_core::step::{Mode, Step};
use inkling_core::tokenizer::{CharTokenizer, Tokenizer};
use inkling_core::train::{Adaptation, Dataset, Split, TrainConfig, Trainer, TrainingPrecision};
use inkling_core::{Activation, Architecture, Device, Engine, ModelConfig, Weights};
use variants::variants;

const PLENTY: u64 = 1 << 30;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn model() -> ModelConfig {
    ModelConfig {
        vocab_size: 13,
        n_positions: 12,
        n_embd: 24,
        n_layer: 2,
        n_head: 6,
        n_kv_head: 6,
        n_inner: 40,
        ..ModelConfig::default()
    }
}

fn llama() -> ModelConfig {
    let llama = variants(&model()).into_iter().find(|(name, _)| *name == "llama");
    llama.expect("one of the variants").1
}

fn lora(base: BaseFormat) -> LoraConfig {
    let target_modules = ["c_attn", "c_proj", "c_fc"].map(str::to_owned).to_vec();
    LoraConfig { r: 4, lora_alpha: 8.0, target_modules, base }
}

fn recording(config: &ModelConfig, recompute: bool) -> Recording {
    let (training, probs, activations) = (Training::Yes, Probs::Skip, DType::F32);
    Recording { batch: 3, context: config.n_positions, training, probs, activations, recompute }
}

fn cpu((program, graph): (Program, Graph), config: &ModelConfig) -> (Engine, Graph) {
    let mut engine = Engine::cpu(program, Pool::new(2));
    let stream = Stream::new(3, 0, Site::BATCH);
    let rows = (graph.batch * graph.context) as u32;
    let ids = |from: u32| (from..from + rows).map(|i| stream.below(i, config.vocab_size as u32)).collect::<Vec<_>>();
    engine.write_ids(graph.tokens, &ids(0));
    engine.write_ids(graph.targets, &ids(rows));
    (engine, graph)
}

fn base_weights(config: &ModelConfig) -> Weights {
    let (mut engine, _) = cpu(recording(config, false).record(config).unwrap(), config);
    engine.initialize(5);
    wait(engine.save(Field::Value)).unwrap()
}

fn random_adapters(engine: &mut Engine) -> Weights {
    engine.initialize(6);
    let mut adapters = wait(engine.save(Field::Value)).unwrap();
    for (i, adapter) in adapters.values_mut().enumerate() {
        let stream = Stream::new(9, i as u32, Site(1000));
        adapter.data.iter_mut().enumerate().for_each(|(i, x)| *x += 0.1 * stream.normal(i as u32));
    }
    engine.load(Field::Value, &adapters).unwrap();
    adapters
}

fn logits(engine: &mut Engine, graph: &Graph) -> Vec<f32> {
    engine.replay(Pass::Forward, &Step::DEFAULT);
    wait(engine.read(graph.logits.unwrap())).unwrap()
}

fn plain_logits(config: &ModelConfig, weights: &Weights) -> Vec<f32> {
    let (mut engine, graph) = cpu(recording(config, false).record(config).unwrap(), config);
    engine.load(Field::Value, weights).unwrap();
    logits(&mut engine, &graph)
}

#[test]
fn a_merged_model_is_the_adapted_one_to_the_last_bit_and_begins_as_its_base() {
    for config in [model(), llama()] {
        for format in [BaseFormat::F16, BaseFormat::Q4] {
            let (lora, base) = (lora(format), base_weights(&config));
            let (mut engine, graph) = cpu(recording(&config, false).record_adapted(&config, &lora).unwrap(), &config);
            engine.load_frozen(&base).unwrap();
            engine.initialize(1);
            let rounded = wait(engine.save_frozen()).unwrap();
            assert!(rounded != base && rounded["wte.weight"] == base["wte.weight"]);
            assert_eq!(logits(&mut engine, &graph), plain_logits(&config, &rounded));

            let adapters = random_adapters(&mut engine);
            let mut merged = base.clone();
            lora.merge(&mut merged, &adapters);
            let found = logits(&mut engine, &graph);
            assert_eq!(found, plain_logits(&config, &merged));
            assert!(found != plain_logits(&config, &rounded));
            // The base has been rounded before, which changes nothing any more.
            let mut again = rounded;
            lora.merge(&mut again, &adapters);
            assert!(again == merged);
        }
    }
}

#[test]
fn the_update_is_b_times_a_times_alpha_over_r() {
    let config = model();
    let lora = LoraConfig { target_modules: vec!["mlp.c_fc".into()], ..lora(BaseFormat::F16) };
    let (mut engine, _) = cpu(recording(&config, false).record_adapted(&config, &lora).unwrap(), &config);
    let adapters = random_adapters(&mut engine);
    let names: Vec<_> = adapters.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "h.0.mlp.c_fc.lora_A.weight",
            "h.0.mlp.c_fc.lora_B.weight",
            "h.1.mlp.c_fc.lora_A.weight",
            "h.1.mlp.c_fc.lora_B.weight"
        ]
    );
    let mut base = base_weights(&config);
    for tensor in base.values_mut() {
        tensor.data.fill(0.25);
    }
    let mut merged = base.clone();
    lora.merge(&mut merged, &adapters);
    let (a, b) = (&adapters[names[0]], &adapters[names[1]]);
    assert_eq!((&a.shape[..], &b.shape[..]), (&[4, 24][..], &[40, 4][..]));
    let weight = "h.0.mlp.c_fc.weight";
    for (i, &w) in merged[weight].data.iter().enumerate() {
        let (n, k) = (i / 24, i % 24);
        let sum: f32 = (0..4).map(|r| b.data[4 * n + r] * a.data[24 * r + k]).sum();
        assert!((w - (0.25 + 8.0 / 4.0 * sum)).abs() < 1e-6, "[{n}, {k}]");
    }
    assert!(merged.iter().filter(|(name, _)| !name.contains("c_fc.weight")).all(|(name, t)| *t == base[name]));
}

#[test]
fn gradients_do_not_depend_on_whether_blocks_compute_again() {
    let config = ModelConfig { dropout: 0.2, n_layer: 3, ..llama() };
    let run = |recompute| {
        let lora = lora(BaseFormat::F16);
        let (mut engine, graph) = cpu(recording(&config, recompute).record_adapted(&config, &lora).unwrap(), &config);
        engine.load_frozen(&base_weights(&config)).unwrap();
        random_adapters(&mut engine);
        let step = Step { mode: Mode::Train, seed: 5, ..Step::DEFAULT };
        engine.replay(Pass::Forward, &step);
        engine.replay(Pass::Backward, &step);
        (wait(engine.read(graph.losses)).unwrap(), wait(engine.save(Field::Grad)).unwrap())
    };
    assert!(run(false) == run(true));
}

#[test]
fn only_adapters_have_gradients_and_moments() {
    let config = ModelConfig { n_embd: 96, n_inner: 384, vocab_size: 16, n_layer: 4, ..model() };
    let settings = TrainConfig { batch_size: 1, ..TrainConfig::default() };
    let memory = |program: Program| program.gpu_memory_bytes();
    let full = memory(inkling_core::train::record(&config, &settings).unwrap().0);
    let adapted = |format| {
        let lora = LoraConfig { r: 2, ..lora(format) };
        let (program, ..) = inkling_core::train::record_adapted(&config, &lora, &settings).unwrap();
        let trained: u64 = program.parameters().map(|spec| spec.numel() as u64).sum();
        // Of them all four fields; padding to the arenas' alignment aside.
        let adapters = 4 * 4 * trained;
        (program.frozen_bytes(), adapters, memory(program))
    };
    let parameters = config.num_parameters();
    let (half, adapters, with_half) = adapted(BaseFormat::F16);
    let (q4, _, with_q4) = adapted(BaseFormat::Q4);
    // 2 and 0.5625 bytes a weight of the blocks' matrices, which are nearly all.
    assert!((2.0..2.2).contains(&(half as f64 / parameters as f64)), "{half} of {parameters}");
    assert!((0.56..0.7).contains(&(q4 as f64 / parameters as f64)), "{q4} of {parameters}");
    assert_eq!(with_half - with_q4, half - q4);
    // Full training has 16 bytes a weight.
    let unpacked = 4 * 96 * 384;
    assert!(full - with_half > 16 * parameters - half - 2 * adapters - unpacked, "{full} and {with_half}");
}

#[test]
fn what_no_model_can_have_is_refused_by_name() {
    let config = model();
    let with = |change: &dyn Fn(&mut LoraConfig)| {
        let mut lora = lora(BaseFormat::F16);
        change(&mut lora);
        lora
    };
    for (lora, config, words) in [
        (with(&|lora| lora.r = 0), config.clone(), "r is 0; it must be between 1 and 24"),
        (with(&|lora| lora.r = 25), config.clone(), "r is 25; it must be between 1 and 24"),
        (with(&|lora| lora.lora_alpha = 0.0), config.clone(), "lora_alpha is 0"),
        (with(&|lora| lora.lora_alpha = f32::NAN), config.clone(), "lora_alpha is NaN"),
        (with(&|lora| lora.target_modules.clear()), config.clone(), "target_modules is empty"),
        (with(&|lora| lora.target_modules.push("q_proj".into())), config.clone(), "\"q_proj\""),
        (with(&|lora| lora.target_modules.push("proj".into())), config.clone(), "attn.c_attn, attn.c_proj, mlp.c_fc"),
        (
            with(&|_| {}),
            ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..config.clone() },
            "bigram",
        ),
    ] {
        let error = recording(&config, false).record_adapted(&config, &lora).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let half = Recording { activations: DType::F16, ..recording(&config, false) };
    assert!(half.record_adapted(&config, &lora(BaseFormat::F16)).unwrap_err().to_string().contains("precision"));
}

/// A text whose next letter follows from the last two.
fn data() -> Dataset {
    let text: String = (0..700_u32)
        .map(|i| ["one two three ", "three two one ", "two "][(i.wrapping_mul(i) % 7 % 3) as usize])
        .collect();
    let tokenizer = Tokenizer::from(CharTokenizer::from_text(&text).unwrap());
    Dataset::new(tokenizer.encode(&text).unwrap(), &tokenizer.characters()).unwrap()
}

fn small(data: &Dataset) -> ModelConfig {
    ModelConfig { vocab_size: data.vocab_size(), dropout: 0.1, activation_function: Activation::Relu, ..model() }
}

fn settings() -> TrainConfig {
    TrainConfig {
        batch_size: 4,
        max_steps: 40,
        warmup_steps: 5,
        gradient_accumulation_steps: 2,
        learning_rate: 1e-2,
        ..TrainConfig::default()
    }
}

fn losses(trainer: &mut Trainer, steps: usize) -> Vec<f64> {
    (0..steps).for_each(|_| wait(trainer.step()).unwrap());
    wait(trainer.reports()).unwrap().iter().map(|report| report.loss).collect()
}

#[test]
fn adapters_learn_and_nothing_else_changes() {
    let data = data();
    let model = small(&data);
    let base = base_weights(&model);
    for format in [BaseFormat::F16, BaseFormat::Q4] {
        let lora = lora(format);
        let adaptation = Adaptation { lora: &lora, model: &model, base: &base };
        let device = Device::Cpu(Pool::new(2));
        let mut trainer = wait(Trainer::adapt(adaptation, settings(), data.clone(), device, PLENTY)).unwrap();
        let start = wait(trainer.weights()).unwrap();
        let frozen = wait(trainer.engine().save_frozen()).unwrap();
        assert!(start == frozen, "at first adapters change nothing");
        let before = wait(trainer.evaluate(Split::Val)).unwrap().loss;
        losses(&mut trainer, 40);
        let after = wait(trainer.evaluate(Split::Val)).unwrap().loss;
        assert!(after < before - 0.15, "{before} to {after}");
        assert!(wait(trainer.engine().save_frozen()).unwrap() == frozen);
        for (name, tensor) in wait(trainer.weights()).unwrap() {
            assert_eq!(tensor == frozen[&name], !inkling_core::lora::is_block_matrix(&name), "{name}");
        }
    }
}

#[test]
fn an_interrupted_and_resumed_run_ends_identical() {
    let data = data();
    let model = small(&data);
    let (base, lora) = (base_weights(&model), lora(BaseFormat::Q4));
    let adaptation = Adaptation { lora: &lora, model: &model, base: &base };
    for settings in [settings(), TrainConfig { ema_decay: 0.9, ..settings() }] {
        let new = |threads| {
            let device = Device::Cpu(Pool::new(threads));
            wait(Trainer::adapt(adaptation, settings.clone(), data.clone(), device, PLENTY)).unwrap()
        };
        let mut straight = new(2);
        let want = losses(&mut straight, 12);
        let mut first = new(1);
        let mut got = losses(&mut first, 5);
        let adapters = wait(first.trained()).unwrap();
        let state: TrainingState = wait(first.training_state()).unwrap();
        assert_eq!(adapters.len(), lora.parameters(&model).len());
        let device = Device::Cpu(Pool::new(2));
        let second = Trainer::resume_adapted(adaptation, &adapters, &state, data.clone(), device, PLENTY);
        let mut second = wait(second).unwrap();
        got.extend(losses(&mut second, 7));
        assert_eq!(got, want);
        assert!(wait(second.weights()).unwrap() == wait(straight.weights()).unwrap());
    }
}

#[test]
fn mixed_precision_is_refused() {
    let data = data();
    let model = small(&data);
    let (base, lora) = (base_weights(&model), lora(BaseFormat::F16));
    let adaptation = Adaptation { lora: &lora, model: &model, base: &base };
    let settings = TrainConfig { precision: TrainingPrecision::F16, ..settings() };
    let trainer = Trainer::adapt(adaptation, settings, data, Device::Cpu(Pool::new(1)), PLENTY);
    assert!(wait(trainer).unwrap_err().to_string().contains("precision"));
}
