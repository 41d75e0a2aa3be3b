//! Replicas compute what one engine does, to rounding; which of them answers when changes nothing; and none of them is missed for long.

use std::cell::Cell;
use std::rc::Rc;

use inkling_core::checkpoint::TrainingState;
use inkling_core::config::{Architecture, PositionEmbedding};
use inkling_core::cpu::Pool;
use inkling_core::train::config::{Order, Protocol};
use inkling_core::train::{Crew, Dataset, Progress, Replica, Split, TrainConfig, Trainer};
use inkling_core::{Device, ModelConfig, Weights};

const PLENTY: u64 = 1 << 30;
const VOCABULARY: usize = 11;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn data() -> Dataset {
    let tokens = (0..900_u32).map(|i| i.wrapping_mul(i / 7 + 3) % VOCABULARY as u32).collect();
    Dataset::new(tokens, &[1; VOCABULARY]).unwrap()
}

fn model() -> ModelConfig {
    ModelConfig {
        vocab_size: VOCABULARY,
        n_positions: 13,
        n_embd: 24,
        n_layer: 2,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 48,
        dropout: 0.2,
        ..ModelConfig::default()
    }
}

fn settings() -> TrainConfig {
    TrainConfig { batch_size: 5, max_steps: 30, warmup_steps: 2, ..TrainConfig::default() }
}

fn trainer(model: &ModelConfig, settings: &TrainConfig) -> Trainer {
    wait(Trainer::new(model.clone(), settings.clone(), data(), Device::Cpu(Pool::new(1)), PLENTY)).unwrap()
}

/// Replicas of this process. They answer once they have been looked at so often, and the last of them is lost after so many updates.
struct Local {
    replicas: Vec<Replica>,
    messages: Vec<Vec<u32>>,
    looks: u32,
    seen: Cell<u32>,
    updates_left: Rc<Cell<u32>>,
    abandoned: Rc<Cell<u32>>,
}

impl Local {
    fn new(model: &ModelConfig, settings: &TrainConfig, replicas: usize) -> Self {
        let replica = |rank| Replica::new(model, settings, rank, replicas, PLENTY).unwrap();
        Self {
            replicas: (0..replicas).map(replica).collect(),
            messages: vec![Vec::new(); replicas],
            looks: 0,
            seen: Cell::new(0),
            updates_left: Rc::new(Cell::new(u32::MAX)),
            abandoned: Rc::default(),
        }
    }
}

impl Crew for Local {
    fn replicas(&self) -> usize {
        self.replicas.len()
    }

    fn send(&mut self, rank: usize, message: &[u32]) {
        assert!(self.messages[rank].is_empty(), "replica {rank} has not been asked for its answer");
        assert_eq!(message.len(), self.replicas[rank].words());
        self.messages[rank] = message.to_vec();
        self.seen.set(0);
    }

    fn is_done(&self) -> bool {
        self.seen.set(self.seen.get() + 1);
        self.seen.get() > self.looks
    }

    fn receive(&mut self, rank: usize, answer: &mut [u32]) -> Result<(), String> {
        if rank + 1 == self.replicas.len() {
            let left = self.updates_left.get();
            if left == 0 {
                return Err("it went out".into());
            }
            self.updates_left.set(left - 1);
        }
        answer.copy_from_slice(&std::mem::take(&mut self.messages[rank]));
        wait(self.replicas[rank].answer(answer)).unwrap();
        Ok(())
    }

    fn abandon(&mut self) {
        self.messages.iter_mut().for_each(Vec::clear);
        self.abandoned.set(self.abandoned.get() + 1);
    }
}

type Trained = (Vec<(f64, f32)>, Vec<f32>);

/// Losses and norms of some updates, and all weights.
fn train(trainer: &mut Trainer, updates: usize) -> Trained {
    (0..updates).for_each(|_| wait(trainer.step()).unwrap());
    let reports = wait(trainer.reports()).unwrap();
    let weights = wait(trainer.weights()).unwrap();
    (
        reports.iter().map(|report| (report.loss, report.grad_norm)).collect(),
        weights.values().flat_map(|tensor| tensor.data.clone()).collect(),
    )
}

fn assert_close(got: &Trained, want: &Trained, what: &str) {
    assert_eq!(got.0.len(), want.0.len());
    for (step, (got, want)) in got.0.iter().zip(&want.0).enumerate() {
        assert!((got.0 - want.0).abs() <= 2e-5, "{what}, step {}: loss {} is not {}", step + 1, got.0, want.0);
        assert!((got.1 - want.1).abs() <= 1e-3 * want.1, "{what}, step {}: norm {} is not {}", step + 1, got.1, want.1);
    }
    let furthest = got.1.iter().zip(&want.1).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
    assert!(furthest <= 2e-3, "{what}: weights differ by {furthest}");
}

#[test]
fn replicas_compute_what_one_engine_does() {
    let models = [
        ("gpt-2", model()),
        ("untied", ModelConfig { tie_word_embeddings: false, ..model() }),
        ("grouped, rope", ModelConfig { n_head: 4, position_embedding_type: PositionEmbedding::Rope, ..model() }),
        (
            "bigram",
            ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, dropout: 0.0, ..model() },
        ),
    ];
    let variations = [
        settings(),
        TrainConfig { gradient_accumulation_steps: 3, order: Order::Shuffled, ..settings() },
        TrainConfig { ema_decay: 0.9, recompute: true, ..settings() },
    ];
    for (name, model) in &models {
        for settings in &variations {
            let alone = train(&mut trainer(model, settings), 8);
            // One sequence each, too.
            for replicas in [1, 2, 3, 5] {
                let mut together = trainer(model, settings);
                together.employ(Box::new(Local::new(model, settings, replicas)));
                assert_eq!(together.replicas(), replicas);
                let trained = train(&mut together, 8);
                assert_close(&trained, &alone, &format!("{name}, {replicas} replicas, {settings:?}"));
                assert_eq!(together.lost_replica(), None);
            }
        }
    }
}

