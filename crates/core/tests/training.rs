//! Runs as wholes: repeatable to the bit, whatever the thread count, interrupted or not; and they learn.

use inkling_core::checkpoint::{Checkpoint, TrainingState};
use inkling_core::cpu::Pool;
use inkling_core::program::{Field, Pass, Precision};
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::step::Step;
use inkling_core::tokenizer::{CharTokenizer, Tokenizer};
use inkling_core::train::config::{Order, Protocol};
use inkling_core::train::{Dataset, Progress, Split, TrainConfig, Trainer, TrainingPrecision};
use inkling_core::{Device, Engine, Error, ModelConfig, Weights};

const PLENTY: u64 = 1 << 30;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// A text whose next letter follows from the last two.
fn text() -> String {
    (0..700_u32).map(|i| ["one two three ", "three two one ", "two "][(i.wrapping_mul(i) % 7 % 3) as usize]).collect()
}

fn data(text: &str) -> (Dataset, Tokenizer) {
    let tokenizer = Tokenizer::from(CharTokenizer::from_text(text).unwrap());
    let ids = tokenizer.encode(text).unwrap();
    (Dataset::new(ids, &tokenizer.characters()).unwrap(), tokenizer)
}

fn model(vocab_size: usize) -> ModelConfig {
    ModelConfig {
        vocab_size,
        n_positions: 24,
        n_embd: 24,
        n_layer: 2,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 48,
        dropout: 0.1,
        ..ModelConfig::default()
    }
}

fn settings() -> TrainConfig {
    TrainConfig { batch_size: 6, max_steps: 30, warmup_steps: 5, eval_steps: 10, ..TrainConfig::default() }
}

fn trainer(settings: &TrainConfig, threads: usize) -> Trainer {
    let (data, tokenizer) = data(&text());
    let model = model(tokenizer.vocab_size());
    wait(Trainer::new(model, settings.clone(), data, Device::Cpu(Pool::new(threads)), PLENTY)).unwrap()
}

fn losses(trainer: &mut Trainer, steps: usize) -> Vec<f64> {
    (0..steps).for_each(|_| wait(trainer.step()).unwrap());
    wait(trainer.reports()).unwrap().iter().map(|report| report.loss).collect()
}

/// Variations that each keep state of their own.
fn variations() -> Vec<TrainConfig> {
    vec![
        settings(),
        TrainConfig { order: Order::Shuffled, ..settings() },
        TrainConfig { gradient_accumulation_steps: 3, ..settings() },
        TrainConfig { ema_decay: 0.9, eval_protocol: Protocol::Sampled, eval_batches: 3, ..settings() },
    ]
}

#[test]
fn a_repeated_run_is_identical_whatever_the_thread_count() {
    for settings in variations() {
        let run = |threads| {
            let mut trainer = trainer(&settings, threads);
            let losses = losses(&mut trainer, 12);
            let validation = wait(trainer.evaluate(Split::Val)).unwrap().loss;
            (losses, validation, wait(trainer.weights()).unwrap())
        };
        let once = run(1);
        for threads in [1, 2, 5] {
            assert!(run(threads) == once, "{threads} threads, {settings:?}");
        }
    }
}

#[test]
fn slices_change_nothing_wherever_they_end() {
    for settings in variations() {
        let whole = {
            let mut trainer = trainer(&settings, 1);
            let losses = losses(&mut trainer, 6);
            (losses, wait(trainer.evaluate(Split::Val)).unwrap(), wait(trainer.weights()).unwrap())
        };
        for every in [1, 7, 1000] {
            let mut trainer = trainer(&settings, 1);
            let (mut asked, mut slices) = (0, 0);
            let mut enough = || {
                asked += 1;
                asked % every == 0
            };
            for step in 1..=6 {
                while wait(trainer.advance(&mut enough)).unwrap() != Progress::Whole {
                    assert!(trainer.is_within_an_update() && trainer.state().step == step - 1);
                    slices += 1;
                }
                assert!(!trainer.is_within_an_update() && trainer.state().step == step);
            }
            let evaluation = loop {
                if let Some(evaluation) = wait(trainer.evaluate_some(Split::Val, &mut enough)).unwrap() {
                    break evaluation;
                }
                slices += 1;
            };
            let losses = wait(trainer.reports()).unwrap().iter().map(|report| report.loss).collect::<Vec<_>>();
            assert!((losses, evaluation, wait(trainer.weights()).unwrap()) == whole, "every {every}, {settings:?}");
            assert!(slices >= 200 / every, "{slices} slices with every {every}");
        }
    }
}

