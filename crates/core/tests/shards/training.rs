//! A run does not know where its tokens lie.

use inkling_core::cpu::Pool;
use inkling_core::train::config::{Order, Protocol};
use inkling_core::train::{Dataset, Evaluation, Split, StepReport, TrainConfig, Trainer};
use inkling_core::{Device, ModelConfig, Weights};

use crate::{dataset, letters};

const VOCAB: u32 = 11;
const PLENTY: u64 = 1 << 30;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn tokens() -> Vec<u32> {
    (0..900_u32).map(|i| i.wrapping_mul(i) % 7 % VOCAB + i % 3).collect()
}

fn model() -> ModelConfig {
    ModelConfig {
        vocab_size: VOCAB as usize,
        n_positions: 12,
        n_embd: 16,
        n_layer: 1,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 32,
        dropout: 0.1,
        ..ModelConfig::default()
    }
}

fn settings() -> TrainConfig {
    TrainConfig { batch_size: 5, max_steps: 40, warmup_steps: 5, ..TrainConfig::default() }
}

fn new(settings: &TrainConfig, data: Dataset) -> Trainer {
    wait(Trainer::new(model(), settings.clone(), data, Device::Cpu(Pool::new(1)), PLENTY)).unwrap()
}

fn train(settings: &TrainConfig, data: Dataset) -> (Vec<StepReport>, Vec<Evaluation>, Weights) {
    let mut trainer = new(settings, data);
    while !trainer.is_finished() {
        wait(trainer.step()).unwrap();
    }
    let reports = wait(trainer.reports()).unwrap();
    let evaluations = [Split::Train, Split::Val, Split::All].map(|split| wait(trainer.evaluate(split)).unwrap());
    (reports, evaluations.into(), wait(trainer.weights()).unwrap())
}

#[test]
fn training_on_shards_is_training_in_memory_bit_for_bit() {
    for order in [Order::Random, Order::Shuffled] {
        for eval_protocol in [Protocol::Full, Protocol::Sampled] {
            let settings = TrainConfig { order, eval_protocol, eval_batches: 3, ..settings() };
            let memory = train(&settings, Dataset::new(tokens(), &letters(VOCAB.into())).unwrap());
            // Shards shorter than a window, of odd length, and one per split.
            for shard_tokens in [5, 101, 1000] {
                let shards = train(&settings, dataset(&tokens(), VOCAB.into(), shard_tokens));
                assert!(shards == memory, "{order:?}, {eval_protocol:?}, shards of {shard_tokens}");
            }
        }
    }
}

#[test]
fn a_run_goes_on_over_other_shards_of_its_text_but_not_over_another_division_of_it() {
    let memory = || Dataset::new(tokens(), &letters(VOCAB.into())).unwrap();
    let mut straight = new(&settings(), memory());
    let mut first = new(&settings(), memory());
    for _ in 0..6 {
        wait(first.step()).unwrap();
        wait(straight.step()).unwrap();
    }
    let (weights, state) = (wait(first.weights()).unwrap(), wait(first.training_state()).unwrap());
    let resume = |data| wait(Trainer::resume(model(), &weights, &state, data, Device::Cpu(Pool::new(1)), PLENTY));
    let mut second = resume(dataset(&tokens(), VOCAB.into(), 77)).unwrap();
    for _ in 0..6 {
        wait(second.step()).unwrap();
        wait(straight.step()).unwrap();
    }
    assert!(wait(second.weights()).unwrap() == wait(straight.weights()).unwrap());

    let shards = crate::shards(crate::files(&tokens(), VOCAB.into(), 77, 0.3)).unwrap();
    let error = resume(Dataset::from_shards(shards, &letters(VOCAB.into())).unwrap()).unwrap_err().to_string();
    assert!(error.contains("learns from 812 tokens and this data has 628"), "{error}");
}
