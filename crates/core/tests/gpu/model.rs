//! Whole models on the GPU against the CPU engine: one step in detail, then runs.

use inkling_core::checkpoint::TrainingState;
use inkling_core::config::Normalization;
use inkling_core::cpu::Pool;
use inkling_core::error::GpuError;
use inkling_core::gpu::GpuDevice;
use inkling_core::lora::{BaseFormat, LoraConfig};
use inkling_core::nn::attention::Probs;
use inkling_core::nn::{Graph, Recording};
use inkling_core::presets;
use inkling_core::program::{DType, Field, Pass, Training};
use inkling_core::step::{Mode, Step};
use inkling_core::train::config::{Order, Protocol};
use inkling_core::train::{Dataset, Split, StepReport, TrainConfig, Trainer, TrainingPrecision};
use inkling_core::{Activation, Architecture, Device, Engine, Error, ModelConfig, Weights};

use crate::variants::variants;
use crate::{Tolerance, compare, device, ids, noise, wait};

const PLENTY: u64 = 1 << 30;
const BATCH: usize = 3;
const VOCAB: usize = 65;

/// The presets, shrunken where a software adapter would take minutes; sizes are odd on purpose.
fn models() -> Vec<(&'static str, ModelConfig)> {
    let gpt = ModelConfig {
        vocab_size: VOCAB,
        n_positions: 24,
        n_embd: 48,
        n_layer: 2,
        n_head: 3,
        n_kv_head: 3,
        n_inner: 192,
        ..ModelConfig::default()
    };
    vec![
        ("bigram", ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..gpt.clone() }),
        (
            "micro",
            ModelConfig {
                activation_function: Activation::Relu,
                n_positions: 32,
                n_embd: 64,
                n_head: 4,
                n_kv_head: 4,
                n_inner: 256,
                ..gpt.clone()
            },
        ),
        ("tiny", gpt.clone()),
        (
            "minigpt",
            ModelConfig {
                activation_function: Activation::Gelu,
                tie_word_embeddings: false,
                lm_head_bias: true,
                dropout: 0.1,
                n_positions: 19,
                n_embd: 40,
                n_head: 2,
                n_kv_head: 2,
                n_inner: 100,
                ..gpt.clone()
            },
        ),
        ("rmsnorm", ModelConfig { normalization: Normalization::RmsNorm, qk_norm: true, bias: false, ..gpt.clone() }),
        ("layer norm without bias", ModelConfig { bias: false, ..gpt }),
    ]
}

fn model(name: &str) -> ModelConfig {
    models().into_iter().find(|(n, _)| *n == name).expect("one of the models above").1
}

/// Two engines that differ by the order of their sums and the last bits of exp and tanh, through a dozen layers.
const MODEL: Tolerance = Tolerance { relative: 2e-5, of_rms: 2e-5 };

#[test]
fn logits_losses_and_every_gradient_are_the_cpus() {
    let Some(device) = device() else { return };
    let base = ModelConfig { n_head: 6, n_kv_head: 6, dropout: 0.1, ..model("tiny") };
    for (name, config) in models().into_iter().chain(variants(&base)) {
        let recording = Recording {
            batch: BATCH,
            context: config.n_positions,
            training: Training::Yes,
            probs: Probs::Skip,
            activations: DType::F32,
            recompute: false,
        };
        let run = |device: Device| {
            let (program, graph) = recording.record(&config).unwrap();
            let mut engine = wait(device.load(program)).unwrap();
            let step = start(&mut engine, &graph, &config);
            engine.replay(Pass::Forward, &step);
            // Twice: gradients of parameters add up.
            engine.replay(Pass::Backward, &step);
            engine.replay(Pass::Backward, &step);
            let read = |tensor| wait(engine.read(tensor)).unwrap();
            let mut found = vec![
                ("logits".to_owned(), read(graph.logits.unwrap())),
                ("losses".to_owned(), read(graph.losses)),
                ("loss".to_owned(), read(graph.loss)),
            ];
            let gradients = wait(engine.save(Field::Grad)).unwrap();
            found.extend(gradients.into_iter().map(|(parameter, t)| (format!("gradient of {parameter}"), t.data)));
            found
        };
        let (cpu, gpu) = (run(Device::Cpu(Pool::new(2))), run(Device::Gpu(device.clone())));
        for ((what, expected), (_, found)) in cpu.iter().zip(&gpu) {
            compare(&format!("{name}: {what}"), expected, found, MODEL);
        }
    }
}