#[test]
fn a_run_with_replicas_repeats_to_the_bit_whenever_they_answer() {
    let run = |looks| {
        let mut trainer = trainer(&model(), &settings());
        trainer.employ(Box::new(Local { looks, ..Local::new(&model(), &settings(), 3) }));
        train(&mut trainer, 6)
    };
    assert!(run(0) == run(0) && run(5) == run(0));
}

#[test]
fn who_waits_for_replicas_is_told_so() {
    let mut trainer = trainer(&model(), &settings());
    trainer.employ(Box::new(Local { looks: 4, ..Local::new(&model(), &settings(), 2) }));
    assert!(!trainer.is_waiting());
    let mut waits = 0;
    loop {
        match wait(trainer.advance(&mut || false)).unwrap() {
            Progress::Whole => break,
            Progress::Waiting => waits += 1,
            Progress::Partly => panic!("the update pass was told to be done at once"),
        }
        assert!(trainer.is_within_an_update() && trainer.state().step == 0);
    }
    assert_eq!(waits, 4);
    assert!(!trainer.is_waiting() && trainer.state().step == 1);
}

#[test]
fn a_lost_replica_costs_nothing_but_time() {
    let alone = train(&mut trainer(&model(), &settings()), 8);
    for updates in [0, 3] {
        let mut crew = Local::new(&model(), &settings(), 2);
        crew.updates_left = Rc::new(Cell::new(updates));
        let mut trainer = trainer(&model(), &settings());
        trainer.employ(Box::new(crew));
        let trained = train(&mut trainer, 8);
        assert_eq!(trainer.lost_replica().as_deref(), Some("it went out"));
        assert_eq!((trainer.replicas(), trainer.lost_replica()), (0, None));
        assert_close(&trained, &alone, "lost");
    }
}

#[test]
fn evaluations_in_replicas_are_the_same_to_the_bit() {
    let sampled = TrainConfig { eval_protocol: Protocol::Sampled, eval_batches: 3, ..settings() };
    for settings in [settings(), sampled, TrainConfig { ema_decay: 0.9, gradient_accumulation_steps: 2, ..settings() }]
    {
        let mut alone = trainer(&model(), &settings);
        train(&mut alone, 4);
        let (weights, state) = (wait(alone.trained()).unwrap(), wait(alone.training_state()).unwrap());
        let want = wait(alone.evaluate(Split::Val)).unwrap();
        for replicas in [1, 2, 3, 5] {
            let mut together = trainer(&model(), &settings);
            wait(together.rewind(&weights, &state)).unwrap();
            together.employ(Box::new(Local { looks: 2, ..Local::new(&model(), &settings, replicas) }));
            assert_eq!(wait(together.evaluate(Split::Val)).unwrap(), want, "{replicas} replicas, {settings:?}");
            // And nothing of it is left in the gradient.
            assert_close(&train(&mut together, 2), &train(&mut resumed(&settings, &weights, &state), 2), "after it");
        }
        // One that is lost, and a run that goes back in the middle.
        let mut together = trainer(&model(), &settings);
        wait(together.rewind(&weights, &state)).unwrap();
        let crew = Local { looks: 2, ..Local::new(&model(), &settings, 2) };
        crew.updates_left.set(1);
        let abandoned = crew.abandoned.clone();
        together.employ(Box::new(crew));
        assert_eq!(wait(together.evaluate_some(Split::Val, &mut || false)).unwrap(), None);
        assert!(together.is_waiting() && !together.is_within_an_update());
        wait(together.rewind(&weights, &state)).unwrap();
        assert!(abandoned.get() == 1 && !together.is_waiting());
        assert_eq!(wait(together.evaluate(Split::Val)).unwrap(), want);
        assert_eq!(together.lost_replica().as_deref(), Some("it went out"));
    }
}

fn resumed(settings: &TrainConfig, weights: &Weights, state: &TrainingState) -> Trainer {
    let mut trainer = trainer(&model(), settings);
    wait(trainer.rewind(weights, state)).unwrap();
    trainer
}

#[test]
fn a_run_goes_back_while_replicas_compute() {
    let mut trainer = trainer(&model(), &settings());
    let crew = Local { looks: 1, ..Local::new(&model(), &settings(), 2) };
    let abandoned = crew.abandoned.clone();
    trainer.employ(Box::new(crew));
    train(&mut trainer, 3);
    let (weights, state) = (wait(trainer.trained()).unwrap(), wait(trainer.training_state()).unwrap());
    let want = train(&mut trainer, 3);
    assert_eq!(wait(trainer.advance(&mut || false)).unwrap(), Progress::Waiting);
    wait(trainer.rewind(&weights, &state)).unwrap();
    assert_eq!((abandoned.get(), trainer.is_within_an_update()), (1, false));
    assert!(train(&mut trainer, 3) == want);
}
