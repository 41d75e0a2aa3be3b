//! The worker's answers against the engine and core, for the shipped model and for models of every kind of position.

use std::cell::RefCell;
use std::rc::Rc;

use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::embedding_space::{EmbeddingSpace, Query};
use inkling_core::nn::attention::Probs;
use inkling_core::nn::{Graph, Recording};
use inkling_core::program::{DType, Field, Pass, Training};
use inkling_core::step::Step;
use inkling_core::tokenizer::CharTokenizer;
use inkling_core::{Architecture, Engine, ModelConfig, PositionEmbedding};

use super::super::fetch::Folder;
use super::super::{Incoming, Role, Workshop};
use crate::protocol::embed::{Baseline, Near, Neighbours, PositionMap, TokenMap, TokenRows};
use crate::protocol::model::Origin;
use crate::protocol::{Ask, Event, Failure, Request};

/// A worker whose answers are kept.
struct Bench {
    workshop: Workshop,
    events: Rc<RefCell<Vec<Event>>>,
}

impl Bench {
    fn new(files: Vec<(String, Vec<u8>)>) -> Self {
        let events = Rc::new(RefCell::new(Vec::new()));
        let (heard, (sender, _)) = (Rc::clone(&events), futures_channel::mpsc::unbounded());
        let mut bench = Self {
            workshop: Workshop::new(Role::FIGURES, move |event| heard.borrow_mut().push(event), sender),
            events,
        };
        bench.open(files);
        bench
    }

    fn open(&mut self, files: Vec<(String, Vec<u8>)>) {
        let files = files.into_iter().collect();
        self.workshop.open(Folder { files, ..Folder::new("a model".into(), Origin::Files) }).unwrap();
    }

    fn of(checkpoint: &Checkpoint) -> Self {
        Self::new(checkpoint.to_files().unwrap())
    }

    fn ask<A: Ask>(&mut self, ask: A) -> Result<A::Answer, Failure> {
        self.workshop.receive(Incoming::Request(Request::Ask { id: 1, call: ask.call() }));
        while pollster::block_on(self.workshop.work()) {}
        match self.events.borrow_mut().pop().unwrap() {
            Event::Done { answer, .. } => Ok(A::answer(answer).unwrap()),
            Event::Failed { failure, .. } => Err(failure),
            other => panic!("{other:?}"),
        }
    }
}

fn shipped_files() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/models/shakespeare");
    ["config.json", "tokenizer.json", "model.safetensors"]
        .map(|name| (name.to_owned(), std::fs::read(format!("{folder}/{name}")).unwrap()))
        .into()
}

fn shipped() -> Checkpoint {
    let files: std::collections::BTreeMap<_, _> = shipped_files().into_iter().collect();
    Checkpoint::model_from_files(|name| Ok(files.get(name).cloned())).unwrap()
}

fn engine(config: &ModelConfig, context: usize) -> (Engine, Graph) {
    let recording = Recording {
        batch: 1,
        context,
        training: Training::No,
        probs: Probs::Skip,
        activations: DType::F32,
        recompute: false,
    };
    let (program, graph) = recording.record(config).unwrap();
    (Engine::cpu(program, Pool::new(1)), graph)
}

/// A model of random weights.
fn random(config: ModelConfig) -> Checkpoint {
    let (mut engine, _) = engine(&config, 1);
    engine.initialize(7);
    let weights = pollster::block_on(engine.save(Field::Value)).unwrap();
    let tokenizer = CharTokenizer::from_text("abcdefghij").unwrap().into();
    Checkpoint { config, weights, tokenizer, training: None }
}

fn small(position_embedding_type: PositionEmbedding) -> ModelConfig {
    ModelConfig {
        vocab_size: 10,
        n_positions: 12,
        n_embd: 8,
        n_layer: 1,
        position_embedding_type,
        ..Default::default()
    }
}

#[test]
fn sums_are_what_the_engine_gives_its_first_block() {
    let mut kinds = [PositionEmbedding::Learned, PositionEmbedding::Sinusoidal, PositionEmbedding::Rope]
        .map(|kind| random(small(kind)))
        .to_vec();
    kinds.push(shipped());
    for checkpoint in kinds {
        let config = &checkpoint.config;
        let ids: Vec<u32> = (0..config.n_positions).map(|i| (i * 7 % config.vocab_size) as u32).collect();
        let (mut engine, graph) = engine(config, config.n_positions);
        engine.load(Field::Value, &checkpoint.weights).unwrap();
        engine.write_ids(graph.tokens, &ids);
        engine.write_ids(graph.targets, &ids);
        engine.replay(Pass::Forward, &Step::DEFAULT);
        let stream = pollster::block_on(engine.read_named("embedding")).unwrap();

        let mut bench = Bench::of(&checkpoint);
        for (position, (&id, row)) in ids.iter().zip(stream.data.chunks_exact(config.n_embd)).enumerate() {
            let found = bench.ask(TokenRows { id, position }).unwrap();
            assert_eq!(found.sum.0, row, "{:?}, position {position}", config.position_embedding_type);
            let rope = config.position_embedding_type == PositionEmbedding::Rope;
            assert_eq!(found.position.is_none(), rope);
        }
    }
}