#[test]
fn adapters_of_frozen_models_have_the_cpus_gradients() {
    let Some(device) = device() else { return };
    let base = ModelConfig { n_head: 6, n_kv_head: 6, dropout: 0.1, ..model("tiny") };
    let (_, llama) = variants(&base).into_iter().find(|(name, _)| *name == "llama").expect("one of the variants");
    for (name, config, format, recompute) in
        [("tiny", &base, BaseFormat::F16, true), ("llama", &llama, BaseFormat::Q4, false)]
    {
        let target_modules = ["c_attn", "c_proj", "c_fc"].map(str::to_owned).to_vec();
        let lora = LoraConfig { r: 3, lora_alpha: 6.0, target_modules, base: format };
        let (context, training) = (config.n_positions, Training::Yes);
        let (probs, activations) = (Probs::Skip, DType::F32);
        let recording = Recording { batch: BATCH, context, training, probs, activations, recompute };
        let weights = {
            let (program, _) = recording.record(config).unwrap();
            let mut engine = Engine::cpu(program, Pool::new(1));
            engine.initialize(8);
            wait(engine.save(Field::Value)).unwrap()
        };
        let run = |device: Device| {
            let (program, graph) = recording.record_adapted(config, &lora).unwrap();
            let mut engine = wait(device.load(program)).unwrap();
            engine.load_frozen(&weights).unwrap();
            let step = start(&mut engine, &graph, config);
            // Updates of the size of weights.
            let mut adapters = wait(engine.save(Field::Value)).unwrap();
            for (i, adapter) in adapters.values_mut().enumerate() {
                adapter.data = noise(adapter.data.len(), i as u32).into_iter().map(|x| 0.1 * x).collect();
            }
            engine.load(Field::Value, &adapters).unwrap();
            engine.replay(Pass::Forward, &step);
            // Twice: gradients of parameters add up.
            engine.replay(Pass::Backward, &step);
            engine.replay(Pass::Backward, &step);
            let gradients = wait(engine.save(Field::Grad)).unwrap();
            (wait(engine.read(graph.losses)).unwrap(), gradients, wait(engine.save_frozen()).unwrap())
        };
        let (cpu, gpu) = (run(Device::Cpu(Pool::new(2))), run(Device::Gpu(device.clone())));
        compare(&format!("{name}: losses"), &cpu.0, &gpu.0, MODEL);
        for (parameter, gradient) in &cpu.1 {
            compare(&format!("{name}: gradient of {parameter}"), &gradient.data, &gpu.1[parameter].data, MODEL);
        }
        assert!(cpu.2 == gpu.2, "{name}: the base");
    }
}

#[test]
fn blocks_that_compute_again_give_the_same_gradients() {
    let Some(device) = device() else { return };
    let (_, llama) = variants(&ModelConfig { n_head: 6, n_kv_head: 6, dropout: 0.1, ..model("tiny") })
        .into_iter()
        .find(|(name, _)| *name == "qwen 3")
        .expect("one of the variants");
    for activations in if device.capabilities().shader_f16 { vec![DType::F32, DType::F16] } else { vec![DType::F32] } {
        let run = |recompute| {
            let (context, training) = (llama.n_positions, Training::Yes);
            let recording = Recording { batch: BATCH, context, training, probs: Probs::Skip, activations, recompute };
            let (program, graph) = recording.record(&llama).unwrap();
            let mut engine = wait(Device::Gpu(device.clone()).load(program)).unwrap();
            let step = start(&mut engine, &graph, &llama);
            engine.replay(Pass::Load, &step);
            engine.replay(Pass::Forward, &step);
            engine.replay(Pass::Backward, &step);
            wait(engine.save(Field::Grad)).unwrap()
        };
        assert!(run(false) == run(true), "{activations:?}");
    }
}