#[test]
fn a_run_goes_back_exactly_even_from_the_middle_of_an_update_or_an_evaluation() {
    for settings in variations() {
        let mut straight = trainer(&settings, 1);
        losses(&mut straight, 5);
        let (weights, state) = through_files(&mut straight);
        let want = losses(&mut straight, 6);
        // From the middle of an update, and of an evaluation.
        for evaluates in [false, true] {
            let mut once = || true;
            match evaluates {
                false => assert_eq!(wait(straight.advance(&mut once)).unwrap(), Progress::Partly),
                true => assert!(wait(straight.evaluate_some(Split::Val, &mut once)).unwrap().is_none()),
            }
            wait(straight.rewind(&weights, &state)).unwrap();
            assert_eq!(straight.state().step, 5);
            assert_eq!(losses(&mut straight, 6), want, "{settings:?}");
        }
    }
}

#[test]
fn another_seed_is_another_run() {
    let other = TrainConfig { seed: 1, ..settings() };
    assert_ne!(losses(&mut trainer(&settings(), 1), 3), losses(&mut trainer(&other, 1), 3));
}

/// Saves to files and reads them back, as an interrupted process would.
fn through_files(trainer: &mut Trainer) -> (Weights, TrainingState) {
    let checkpoint = Checkpoint {
        config: trainer.model().clone(),
        weights: wait(trainer.weights()).unwrap(),
        tokenizer: data(&text()).1,
        training: Some(wait(trainer.training_state()).unwrap()),
    };
    let files = checkpoint.to_files().unwrap();
    let read = |name: &str| Ok(files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone()));
    let back = Checkpoint::from_files(read).unwrap();
    (back.weights, back.training.unwrap())
}

#[test]
fn an_interrupted_and_resumed_run_ends_identical() {
    for settings in variations() {
        let mut straight = trainer(&settings, 2);
        let want = losses(&mut straight, 20);
        let mut first = trainer(&settings, 2);
        let mut got = losses(&mut first, 7);
        let validation = wait(first.evaluate(Split::Val)).unwrap().loss;
        first.record_validation(validation);
        let (weights, state) = through_files(&mut first);
        drop(first);
        let data = data(&text()).0;
        let model = model(data.vocab_size());
        let mut second =
            wait(Trainer::resume(model, &weights, &state, data, Device::Cpu(Pool::new(1)), PLENTY)).unwrap();
        assert_eq!(second.state().step, 7);
        assert_eq!(second.state().best.unwrap().loss, validation);
        assert_eq!(wait(second.evaluate(Split::Val)).unwrap().loss, validation);
        got.extend(losses(&mut second, 13));
        assert_eq!(got, want, "{settings:?}");
        assert!(wait(second.weights()).unwrap() == wait(straight.weights()).unwrap());
    }
}

#[test]
fn accumulated_micro_batches_equal_one_large_batch() {
    // Without dropout (each micro-batch has its own masks) and with shuffled order (which runs through the windows in one
    // sequence), three batches of 4 hold the windows of one batch of 12.
    let run = |batch_size, gradient_accumulation_steps| {
        let settings = TrainConfig { batch_size, gradient_accumulation_steps, order: Order::Shuffled, ..settings() };
        let (data, tokenizer) = data(&text());
        let model = ModelConfig { dropout: 0.0, ..model(tokenizer.vocab_size()) };
        let mut trainer = wait(Trainer::new(model, settings, data, Device::Cpu(Pool::new(2)), PLENTY)).unwrap();
        losses(&mut trainer, 10)
    };
    for (one, many) in run(12, 1).iter().zip(run(4, 3)) {
        assert!((one - many).abs() < 1e-5, "{one} {many}");
    }
}

