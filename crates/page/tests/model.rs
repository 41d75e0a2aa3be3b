//! Models in the worker: opened, refused, replaced and saved, without a browser.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use inkling_core::ModelConfig;
use inkling_core::checkpoint::{Checkpoint, WeightFormat};
use inkling_core::tokenizer::{ByteTokenizer, CharTokenizer, Tokenizer};
use inkling_core::weights::{HostTensor, Weights};
use inkling_page::protocol::contents::Contents;
use inkling_page::protocol::model::{CurrentModel, GivenFile, Load, ModelCard, Origin, SaveModel, SavedModel};
use inkling_page::protocol::{Answer, Ask, Event, Failure, FailureKind, Id, Request};
use inkling_page::worker::{Incoming, Role, Workshop};

type Files = Vec<(String, Vec<u8>)>;

/// A worker and what it said.
struct Bench {
    workshop: Workshop,
    incoming: UnboundedReceiver<Incoming>,
    events: Rc<RefCell<Vec<Event>>>,
    last: Id,
}

impl Bench {
    fn new() -> Self {
        let (sender, incoming) = unbounded();
        let events = Rc::new(RefCell::new(Vec::new()));
        let heard = events.clone();
        let workshop = Workshop::new(Role::FIGURES, move |event| heard.borrow_mut().push(event), sender);
        Self { workshop, incoming, events, last: 0 }
    }

    fn run(&mut self) {
        loop {
            while let Ok(next) = self.incoming.try_recv() {
                self.workshop.receive(next);
            }
            if !pollster::block_on(self.workshop.work())
                && self.incoming.try_recv().map(|next| self.workshop.receive(next)).is_err()
            {
                return;
            }
        }
    }

    fn ask<A: Ask>(&mut self, ask: A) -> Result<A::Answer, Failure> {
        self.last += 1;
        let id = self.last;
        self.workshop.receive(Incoming::Request(Request::Ask { id, call: ask.call() }));
        self.run();
        let end = self.events.borrow_mut().drain(..).find_map(|event| match event {
            Event::Done { id: of, answer } if of == id => Some(Ok(answer)),
            Event::Failed { id: of, failure } if of == id => Some(Err(failure)),
            _ => None,
        });
        end.expect("every ask is answered").map(|answer: Answer| A::answer(answer).expect("of its own kind"))
    }

    fn open(&mut self, files: Files) -> Result<ModelCard, Failure> {
        self.ask(Load::Files { files: files.into_iter().map(given).collect() })
    }
}

fn given((path, bytes): (String, Vec<u8>)) -> GivenFile {
    GivenFile { path, size: bytes.len() as u64, contents: Contents(bytes) }
}

fn small(vocab_size: usize) -> ModelConfig {
    ModelConfig {
        vocab_size,
        n_positions: 8,
        n_embd: 8,
        n_layer: 2,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 16,
        ..ModelConfig::default()
    }
}

fn checkpoint(config: ModelConfig, tokenizer: Tokenizer) -> Checkpoint {
    let mut weights = Weights::new();
    for (i, spec) in config.parameters().into_iter().enumerate() {
        let data = (0..spec.numel()).map(|k| ((k * 7 + i) % 13) as f32 / 64.0).collect();
        weights.insert(spec.name, HostTensor { shape: spec.shape, data });
    }
    Checkpoint { config, weights, tokenizer, training: None }
}

fn letters() -> Checkpoint {
    checkpoint(small(3), CharTokenizer::from_text("abc").unwrap().into())
}

fn folder(name: &str, checkpoint: &Checkpoint) -> Files {
    let files = checkpoint.to_files_as(WeightFormat::F32).unwrap();
    files.into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)).collect()
}

fn without(files: Files, file: &str) -> Files {
    files.into_iter().filter(|(path, _)| !path.ends_with(file)).collect()
}

fn with(mut files: Files, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
    change(&mut files.iter_mut().find(|(path, _)| path.ends_with(file)).unwrap().1);
    files
}