/// Weights and tokens of a step of training.
fn start(engine: &mut Engine, graph: &Graph, config: &ModelConfig) -> Step {
    engine.initialize(5);
    let (rows, vocab) = (graph.batch * graph.context, config.vocab_size as u32);
    engine.write_ids(graph.tokens, &ids(rows, vocab, 1));
    engine.write_ids(graph.targets, &ids(rows, vocab, 2));
    Step { mode: Mode::Train, seed: 9, counter: 4, loss_scale: 0.5, ..Step::default() }
}

/// Losses and gradients of a model whose logits are held `held` rows at a time.
fn chunked(device: Device, config: &ModelConfig, activations: DType, held: usize) -> (Vec<f32>, Weights) {
    let (context, training) = (config.n_positions, Training::Yes);
    let recording = Recording { batch: BATCH, context, training, probs: Probs::Skip, activations, recompute: false };
    let (program, graph) = recording.record_within(config, 4 * held * config.vocab_size).unwrap();
    assert_eq!(graph.logits.is_none(), held < BATCH * context, "chunks");
    let scaler = program.loss_scaler();
    let mut engine = wait(device.load(program)).unwrap();
    let step = start(&mut engine, &graph, config);
    let scale = scaler.map_or(1.0, |scaler| {
        engine.write(scaler, &[4096.0, 0.0]);
        4096.0
    });
    for pass in [Pass::Load, Pass::Forward, Pass::Backward] {
        engine.replay(pass, &step);
    }
    let mut losses = wait(engine.read(graph.losses)).unwrap();
    losses.extend(wait(engine.read(graph.loss)).unwrap());
    let mut gradients = wait(engine.save(Field::Grad)).unwrap();
    gradients.values_mut().flat_map(|gradient| &mut gradient.data).for_each(|x| *x /= scale);
    (losses, gradients)
}

#[test]
fn logits_in_chunks_train_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let gpu = || Device::Gpu(device.clone());
    // More tokens than the fused head takes, in lines that are no whole quads; 300 rows in chunks of 128, 128 and 44.
    for tie_word_embeddings in [true, false] {
        let config = ModelConfig {
            vocab_size: 203,
            n_positions: 100,
            n_embd: 24,
            n_layer: 1,
            n_inner: 48,
            tie_word_embeddings,
            lm_head_bias: !tie_word_embeddings,
            ..model("tiny")
        };
        let (losses, gradients) = chunked(cpu(), &config, DType::F32, 300);
        for held in [300, 128] {
            let what = format!("{held} rows of logits, tied {tie_word_embeddings}");
            let (found, found_gradients) = chunked(gpu(), &config, DType::F32, held);
            compare(&what, &losses, &found, MODEL);
            compare_weights(&what, &gradients, &found_gradients, 1e-5);
            if device.capabilities().shader_f16 {
                let (found, found_gradients) = chunked(gpu(), &config, DType::F16, held);
                compare(&format!("{what}, float16"), &losses, &found, Tolerance { relative: 2e-3, of_rms: 0.0 });
                compare_weights(&format!("{what}, float16"), &gradients, &found_gradients, 2e-3);
            }
        }
    }
}