#[test]
fn training_learns_and_the_sample_reads_like_the_text() {
    let settings = TrainConfig { max_steps: 400, learning_rate: 5e-3, ..settings() };
    let (data, tokenizer) = data(&text());
    let model = ModelConfig { dropout: 0.0, ..model(tokenizer.vocab_size()) };
    let mut trainer = wait(Trainer::new(model, settings, data, Device::Cpu(Pool::new(2)), PLENTY)).unwrap();
    let start = wait(trainer.evaluate(Split::Val)).unwrap().loss;
    let vocab = trainer.model().vocab_size as f64;
    assert!((start - vocab.ln()).abs() < 0.1, "an untrained model knows nothing: {start}");
    while !trainer.is_finished() {
        wait(trainer.step()).unwrap();
    }
    let end = wait(trainer.evaluate(Split::Val)).unwrap().loss;
    assert!(end < 0.2, "val loss {end}");

    let mut generator = wait(Generator::new(
        trainer.model(),
        &wait(trainer.weights()).unwrap(),
        Precision::Half,
        Device::Cpu(Pool::new(1)),
        PLENTY,
    ))
    .unwrap();
    let sampling = SamplerConfig { temperature: 0.5, ..SamplerConfig::default() };
    let mut ids = tokenizer.encode("one ").unwrap();
    generator.start(&ids).unwrap();
    ids.extend(wait(generator.generate(&sampling, 200)).unwrap());
    let sample = tokenizer.decode(&ids).unwrap();
    let words: Vec<&str> = sample.split(' ').collect();
    let known = words.iter().filter(|w| ["one", "two", "three"].contains(w)).count();
    assert!(known * 10 >= words.len() * 9, "{sample}");
}

#[test]
fn the_full_protocol_predicts_every_token_once() {
    let mut trainer = trainer(&settings(), 2);
    let tokens = data(&text()).0.split(Split::Val).len();
    let evaluation = wait(trainer.evaluate(Split::Val)).unwrap();
    assert_eq!(evaluation.tokens, tokens - 1);
    assert!((evaluation.perplexity - evaluation.loss.exp()).abs() < 1e-9);
    assert!((evaluation.bits_per_char - evaluation.loss / std::f64::consts::LN_2).abs() < 1e-9);
}

#[test]
fn reports_come_in_order_and_each_once_whenever_they_are_asked_for() {
    let settings = TrainConfig { max_steps: 150, gradient_accumulation_steps: 2, ..settings() };
    let mut eager = trainer(&settings, 1);
    let mut want = Vec::new();
    for _ in 0..150 {
        wait(eager.step()).unwrap();
        want.extend(wait(eager.reports()).unwrap());
    }
    assert_eq!(want.iter().map(|report| report.step).collect::<Vec<_>>(), (1..=150).collect::<Vec<_>>());
    // More than the ring holds, and other questions in between.
    let mut lazy = trainer(&settings, 1);
    for step in 0..150 {
        wait(lazy.step()).unwrap();
        match step {
            20 => assert!(wait(lazy.evaluate(Split::Val)).unwrap().loss.is_finite()),
            90 => assert_eq!(wait(lazy.training_state()).unwrap().step, 91),
            _ => {}
        }
    }
    assert!(wait(lazy.reports()).unwrap() == want);
    assert!(wait(lazy.reports()).unwrap().is_empty());
}

#[test]
fn the_processor_refuses_float16() {
    let settings = TrainConfig { precision: TrainingPrecision::F16, ..settings() };
    let (data, tokenizer) = data(&text());
    let model = model(tokenizer.vocab_size());
    let error = wait(Trainer::new(model, settings, data, Device::Cpu(Pool::new(1)), PLENTY)).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Training(problem) if problem.contains("f16")), "{error}");
}

#[test]
fn mixed_precision_scales_the_loss_and_nothing_that_is_seen_of_it() {
    // The CPU engine keeps float32, so that matrices rounded to 11 bits are the only difference.
    let (vocab_size, rows) = (7, 6 * 24);
    let model = ModelConfig { dropout: 0.0, ..model(vocab_size) };
    let run = |precision, scale: f32| {
        let settings = TrainConfig { precision, ..settings() };
        let (program, graph, _) = inkling_core::train::record(&model, &settings).unwrap();
        let scaler = program.loss_scaler();
        assert_eq!(scaler.is_some(), precision == TrainingPrecision::F16);
        let mut engine = Engine::cpu(program, Pool::new(1));
        engine.initialize(3);
        if let Some(scaler) = scaler {
            engine.write(scaler, &[scale, 0.0]);
        }
        let step = Step { learning_rate: 1e-3, ..Step::default() };
        engine.replay(Pass::Load, &step);
        engine.write_ids(graph.tokens, &(0..rows).map(|i| i * i % 7).collect::<Vec<_>>());
        engine.write_ids(graph.targets, &(0..rows).map(|i| i * i % 5).collect::<Vec<_>>());
        for pass in [Pass::Forward, Pass::Backward, Pass::Update] {
            engine.replay(pass, &step);
        }
        let read = |name| wait(engine.read_named(name)).unwrap().data;
        (read("history")[..4].to_vec(), read("h.1.mlp.c_fc.weight"), scaler.map(|_| read("h.1.mlp.c_fc.weight.half")))
    };
    let (full, _, _) = run(TrainingPrecision::F32, 1.0);
    let (unscaled, weight, _) = run(TrainingPrecision::F16, 1.0);
    let (scaled, same_weight, half) = run(TrainingPrecision::F16, 1024.0);
    for (full, mixed) in full.iter().zip(&unscaled) {
        assert!((full - mixed).abs() <= 1e-3 * full, "{full} {mixed}");
    }
    // A power of two changes no digit.
    assert_eq!((unscaled[0], unscaled[1], &weight), (scaled[0], scaled[1], &same_weight));
    assert_eq!((unscaled[2], scaled[2]), (1.0, 1024.0));
    for (value, half) in weight.iter().zip(half.unwrap()) {
        // Half a unit of 11 bits, or of the smallest float16.
        let allowed = (value.abs() / 2048.0).max(2.0_f32.powi(-25));
        assert!((value - half).abs() <= allowed && half.to_bits().trailing_zeros() >= 13, "{value} {half}");
    }
    // What overflows is left out, and the scale is halved.
    let (overflown, _, _) = run(TrainingPrecision::F16, f32::INFINITY);
    assert_eq!(overflown[3], 1.0);
}

