//! What the worker says of heads, held against core's own recorded program and against the formulas.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::mpsc::unbounded;
use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Pass, Training};
use inkling_core::step::Step;
use inkling_core::tokenizer::{CharTokenizer, Tokenizer};
use inkling_core::{Engine, ModelConfig, Weights};

use crate::protocol::attention::{Experiment, Head, HeadView, Inspect, Inspected};
use crate::protocol::model::Origin;
use crate::protocol::{Ask, Event, Failure, Request};
use crate::worker::fetch::Folder;
use crate::worker::{Incoming, Role, Workshop};

#[path = "../../../../core/tests/common/variants.rs"]
mod variants;

/// Sums of float32 in another order.
const ROUNDING: f32 = 2e-5;

fn config() -> ModelConfig {
    ModelConfig {
        vocab_size: 11,
        n_positions: 24,
        n_embd: 48,
        n_layer: 3,
        n_head: 6,
        n_kv_head: 6,
        n_inner: 64,
        ..ModelConfig::default()
    }
}

/// A model whose weights are large enough for its heads to have preferences.
fn checkpoint(config: &ModelConfig) -> Checkpoint {
    let recording = recording(4);
    let (program, _) = recording.record(config).unwrap();
    let mut engine = Engine::cpu(program, Pool::new(1));
    engine.initialize(7);
    let mut weights = pollster::block_on(engine.save(Field::Value)).unwrap();
    for (name, tensor) in &mut weights {
        if name.contains("c_attn") || name.contains("wte") {
            tensor.data.iter_mut().enumerate().for_each(|(i, x)| *x = *x * 12.0 + 0.01 * (i % 7) as f32);
        }
    }
    let tokenizer = Tokenizer::Char(CharTokenizer::from_text("\n abcdefghi").unwrap());
    Checkpoint { config: config.clone(), weights, tokenizer, training: None }
}

fn recording(context: usize) -> Recording {
    Recording {
        batch: 1,
        context,
        training: Training::No,
        probs: Probs::Keep,
        activations: DType::F32,
        recompute: false,
    }
}

struct Worker {
    workshop: Workshop,
    events: Rc<RefCell<Vec<Event>>>,
    checkpoint: Checkpoint,
}

impl Worker {
    fn new(config: &ModelConfig) -> Self {
        let events = Rc::new(RefCell::new(Vec::new()));
        let heard = events.clone();
        let (sender, _) = unbounded();
        let workshop = Workshop::new(Role::FIGURES, move |event| heard.borrow_mut().push(event), sender);
        let checkpoint = checkpoint(config);
        let mut worker = Self { workshop, events, checkpoint };
        worker.open();
        worker
    }

    fn open(&mut self) {
        let mut folder = Folder::new("test".into(), Origin::Files);
        folder.files.extend(self.checkpoint.to_files().unwrap());
        self.workshop.open(folder).unwrap();
    }

    fn ask<A: Ask>(&mut self, call: A) -> Result<A::Answer, Failure> {
        self.workshop.receive(Incoming::Request(Request::Ask { id: 1, call: call.call() }));
        while pollster::block_on(self.workshop.work()) {}
        match self.events.borrow_mut().pop().unwrap() {
            Event::Done { answer, .. } => Ok(A::answer(answer).unwrap()),
            Event::Failed { failure, .. } => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    fn head(&mut self, inspect: &Inspect, layer: usize, head: usize) -> HeadView {
        self.ask(Head { inspect: inspect.clone(), layer, head }).unwrap()
    }
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * i + i / 3) % 11) as u32).collect()
}

fn plain(n: usize) -> Inspect {
    Inspect { tokens: tokens(n), experiment: Experiment::default() }
}

/// Core's own program of exactly the text's length: losses, logits, each layer's weights.
fn core(config: &ModelConfig, weights: &Weights, inspect: &Inspect) -> (Vec<f32>, Vec<f32>, Vec<Vec<f32>>) {
    let tokens = &inspect.tokens[..];
    let n = tokens.len();
    let recording = recording(n);
    let recorded = if inspect.experiment.unmasked { recording.record_open(config) } else { recording.record(config) };
    let (program, graph) = recorded.unwrap();
    let mut engine = Engine::cpu(program, Pool::new(1));
    engine.load(Field::Value, weights).unwrap();
    engine.write_ids(graph.tokens, tokens);
    let mut targets = tokens[1..].to_vec();
    targets.push(0);
    engine.write_ids(graph.targets, &targets);
    engine.replay(Pass::Forward, &Step::default());
    let read = |tensor| pollster::block_on(engine.read(tensor)).unwrap();
    let losses = read(graph.losses)[..n - 1].to_vec();
    let logits = read(graph.logits.unwrap());
    let probs = (0..config.n_layer)
        .map(|layer| pollster::block_on(engine.read_named(&format!("h.{layer}.attn.probs"))).unwrap().data)
        .collect();
    (losses, logits, probs)
}

fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{what}[{i}] is {got}, not {want}");
    }
}

/// Rows sum to 1, what is masked is exactly 0, and the rest is the softmax of the scaled scores.
fn check_rows(what: &str, view: &HeadView) {
    let n = view.tokens.len();
    for i in 0..n {
        let row = &view.weights[i * n..][..n];
        let scaled: Vec<f64> = (0..n)
            .map(|j| {
                if view.is_masked(i, j) {
                    f64::NEG_INFINITY
                } else {
                    f64::from(view.scores[i * n + j]) * f64::from(view.factor)
                }
            })
            .collect();
        let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scaled.iter().map(|score| (score - most).exp()).sum();
        let softmax: Vec<f32> = scaled.iter().map(|score| ((score - most).exp() / sum) as f32).collect();
        assert_close(&format!("{what}: row {i}"), row, &softmax, ROUNDING);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{what}: row {i}");
        for (j, &weight) in row.iter().enumerate() {
            if view.is_masked(i, j) {
                assert_eq!(weight, 0.0, "{what}: query {i} sees key {j}");
            }
        }
    }
}

fn check_against_core(what: &str, worker: &mut Worker, weights: &Weights, inspect: &Inspect) {
    let config = worker.checkpoint.config.clone();
    let (losses, logits, probs) = core(&config, weights, inspect);
    let n = inspect.tokens.len();
    let inspected = worker.ask(inspect.clone()).unwrap();
    assert_close(&format!("{what}: losses"), &inspected.losses, &losses, ROUNDING);
    assert_close(&format!("{what}: logits"), &inspected.logits, &logits, ROUNDING);
    for (layer, probs) in probs.iter().enumerate() {
        for head in 0..config.n_head {
            let view = worker.head(inspect, layer, head);
            let what = format!("{what}: {layer}.{head}");
            assert_close(&what, &view.weights, &probs[head * n * n..][..n * n], ROUNDING);
            check_rows(&what, &view);
        }
    }
}

#[test]
fn every_variant_is_what_core_computes_and_the_softmax_of_its_scores() {
    let base = config();
    for (name, config) in std::iter::once(("gpt-2", base.clone())).chain(variants::variants(&base)) {
        let mut worker = Worker::new(&config);
        let weights = worker.checkpoint.weights.clone();
        // 13 are padded to 16; 24 fill the context.
        for n in [1, 2, 13, 24] {
            check_against_core(&format!("{name}, {n} tokens"), &mut worker, &weights, &plain(n));
        }
    }
}

#[test]
fn padding_changes_nothing_that_is_seen() {
    let mut worker = Worker::new(&config());
    let views: Vec<HeadView> = [5, 9, 24].iter().map(|&n| worker.head(&plain(n), 2, 1)).collect();
    for view in &views[..2] {
        let (n, all) = (view.tokens.len(), views[2].tokens.len());
        for i in 0..n {
            assert_close("row", &view.weights[i * n..][..n], &views[2].weights[i * all..][..n], 1e-6);
        }
    }
}

#[test]
fn a_longer_text_is_read_from_its_end() {
    let mut worker = Worker::new(&config());
    let (long, short) = (plain(40), Inspect { tokens: tokens(40)[16..].to_vec(), experiment: Experiment::default() });
    let inspected: Inspected = worker.ask(long.clone()).unwrap();
    assert_eq!((inspected.skipped, &inspected.tokens), (16, &short.tokens));
    let same = Inspected { skipped: 0, ..inspected };
    assert_eq!(worker.ask(short).unwrap(), same);
    assert_eq!(worker.head(&long, 0, 0).skipped, 16);
}