/// Text with something to learn: each token follows from the last one, most of the time.
fn data() -> Dataset {
    let noise = ids(1500, 100, 3);
    let tokens = noise.iter().scan(0, |token, &draw| {
        *token = if draw < 80 { (*token * 7 + 3) % VOCAB as u32 } else { draw % VOCAB as u32 };
        Some(*token)
    });
    Dataset::new(tokens.collect(), &[1; VOCAB]).unwrap()
}

fn settings() -> TrainConfig {
    // Less than the norm of these models' gradients: this clips.
    TrainConfig { batch_size: BATCH, max_steps: 40, warmup_steps: 4, max_grad_norm: 0.1, ..TrainConfig::default() }
}

fn cpu() -> Device {
    Device::Cpu(Pool::new(2))
}

fn trainer(model: &ModelConfig, settings: &TrainConfig, device: Device) -> Trainer {
    wait(Trainer::new(model.clone(), settings.clone(), data(), device, PLENTY)).unwrap()
}

fn resume(model: &ModelConfig, (weights, state): &(Weights, TrainingState), device: Device) -> Trainer {
    wait(Trainer::resume(model.clone(), weights, state, data(), device, PLENTY)).unwrap()
}

fn checkpoint(trainer: &mut Trainer) -> (Weights, TrainingState) {
    (wait(trainer.weights()).unwrap(), wait(trainer.training_state()).unwrap())
}

fn train(trainer: &mut Trainer, steps: usize) -> Vec<StepReport> {
    (0..steps).for_each(|_| wait(trainer.step()).unwrap());
    wait(trainer.reports()).unwrap()
}

/// Losses of the same run on two engines: some ten steps are no further apart than one, a few roundings.
const SAME_RUN: f64 = 1e-5;
/// And in float16: operands of 11 bits have errors of 2^-12, which average out over the sums of a product.
const HALF_RUN: f64 = 5e-4;

/// Compares losses and gradient norms of a few updates; errors grow from one to the next.
fn compare_reports(what: &str, expected: &[StepReport], found: &[StepReport], relative: f64) {
    assert_eq!(expected.len(), found.len(), "{what}");
    for (e, f) in expected.iter().zip(found) {
        assert_eq!((e.step, e.skipped, e.learning_rate), (f.step, f.skipped, f.learning_rate), "{what}");
        assert!((e.loss - f.loss).abs() <= relative * e.loss, "{what}: expected {e:?}, found {f:?}");
        let difference = f64::from(e.grad_norm - f.grad_norm).abs();
        assert!(difference <= 10.0 * relative * f64::from(e.grad_norm), "{what}: expected {e:?}, found {f:?}");
    }
}

/// Compares weights after a few updates by the length of their difference.
fn compare_weights(what: &str, expected: &Weights, found: &Weights, relative: f64) {
    for (name, expected) in expected {
        let (mut expected, mut found) = (expected.data.clone(), found[name].data.clone());
        if name.ends_with("c_attn.bias") {
            // The key's bias has no gradient but rounding noise, which Adam turns into steps; nothing depends on it.
            let third = expected.len() / 3;
            expected.drain(third..2 * third);
            found.drain(third..2 * third);
        }
        let difference: f64 = expected.iter().zip(&found).map(|(e, f)| f64::from(e - f).powi(2)).sum();
        let size: f64 = expected.iter().map(|&e| f64::from(e).powi(2)).sum();
        assert!(
            difference.sqrt() <= relative * size.sqrt(),
            "{what}: {name} differs by {}",
            (difference / size).sqrt()
        );
    }
}

/// Runs that differ in what the update pass does.
fn variations() -> Vec<(&'static str, TrainConfig)> {
    vec![
        ("minigpt", settings()),
        ("bigram", TrainConfig { max_grad_norm: 0.0, ..settings() }),
        ("tiny", TrainConfig { gradient_accumulation_steps: 3, order: Order::Shuffled, ..settings() }),
        ("minigpt", TrainConfig { ema_decay: 0.8, eval_protocol: Protocol::Sampled, eval_batches: 3, ..settings() }),
    ]
}