#[test]
fn patience_ends_a_run_that_no_longer_improves() {
    let mut trainer = trainer(&TrainConfig { patience: 2, ..settings() }, 1);
    trainer.record_validation(1.0);
    trainer.record_validation(1.1);
    assert!(!trainer.is_finished());
    trainer.record_validation(1.0);
    assert!(trainer.is_finished() && trainer.is_out_of_patience());
}

#[test]
fn a_run_without_finite_gradients_is_given_up_and_spoils_nothing() {
    for settings in [settings(), TrainConfig { ema_decay: 0.5, ..settings() }] {
        let (data, tokenizer) = data(&text());
        let model = model(tokenizer.vocab_size());
        let mut trainer = wait(Trainer::new(model, settings, data, Device::Cpu(Pool::new(1)), PLENTY)).unwrap();
        // The average, where there is one, is kept apart from what is spoilt here.
        let before = wait(trainer.weights()).unwrap();
        let mut spoilt = before.clone();
        spoilt.get_mut("ln_f.bias").unwrap().data[0] = f32::INFINITY;
        trainer.engine_mut().load(Field::Value, &spoilt).unwrap();
        for _ in 0..9 {
            wait(trainer.step()).unwrap();
        }
        assert!(wait(trainer.reports()).unwrap().iter().all(|report| report.skipped));
        assert_eq!(trainer.state().skips, 9, "the count is part of the state, so that a resumed run goes on counting");
        wait(trainer.step()).unwrap();
        let error = wait(trainer.reports()).unwrap_err();
        assert!(matches!(error, Error::Diverged { step: 10, .. }), "{error}");
        assert_eq!(wait(trainer.reports()).unwrap().len(), 1, "what led there can still be told");
        let averaged = trainer.settings().ema_decay > 0.0;
        let want = if averaged { before } else { spoilt };
        assert!(wait(trainer.weights()).unwrap() == want, "a skipped update leaves weights and average alone");
    }
}

#[test]
fn absurd_sizes_and_scarce_memory_are_refused_before_anything_is_allocated() {
    let refuse = |model: ModelConfig, settings: TrainConfig, memory| {
        let data = data(&text()).0;
        let model = ModelConfig { vocab_size: data.vocab_size(), ..model };
        wait(Trainer::new(model, settings, data, Device::Cpu(Pool::new(1)), memory)).map(|_| ()).unwrap_err()
    };
    let small = model(0);
    let error = refuse(small.clone(), settings(), 100_000);
    assert!(matches!(error, Error::Memory { .. }), "{error}");
    for absurd in [ModelConfig { n_layer: 1025, ..small.clone() }, ModelConfig { n_embd: 1 << 20, ..small.clone() }] {
        let error = refuse(absurd, settings(), 1 << 40);
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
    let error = refuse(small.clone(), TrainConfig { batch_size: 1 << 16, ..settings() }, 1 << 28);
    assert!(matches!(error, Error::Memory { .. }), "{error}");
    let error = refuse(ModelConfig { n_positions: 1 << 20, ..small }, settings(), PLENTY);
    assert!(matches!(error, Error::Data(_)), "{error}");
}