#[test]
fn a_folder_of_files_is_opened() {
    let mut bench = Bench::new();
    let card = bench.open(folder("abc", &letters())).unwrap();
    assert_eq!((card.name.as_str(), card.origin, card.number), ("abc", Origin::Files, 1));
    assert_eq!(card.config, small(3));
    assert_eq!(card.vocabulary, ["a", "b", "c"]);
    assert_eq!(card.parameters.len(), small(3).parameters().len());
    assert_eq!(bench.ask(CurrentModel).unwrap(), card);
}

#[test]
fn before_a_model_there_is_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(CurrentModel).unwrap_err().kind, FailureKind::NoModel);
    assert_eq!(bench.ask(SaveModel).unwrap_err().kind, FailureKind::NoModel);
    assert_eq!(bench.ask(Load::Url { folder: "models/bard".into() }).unwrap_err().kind, FailureKind::Network);
}

#[test]
fn whatever_is_refused_leaves_the_model_there_was() {
    let mut bench = Bench::new();
    let kept = bench.open(folder("kept", &letters())).unwrap();
    let whole = || folder("x", &letters());
    let huge = br#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 8192, "num_hidden_layers": 4, "num_attention_heads": 64,
        "num_key_value_heads": 8, "intermediate_size": 11008, "rms_norm_eps": 1e-5, "hidden_act": "silu", "max_position_embeddings": 2048}"#;
    for (files, says) in [
        (vec![], "no file"),
        (without(whole(), "config.json"), "config.json is missing"),
        (without(whole(), "model.safetensors"), "model.safetensors is missing"),
        (without(whole(), "tokenizer.json"), "tokenizer.json is missing"),
        (with(whole(), "/config.json", |bytes| bytes.truncate(10)), "config.json"),
        (with(whole(), "/config.json", Vec::clear), "config.json"),
        (with(whole(), "/config.json", |bytes| *bytes = huge.to_vec()), "GB"),
        (with(whole(), "model.safetensors", |bytes| bytes.truncate(100)), "model.safetensors"),
        (with(whole(), "model.safetensors", |bytes| bytes[..8].fill(0xff)), "model.safetensors"),
        (with(whole(), "model.safetensors", |bytes| *bytes = b"<!doctype html>".to_vec()), "model.safetensors"),
        (with(whole(), "tokenizer.json", |bytes| *bytes = b"[]".to_vec()), "tokenizer.json"),
        (
            vec![("a/adapter_config.json".into(), b"{}".to_vec()), ("a/adapter_model.safetensors".into(), vec![])],
            "merge",
        ),
        (vec![("photo.zip".into(), b"PK".to_vec())], "photo.zip"),
    ] {
        let failure = bench.open(files).unwrap_err();
        assert!(failure.message.contains(says), "{says:?} is not in {:?}", failure.message);
        assert_eq!(bench.ask(CurrentModel).unwrap(), kept);
    }
    // A wrong vocabulary, too.
    let mut other = folder("x", &letters());
    let four: Tokenizer = CharTokenizer::from_text("abcd").unwrap().into();
    other = with(other, "tokenizer.json", |bytes| *bytes = four.to_json());
    assert!(bench.open(other).unwrap_err().message.contains("4 tokens"));
    assert_eq!(bench.ask(CurrentModel).unwrap(), kept);
}

#[test]
fn bytes_need_no_vocabulary() {
    let mut bench = Bench::new();
    let files = folder("bytes", &checkpoint(small(256), ByteTokenizer.into()));
    let card = bench.open(without(files, "tokenizer.json")).unwrap();
    assert_eq!(card.tokenizer, "byte");
    assert!(card.note.is_some_and(|note| note.contains("byte")));
}

#[test]
fn a_run_opens_its_best_checkpoint() {
    let mut bench = Bench::new();
    let best = letters();
    let mut last = letters();
    last.weights.values_mut().for_each(|tensor| tensor.data.fill(0.5));
    let mut files = folder("run/last", &last);
    files.extend(folder("run/best", &best));
    files.push(("run/metrics.jsonl".into(), vec![]));
    assert_eq!(bench.open(files).unwrap().name, "run");
    let SavedModel { bytes, .. } = bench.ask(SaveModel).unwrap();
    // Its weights have few bits, so that 16 of them are enough.
    let weights = &best.to_files_as(WeightFormat::F16).unwrap()[1].1;
    assert!(bytes.windows(weights.len()).any(|window| window == &weights[..]));
}