#[test]
fn ten_updates_and_an_evaluation_are_the_cpus() {
    let Some(device) = device() else { return };
    for (name, settings) in variations() {
        let (model, what) = (model(name), format!("{name}, {settings:?}"));
        let mut on_cpu = trainer(&model, &settings, cpu());
        let mut on_gpu = trainer(&model, &settings, Device::Gpu(device.clone()));
        let (expected, found) = (train(&mut on_cpu, 10), train(&mut on_gpu, 10));
        compare_reports(&what, &expected, &found, SAME_RUN);
        assert!(settings.max_grad_norm == 0.0 || expected.iter().all(|report| report.grad_norm > 0.1), "{expected:?}");
        let [expected, found] = [&mut on_cpu, &mut on_gpu].map(|trainer| wait(trainer.evaluate(Split::Val)).unwrap());
        assert_eq!((expected.tokens, expected.protocol), (found.tokens, found.protocol));
        assert!((expected.loss - found.loss).abs() <= SAME_RUN * expected.loss, "{what}: {expected:?}, {found:?}");
        compare_weights(&what, &wait(on_cpu.weights()).unwrap(), &wait(on_gpu.weights()).unwrap(), 1e-4);
    }
}

/// The presets that a software adapter can do at their own size, one sequence at a time: losses and gradient norms.
#[test]
fn small_presets_learn_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let small = presets::all().into_iter().filter(|preset| preset.model.num_parameters() < 1_000_000);
    let mut seen = 0;
    for presets::Preset { name, model, train: settings, .. } in small {
        let settings = TrainConfig { batch_size: 1, ..settings };
        let mut on_cpu = trainer(&model, &settings, cpu());
        let mut on_gpu = trainer(&model, &settings, Device::Gpu(device.clone()));
        compare_reports(name, &train(&mut on_cpu, 3), &train(&mut on_gpu, 3), SAME_RUN);
        seen += 1;
    }
    assert_eq!(seen, 7, "bigram, micro, nano, tiny, small, modern, minigpt-small");
}

#[test]
fn a_repeated_run_is_identical_however_it_is_watched() {
    let Some(device) = device() else { return };
    for (name, settings) in variations() {
        let model = model(name);
        let run = |watched: bool| {
            let mut trainer = trainer(&model, &settings, Device::Gpu(device.clone()));
            let mut reports = Vec::new();
            for _ in 0..3 {
                reports.extend(train(&mut trainer, 1));
                if watched {
                    wait(trainer.evaluate(Split::Val)).unwrap();
                    checkpoint(&mut trainer);
                }
            }
            (reports, wait(trainer.weights()).unwrap())
        };
        assert!(run(false) == run(true), "{name}, {settings:?}");
    }
}

#[test]
fn more_updates_than_the_ring_holds_are_all_reported() {
    let Some(device) = device() else { return };
    let settings = TrainConfig { max_steps: 150, learning_rate: 3e-2, max_grad_norm: 0.0, ..settings() };
    let mut trainer = trainer(&model("bigram"), &settings, Device::Gpu(device));
    let reports = train(&mut trainer, 150);
    assert!(reports.iter().map(|report| report.step).eq(1..=150));
    assert!(reports.iter().all(|report| report.loss > 0.0 && report.grad_norm > 0.0));
    assert!(reports[149].loss < 0.9 * reports[0].loss, "{:?}", reports[149]);
}