#[test]
fn a_bigram_has_rows_of_logits_and_no_positions() {
    let config = ModelConfig {
        architecture: Architecture::Bigram,
        tie_word_embeddings: false,
        ..small(PositionEmbedding::Learned)
    };
    let checkpoint = random(config);
    let mut bench = Bench::of(&checkpoint);
    let found = bench.ask(TokenRows { id: 3, position: 2 }).unwrap();
    assert_eq!(found.sum.0, checkpoint.weights["wte.weight"].data[30..40]);
    assert_eq!((found.position, found.scale), (None, 1.0));
    assert_eq!(bench.ask(PositionMap { positions: 256 }).unwrap().positions, 0);
    assert_eq!(bench.ask(TokenMap).unwrap().places.len(), 20);
}

#[test]
fn position_maps_are_symmetric_and_limited() {
    let mut bench = Bench::new(shipped_files());
    let n = shipped().config.n_positions;
    let found = bench.ask(PositionMap { positions: 256 }).unwrap();
    assert_eq!((found.positions, found.all, found.cosines.len()), (n, n, n * n));
    for i in 0..n {
        assert!((found.cosines[i * n + i] - 1.0).abs() < 1e-6);
        assert!((0..n).all(|j| found.cosines[i * n + j] == found.cosines[j * n + i]));
    }
    let found = bench.ask(PositionMap { positions: 3 }).unwrap();
    assert_eq!((found.positions, found.all, found.cosines.len()), (3, n, 9));
    assert_eq!(Bench::of(&random(small(PositionEmbedding::Rope))).ask(PositionMap { positions: 9 }).unwrap().all, 0);
}

#[test]
fn neighbours_and_chance_are_those_of_core() {
    let mut bench = Bench::new(shipped_files());
    let table = &shipped().weights["wte.weight"];
    let space = EmbeddingSpace::new(&table.data, table.shape[1]);
    for (of, query) in
        [(Near::Token(43), Query::Neighbours(43)), (Near::Analogy(39, 13, 40), Query::Analogy([39, 13, 40]))]
    {
        let call = Neighbours { of, count: 8 };
        let nearest: Vec<(u32, f32)> =
            space.nearest(query, 8).iter().map(|found| (found.token, found.cosine as f32)).collect();
        let found = bench.ask(call).unwrap();
        assert_eq!((found.of, found.nearest), (of, nearest));
        let chance: Vec<(f32, f32)> =
            space.chance(query, 8, 20, 1337).iter().map(|rank| (rank.mean as f32, rank.max as f32)).collect();
        let found = bench.ask(Baseline(call)).unwrap();
        assert_eq!((found.of, found.shuffles, found.ranks), (of, 20, chance));
    }
}

#[test]
fn another_model_has_other_neighbours() {
    let mut bench = Bench::new(shipped_files());
    let call = Neighbours { of: Near::Token(5), count: 100 };
    assert_eq!(bench.ask(call).unwrap().nearest.len(), shipped().config.vocab_size - 1);
    bench.open(random(small(PositionEmbedding::Sinusoidal)).to_files().unwrap());
    assert_eq!(bench.ask(call).unwrap().nearest.len(), 9);
}

#[test]
fn what_a_model_has_not_is_a_sentence() {
    let mut bench = Bench::of(&random(small(PositionEmbedding::Learned)));
    let failure = bench.ask(TokenRows { id: 10, position: 0 }).unwrap_err();
    assert_eq!(failure.message, "there is no token 10: the last of this model is 9");
    let failure = bench.ask(TokenRows { id: 9, position: 12 }).unwrap_err();
    assert_eq!(failure.message, "this model has 12 positions, and 12 is none of them");
    let call = Neighbours { of: Near::Analogy(0, 1, 10), count: 3 };
    assert!(bench.ask(call).is_err() && bench.ask(Baseline(call)).is_err());
}
