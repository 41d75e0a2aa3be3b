//! Texts of the shipped model, against core's own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::mpsc::unbounded;
use inkling_core::checkpoint::Checkpoint;
use inkling_core::cpu::Pool;
use inkling_core::sample::{Generator, Sampler, SamplerConfig};

use super::*;
use crate::protocol::model::Origin;
use crate::protocol::{Answer, Ask, Event, FailureKind, Id, Part, Request};
use crate::worker::fetch::Folder;
use crate::worker::{Incoming, Role};

/// Files of the shipped model.
fn files() -> BTreeMap<String, Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/models/shakespeare");
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
    names.map(|name| (name.to_owned(), std::fs::read(format!("{folder}/{name}")).unwrap())).into()
}

struct Bench {
    workshop: Workshop,
    events: Rc<RefCell<Vec<Event>>>,
    last: Id,
}

impl Bench {
    fn new() -> Self {
        let events = Rc::new(RefCell::new(Vec::new()));
        let heard = events.clone();
        let (sender, _) = unbounded();
        let mut bench = Self {
            workshop: Workshop::new(Role::FIGURES, move |event| heard.borrow_mut().push(event), sender),
            events,
            last: 0,
        };
        bench.load();
        bench
    }

    fn load(&mut self) {
        let folder = Folder { files: files(), ..Folder::new("shakespeare".into(), Origin::Files) };
        self.workshop.open(folder).unwrap();
    }

    fn ask(&mut self, ask: impl Ask) -> Id {
        self.last += 1;
        self.workshop.receive(Incoming::Request(Request::Ask { id: self.last, call: ask.call() }));
        self.last
    }

    fn work(&mut self) -> bool {
        pollster::block_on(self.workshop.work())
    }

    /// What came of an ask until now, and its end.
    fn heard(&self, of: Id) -> (Generated, Option<Result<Written, Failure>>) {
        let (mut all, mut end) = (Generated::default(), None);
        for event in self.events.borrow().iter() {
            match event {
                Event::Part { id, part: Part::Generate(part) } if *id == of => {
                    all.tokens.extend(&part.tokens);
                    all.logits.0.extend_from_slice(&part.logits);
                    all.chances.0.extend_from_slice(&part.chances);
                    all.entropies.0.extend_from_slice(&part.entropies);
                }
                Event::Done { id, answer: Answer::Generate(written) } if *id == of => end = Some(Ok(*written)),
                Event::Failed { id, failure } if *id == of => end = Some(Err(failure.clone())),
                _ => {}
            }
        }
        (all, end)
    }

    fn write(&mut self, call: &Generate) -> Generated {
        let id = self.ask(call.clone());
        while self.work() {}
        let (text, end) = self.heard(id);
        assert_eq!(end.unwrap().unwrap().tokens, call.count);
        text
    }
}

fn call(count: usize) -> Generate {
    let sampling = SamplerConfig { temperature: 0.8, top_k: Some(30), top_p: Some(0.95), seed: 1337 };
    Generate { prompt: vec![30, 27, 25, 17, 27, 10], given: vec![], sampling, count }
}

fn core() -> (Generator, usize) {
    let checkpoint = Checkpoint::model_from_files(|name| Ok(files().get(name).cloned())).unwrap();
    let (config, weights) = (&checkpoint.config, &checkpoint.weights);
    let device = Device::Cpu(Pool::new(1));
    let generator = pollster::block_on(Generator::new(config, weights, Precision::Full, device, 1 << 30)).unwrap();
    (generator, config.vocab_size)
}

#[test]
fn a_text_in_slices_is_cores_and_its_logits_are_what_it_was_drawn_from() {
    // Longer than the context, so that it is read again more than once.
    let call = call(300);
    let text = Bench::new().write(&call);
    let (mut generator, vocab) = core();
    generator.start(&call.prompt).unwrap();
    assert_eq!(text.tokens, pollster::block_on(generator.generate(&call.sampling, call.count)).unwrap());
    let mut sampler = Sampler::new(call.sampling).unwrap();
    for (i, logits) in text.logits.chunks_exact(vocab).enumerate() {
        assert_eq!(sampler.sample(logits, (call.prompt.len() + i) as u32).unwrap(), text.tokens[i]);
        let probabilities = sampler.probabilities(logits);
        assert_eq!(text.chances[i], probabilities[text.tokens[i] as usize]);
        assert_eq!(text.entropies[i], entropy(&probabilities));
    }
    assert_eq!((text.logits.len(), text.chances.len(), text.entropies.len()), (300 * vocab, 300, 300));
}