#[test]
fn a_run_goes_on_on_either_engine() {
    let Some(device) = device() else { return };
    let gpu = || Device::Gpu(device.clone());
    for (name, settings) in variations() {
        let model = model(name);
        let mut straight = trainer(&model, &settings, gpu());
        let first = train(&mut straight, 4);
        let saved = checkpoint(&mut straight);
        let rest = train(&mut straight, 4);
        let what = format!("{name}, {settings:?}");
        assert!(train(&mut resume(&model, &saved, gpu()), 4) == rest, "{what}: GPU to GPU is exact");
        compare_reports(&format!("{what}: GPU to CPU"), &rest, &train(&mut resume(&model, &saved, cpu()), 4), SAME_RUN);

        let mut on_cpu = trainer(&model, &settings, cpu());
        compare_reports(&what, &first, &train(&mut on_cpu, 4), SAME_RUN);
        let saved = checkpoint(&mut on_cpu);
        compare_reports(&format!("{what}: CPU to GPU"), &rest, &train(&mut resume(&model, &saved, gpu()), 4), SAME_RUN);
    }
}

#[test]
fn an_update_is_one_submit_for_each_of_its_batches() {
    if device().is_none() {
        return;
    }
    // Of its own: what others run on a device moves its estimate of how long work takes, by which submits are split.
    let device = wait(GpuDevice::request()).unwrap();
    let model =
        ModelConfig { n_positions: 4, n_embd: 8, n_head: 2, n_kv_head: 2, n_inner: 8, n_layer: 1, ..model("tiny") };
    let mut trainers = [1, 3].map(|gradient_accumulation_steps| {
        let settings = TrainConfig { gradient_accumulation_steps, ..settings() };
        let mut trainer = trainer(&model, &settings, Device::Gpu(device.clone()));
        let submits = |trainer: &Trainer| trainer.engine().gpu_costs(Pass::Update).unwrap().submits_so_far;
        let before = submits(&trainer);
        (0..20).for_each(|_| wait(trainer.step()).unwrap());
        assert_eq!(submits(&trainer) - before, 20 * gradient_accumulation_steps as u64);
        trainer
    });
    trainers.iter_mut().for_each(|trainer| assert_eq!(wait(trainer.reports()).unwrap().len(), 20));
}

#[test]
fn updates_without_a_finite_gradient_are_left_out_and_end_the_run() {
    let Some(device) = device() else { return };
    for settings in [settings(), TrainConfig { ema_decay: 0.5, ..settings() }] {
        let mut trainer = trainer(&model("tiny"), &settings, Device::Gpu(device.clone()));
        let before = wait(trainer.weights()).unwrap();
        let mut spoilt = before.clone();
        spoilt.get_mut("ln_f.bias").unwrap().data[0] = f32::INFINITY;
        trainer.engine_mut().load(Field::Value, &spoilt).unwrap();
        let reports = train(&mut trainer, 9);
        assert!(reports.iter().all(|report| report.skipped && !report.grad_norm.is_finite()), "{reports:?}");
        wait(trainer.step()).unwrap();
        let error = wait(trainer.reports()).unwrap_err();
        assert!(matches!(error, Error::Diverged { step: 10, .. }), "{error}");
        let want = if settings.ema_decay > 0.0 { before } else { spoilt };
        assert!(wait(trainer.weights()).unwrap() == want);
    }
}

fn half(settings: TrainConfig) -> TrainConfig {
    TrainConfig { precision: TrainingPrecision::F16, ..settings }
}

/// The shared device, if it computes in float16; if not, that it says so is all there is to test.
fn half_device() -> Option<GpuDevice> {
    let device = device()?;
    if device.capabilities().shader_f16 {
        return Some(device);
    }
    let refused = Trainer::new(model("tiny"), half(settings()), data(), Device::Gpu(device), PLENTY);
    let error = wait(refused).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Gpu(GpuError::Feature { feature: "shader-f16", .. })), "{error}");
    None
}