#[test]
fn a_zeroed_head_is_a_head_whose_output_meets_zeros() {
    for (name, config) in variants::variants(&config()) {
        let mut worker = Worker::new(&config);
        let original = worker.checkpoint.weights.clone();
        let before = worker.ask(plain(13)).unwrap();
        let ablated = vec![(0, 1), (0, 5), (2, 3)];
        let mut weights = original.clone();
        for (layer, head) in &ablated {
            let tensor = weights.get_mut(&format!("h.{layer}.attn.c_proj.weight")).unwrap();
            for (i, x) in tensor.data.iter_mut().enumerate() {
                if i % 48 / 8 == *head {
                    *x = 0.0;
                }
            }
        }
        let experiment = Experiment { ablated, ..Experiment::default() };
        let inspect = Inspect { tokens: tokens(13), experiment };
        check_against_core(name, &mut worker, &weights, &inspect);
        assert_ne!(worker.ask(inspect).unwrap().logits, before.logits, "{name}");
        // And back, to the last bit.
        assert_eq!(worker.ask(plain(13)).unwrap(), before, "{name}");
    }
}

#[test]
fn without_scale_scores_are_weighed_as_they_are() {
    for (name, config) in variants::variants(&config()) {
        let mut worker = Worker::new(&config);
        let before = worker.head(&plain(13), 0, 2);
        let experiment = Experiment { unscaled: true, ..Experiment::default() };
        let inspect = Inspect { tokens: tokens(13), experiment };
        for layer in 0..3 {
            let view = worker.head(&inspect, layer, 2);
            assert_eq!(view.factor, 1.0);
            check_rows(name, &view);
        }
        // The first block's input is the same, so its scores are.
        assert_close(name, &worker.head(&inspect, 0, 2).scores, &before.scores, ROUNDING);
        assert_eq!(worker.head(&plain(13), 0, 2), before, "{name}");
    }
}

#[test]
fn without_mask_the_future_is_seen() {
    for (name, config) in std::iter::once(("gpt-2", config())).chain(variants::variants(&config())) {
        let mut worker = Worker::new(&config);
        let weights = worker.checkpoint.weights.clone();
        let before = worker.ask(plain(13)).unwrap();
        let experiment = Experiment { unmasked: true, ..Experiment::default() };
        for n in [1, 13, 14] {
            let inspect = Inspect { tokens: tokens(n), experiment: experiment.clone() };
            check_against_core(name, &mut worker, &weights, &inspect);
        }
        let view = worker.head(&Inspect { tokens: tokens(13), experiment }, 1, 4);
        assert!(view.weights.iter().all(|&weight| weight > 0.0), "{name}");
        assert_eq!(worker.ask(plain(13)).unwrap(), before, "{name}");
    }
}

#[test]
fn what_cannot_be_shown_is_said_and_the_next_question_answered() {
    let mut worker = Worker::new(&config());
    let ablated = |layer, head| Experiment { ablated: vec![(layer, head)], ..Experiment::default() };
    for (wrong, said) in [
        (Inspect { tokens: vec![], ..plain(1) }, "empty"),
        (Inspect { tokens: vec![0, 11], ..plain(1) }, "another model's"),
        (Inspect { experiment: ablated(3, 0), ..plain(5) }, "no head 3.0"),
        (Inspect { experiment: ablated(0, 6), ..plain(5) }, "no head 0.6"),
    ] {
        let failure = worker.ask(wrong).unwrap_err();
        assert!(failure.message.contains(said), "{failure}");
    }
    assert!(worker.ask(Head { inspect: plain(5), layer: 0, head: 6 }).is_err());
    assert_eq!(worker.ask(plain(5)).unwrap().tokens.len(), 5);
}

#[test]
fn a_bigram_has_no_heads() {
    let config =
        ModelConfig { architecture: inkling_core::Architecture::Bigram, tie_word_embeddings: false, ..config() };
    assert!(Worker::new(&config).ask(plain(5)).unwrap_err().message.contains("bigram"));
}

/// Where logits are held 128 rows at a time.
#[test]
fn long_texts_are_read_to_their_last_token() {
    let config = ModelConfig { n_positions: 300, n_layer: 1, ..config() };
    let mut worker = Worker::new(&config);
    for n in [127, 128, 129, 200, 256, 257, 300] {
        let (losses, logits, _) = core(&config, &worker.checkpoint.weights, &plain(n));
        let inspected = worker.ask(plain(n)).unwrap();
        assert_close("losses", &inspected.losses, &losses, ROUNDING);
        // Of a text with more rows than are held, those of the last token.
        let sent = &logits[if n > 128 { (n - 1) * 11 } else { 0 }..];
        assert_close("logits", &inspected.logits, sent, ROUNDING);
    }
}