#[test]
fn what_is_given_is_read_as_if_it_had_been_written() {
    let mut bench = Bench::new();
    let whole = bench.write(&call(220));
    // From a text that this one begins with, and from the start.
    for given in [0, 1, 150, 219] {
        for fresh in [false, true] {
            if fresh {
                bench.load();
            }
            let rest = bench.write(&Generate { given: whole.tokens[..given].to_vec(), ..call(220 - given) });
            assert_eq!(rest.tokens, whole.tokens[given..], "after {given} given tokens");
            assert_eq!(rest.logits[..], whole.logits[whole.logits.len() - rest.logits.len()..]);
        }
    }
    // One by one.
    let mut text = Vec::new();
    while text.len() < 30 {
        text.extend(bench.write(&Generate { given: text.clone(), ..call(1) }).tokens);
    }
    assert_eq!(text, whole.tokens[..30]);
    // Another token in its place: the same dice go on from there.
    let forced = (whole.tokens[10] + 1) % 65;
    let given = [&whole.tokens[..10], &[forced]].concat();
    let other = bench.write(&Generate { given: given.clone(), ..call(50) });
    let (mut generator, _) = core();
    generator.start(&call(0).prompt).unwrap();
    given.iter().for_each(|&token| generator.push(token));
    assert_eq!(other.tokens, pollster::block_on(generator.generate(&call(0).sampling, 50)).unwrap());
}

#[test]
fn a_cancelled_text_ends_and_the_next_one_is_unharmed() {
    let mut bench = Bench::new();
    let want = bench.write(&call(40));
    let id = bench.ask(call(1_000_000));
    for _ in 0..5 {
        assert!(bench.work());
    }
    bench.workshop.receive(Incoming::Request(Request::Cancel { id }));
    assert!(!bench.work(), "nothing is left to do");
    assert!(bench.heard(id).1.is_none());
    assert_eq!(bench.write(&call(40)), want);
    // Two at a time.
    let ids = [call(40), call(25)].map(|call| bench.ask(call));
    while bench.work() {}
    let [first, second] = ids.map(|id| bench.heard(id).0);
    assert_eq!((first.tokens, second.tokens), (want.tokens.clone(), want.tokens[..25].to_vec()));
}

#[test]
fn what_cannot_be_written_is_a_sentence_and_leaves_the_rest_working() {
    let mut bench = Bench::new();
    let hot = SamplerConfig { temperature: -1.0, ..call(1).sampling };
    let calls = [
        (Generate { prompt: vec![], ..call(5) }, "empty"),
        (Generate { prompt: vec![65_000], ..call(5) }, "65000"),
        (Generate { given: vec![65_000], ..call(5) }, "65000"),
        (Generate { sampling: hot, ..call(5) }, "temperature"),
    ];
    for (call, names) in calls {
        let id = bench.ask(call);
        while bench.work() {}
        let failure = bench.heard(id).1.unwrap().unwrap_err();
        assert!(failure.kind == FailureKind::Input && failure.message.contains(names), "{failure}");
    }
    assert!(bench.write(&call(0)).tokens.is_empty());
    assert_eq!(bench.write(&call(5)).tokens.len(), 5);
}

#[test]
fn chunks_take_neither_too_long_nor_too_short() {
    let mut chunk = Chunk::CPU;
    // 0.2 ms a token.
    (0..20).for_each(|_| chunk.took(chunk.size as f64 * 0.000_2));
    assert_eq!(chunk.size, 32);
    // 30 ms a token.
    (0..20).for_each(|_| chunk.took(chunk.size as f64 * 0.03));
    assert_eq!(chunk.size, 1);
    // A browser that takes a tenth of a second for each read.
    let mut chunk = Chunk::GPU;
    (0..20).for_each(|_| chunk.took(0.1 + chunk.size as f64 * 0.000_5));
    assert_eq!(chunk.size, 32);
}