#[test]
fn several_files_of_weights_are_joined_and_missing_ones_named() {
    // Two files: one has the first tensor in the list, the other the rest.
    let whole = letters();
    let files = folder("x", &whole);
    let bytes = &files.iter().find(|(path, _)| path.ends_with("model.safetensors")).unwrap().1;
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    let names: Vec<&String> = header.as_object().unwrap().keys().filter(|name| *name != "__metadata__").collect();
    let data = &bytes[8 + header_len..];
    let shard = |names: &[&String]| {
        let (mut entries, mut content) = (serde_json::Map::new(), Vec::new());
        for name in names {
            let entry = &header[name.as_str()];
            let [start, end] = [0, 1].map(|i| entry["data_offsets"][i].as_u64().unwrap() as usize);
            let at = content.len();
            content.extend(&data[start..end]);
            entries.insert(
                (*name).clone(),
                serde_json::json!({"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [at, content.len()]}),
            );
        }
        let header = serde_json::to_vec(&entries).unwrap();
        [&(header.len() as u64).to_le_bytes()[..], &header, &content].concat()
    };
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let map: serde_json::Map<_, _> =
        names.iter().enumerate().map(|(i, name)| ((*name).clone(), shards[usize::from(i > 0)].into())).collect();
    let mut split = without(files.clone(), "model.safetensors");
    split.push((format!("x/{}", shards[0]), shard(&names[..1])));
    split.push((format!("x/{}", shards[1]), shard(&names[1..])));
    split.push((
        "x/model.safetensors.index.json".into(),
        serde_json::to_vec(&serde_json::json!({"weight_map": map})).unwrap(),
    ));
    let mut bench = Bench::new();
    bench.open(split.clone()).unwrap();
    let missing = bench.open(without(split, shards[1])).unwrap_err();
    assert!(missing.message.contains(shards[1]), "{}", missing.message);
    let mut saved = Bench::new();
    saved.open(files).unwrap();
    assert_eq!(bench.ask(SaveModel).unwrap().bytes, saved.ask(SaveModel).unwrap().bytes);
}

#[test]
fn what_is_saved_opens_again() {
    let mut bench = Bench::new();
    bench.open(folder("Mr. Bard", &letters())).unwrap();
    let saved = bench.ask(SaveModel).unwrap();
    assert_eq!(saved.name, "Mr--Bard.zip");
    let again = bench.open(vec![(saved.name.clone(), saved.bytes.0.clone())]).unwrap();
    assert_eq!((again.name.as_str(), again.number), ("Mr--Bard", 2));
    assert_eq!(bench.ask(SaveModel).unwrap(), saved);
}

#[test]
fn what_is_saved_loses_nothing() {
    let mut exact = letters();
    exact.weights.values_mut().for_each(|tensor| tensor.data[0] = 0.1);
    let mut bench = Bench::new();
    bench.open(folder("exact", &exact)).unwrap();
    let SavedModel { bytes, .. } = bench.ask(SaveModel).unwrap();
    let weights = &exact.to_files().unwrap()[1].1;
    assert!(bytes.windows(weights.len()).any(|window| window == &weights[..]));
}

#[test]
fn a_cancelled_load_changes_nothing() {
    let mut bench = Bench::new();
    let kept = bench.open(folder("kept", &letters())).unwrap();
    let call = Load::Files { files: folder("other", &letters()).into_iter().map(given).collect() }.call();
    bench.workshop.receive(Incoming::Request(Request::Ask { id: 99, call }));
    // The files are read; before they are opened, the page thinks better of it.
    pollster::block_on(bench.workshop.work());
    bench.workshop.receive(Incoming::Request(Request::Cancel { id: 99 }));
    bench.run();
    assert!(bench.events.borrow().is_empty());
    assert_eq!(bench.ask(CurrentModel).unwrap(), kept);
}