#[test]
fn float16_training_follows_float32() {
    let Some(device) = half_device() else { return };
    // A bigram has nothing that could be float16.
    for (name, settings) in variations().into_iter().filter(|(name, _)| *name != "bigram") {
        let (model, what) = (model(name), format!("{name}, {settings:?}"));
        let [mut full, mut mixed] =
            [settings.clone(), half(settings)].map(|settings| trainer(&model, &settings, Device::Gpu(device.clone())));
        let (expected, found) = (train(&mut full, 10), train(&mut mixed, 10));
        compare_reports(&what, &expected, &found, HALF_RUN);
        let [expected, found] = [&mut full, &mut mixed].map(|trainer| wait(trainer.evaluate(Split::Val)).unwrap().loss);
        assert!((expected - found).abs() <= HALF_RUN * expected, "{what}: validation {expected} and {found}");
    }
}

#[test]
fn float16_training_is_repeated_and_resumed_exactly() {
    let Some(device) = half_device() else { return };
    for settings in [half(settings()), half(TrainConfig { ema_decay: 0.8, ..settings() })] {
        let gpu = || Device::Gpu(device.clone());
        let model = model("minigpt");
        let mut straight = trainer(&model, &settings, gpu());
        train(&mut straight, 4);
        let saved = checkpoint(&mut straight);
        wait(straight.evaluate(Split::Val)).unwrap();
        let rest = train(&mut straight, 4);
        let mut resumed = resume(&model, &saved, gpu());
        assert!(train(&mut resumed, 4) == rest, "{settings:?}");
        assert_eq!(checkpoint(&mut resumed).1.state, checkpoint(&mut straight).1.state, "{settings:?}");
    }
}

#[test]
fn a_scale_of_the_loss_that_is_too_large_is_lowered() {
    let Some(device) = half_device() else { return };
    let model = model("tiny");
    let mut start = trainer(&model, &half(settings()), Device::Gpu(device.clone()));
    let (weights, mut state) = checkpoint(&mut start);
    // The largest gradient of a logit is this over the 72 tokens of a batch: twice too large for float16, twice over.
    state.state["loss_scale"]["scale"] = 16_777_216.0.into();
    let mut trainer = resume(&model, &(weights, state), Device::Gpu(device));
    let reports = train(&mut trainer, 5);
    let skipped: Vec<bool> = reports.iter().map(|report| report.skipped).collect();
    assert_eq!(skipped, [true, true, false, false, false], "{reports:?}");
    wait(trainer.training_state()).unwrap();
    let state = trainer.state();
    assert_eq!(state.skips, 0, "the search for a scale is no divergence");
    // Training goes on as if nothing had been: only the schedule has moved.
    assert!(reports[4].loss < reports[0].loss, "{reports:?}");
}

#[test]
fn a_lost_device_is_an_error_and_the_run_goes_on_on_another() {
    let Some(device) = device() else { return };
    let model = model("minigpt");
    let mut straight = trainer(&model, &settings(), Device::Gpu(device.clone()));
    train(&mut straight, 3);
    let want = train(&mut straight, 3);

    let doomed = wait(GpuDevice::request()).unwrap();
    let mut lost = trainer(&model, &settings(), Device::Gpu(doomed.clone()));
    train(&mut lost, 3);
    let saved = checkpoint(&mut lost);
    wait(lost.step()).unwrap();
    doomed.destroy();
    let is_lost = |error: &Error| matches!(error, Error::Gpu(GpuError::Lost(_)));
    let error = wait(lost.reports()).unwrap_err();
    assert!(is_lost(&error), "{error}");
    // Whoever does not look keeps getting the same answer.
    for _ in 0..3 {
        wait(lost.step()).unwrap();
        let error = wait(lost.reports()).unwrap_err();
        assert!(is_lost(&error), "{error}");
    }
    for error in [wait(lost.evaluate(Split::Val)).unwrap_err(), wait(lost.weights()).unwrap_err()] {
        assert!(is_lost(&error), "{error}");
    }
    drop(lost);
    assert!(is_lost(&wait(Trainer::new(model.clone(), settings(), data(), Device::Gpu(doomed), PLENTY)).unwrap_err()));
    assert!(train(&mut resume(&model, &saved, Device::Gpu(device)), 3) == want);
}
