//! Runs from outside: what is asked, what is heard, and whether it is what core and `trainer` compute.

mod archives;
mod keeping;
mod replicas;
mod training;

use std::cell::RefCell;
use std::rc::Rc;

use inkling_core::cpu::Pool;
use inkling_core::tokenizer::CharTokenizer;
use inkling_core::train::{Dataset, TrainConfig, Trainer};
use inkling_core::{Device, ModelConfig};

use super::run::Run;
use super::store::Place;
use crate::protocol::train::{
    Evaluated, OpenRun, RunCard, RunPart, RunSettings, RunState, RunText, RunTokenizer, Steer, Steering, StepPoint,
};
use crate::protocol::{Answer, Ask, Call, Event, Failure, Part, Request};
use crate::worker::{Incoming, Role, Workshop};

/// This project's own words.
const TEXT: &str = include_str!("../../../../../../README.md");

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn settings() -> RunSettings {
    let model = ModelConfig {
        n_positions: 16,
        n_embd: 16,
        n_layer: 2,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 32,
        dropout: 0.1,
        ..ModelConfig::default()
    };
    let train = TrainConfig { batch_size: 4, max_steps: 60, warmup_steps: 5, eval_steps: 20, ..TrainConfig::default() };
    let text = RunText::Own { name: "notes.txt".into(), text: text() };
    RunSettings { name: "My run".into(), model, train, text, tokenizer: RunTokenizer::Char }
}

/// Not all of it: evaluations are to be short.
fn text() -> String {
    TEXT.chars().take(4000).collect()
}

/// Core's own run of the same settings.
fn native(settings: &RunSettings) -> Trainer {
    let text = text();
    let tokenizer = inkling_core::tokenizer::Tokenizer::from(CharTokenizer::from_text(&text).unwrap());
    let data = Dataset::new(tokenizer.encode(&text).unwrap(), &tokenizer.characters()).unwrap();
    let model = ModelConfig { vocab_size: tokenizer.vocab_size(), ..settings.model.clone() };
    wait(Trainer::new(model, settings.train.clone(), data, Device::Cpu(Pool::new(2)), u64::MAX)).unwrap()
}

/// A worker and what it said.
struct Desk {
    workshop: Workshop,
    said: Rc<RefCell<Vec<Event>>>,
    asks: u32,
}

impl Desk {
    fn new() -> Self {
        Self::at(Place::default())
    }

    /// Another worker of the same browser.
    fn at(place: Place) -> Self {
        Self::of(Role::LEARNER, place)
    }

    fn of(role: Role, place: Place) -> Self {
        let said = Rc::new(RefCell::new(Vec::new()));
        let heard = said.clone();
        let (sender, _) = futures_channel::mpsc::unbounded();
        let mut workshop = Workshop::new(role, move |event| heard.borrow_mut().push(event), sender);
        workshop.runs.place = place;
        Self { workshop, said, asks: 0 }
    }

    fn place(&self) -> Place {
        self.workshop.runs.place.clone()
    }

    fn ask(&mut self, call: Call) -> u32 {
        self.asks += 1;
        let id = self.asks;
        self.workshop.receive(Incoming::Request(Request::Ask { id, call }));
        id
    }

    /// One request or slice; false if there is nothing to do.
    fn turn(&mut self) -> bool {
        wait(self.workshop.work())
    }

    fn settle(&mut self) {
        while self.turn() {}
    }

    /// What came of an ask that was answered.
    fn outcome(&self, ask: u32) -> Option<Result<Answer, Failure>> {
        let mut said = self.said.borrow_mut();
        let ends = |event: &Event| matches!(event, Event::Done { id, .. } | Event::Failed { id, .. } if *id == ask);
        let at = said.iter().position(ends)?;
        match said.remove(at) {
            Event::Done { answer, .. } => Some(Ok(answer)),
            Event::Failed { failure, .. } => Some(Err(failure)),
            _ => None,
        }
    }

    /// Asks and works until it is answered.
    fn call<C: Ask>(&mut self, call: C) -> Result<C::Answer, Failure> {
        let id = self.ask(call.call());
        loop {
            if let Some(outcome) = self.outcome(id) {
                return outcome.map(|answer| C::answer(answer).unwrap());
            }
            assert!(self.turn(), "no answer to ask {id}");
        }
    }

    fn open(&mut self, call: OpenRun) -> Result<Opened, Failure> {
        let ask = self.ask(call.call());
        loop {
            if let Some(outcome) = self.outcome(ask) {
                return Err(outcome.unwrap_err());
            }
            if let Some(RunPart::Opened(card)) = self.parts(ask).first() {
                return Ok(Opened { ask, card: (**card).clone() });
            }
            assert!(self.turn(), "no run came of it");
        }
    }

    fn new_run(&mut self) -> Opened {
        self.open(OpenRun::New(Box::new(settings()))).unwrap()
    }

    fn steer(&mut self, run: &Opened, to: Steering) {
        self.call(Steer { run: run.card.run, to }).unwrap();
    }

    /// Everything that was heard of a run.
    fn parts(&self, ask: u32) -> Vec<RunPart> {
        let said = self.said.borrow();
        let of = |event: &Event| match event {
            Event::Part { id, part: Part::OpenRun(part) } if *id == ask => Some(part.clone()),
            _ => None,
        };
        said.iter().filter_map(of).collect()
    }

    fn points(&self, ask: u32) -> Vec<StepPoint> {
        let parts = self.parts(ask).into_iter();
        parts.flat_map(|part| if let RunPart::Steps { steps, .. } = part { steps } else { vec![] }).collect()
    }

    fn evaluations(&self, ask: u32) -> Vec<Evaluated> {
        let parts = self.parts(ask).into_iter();
        parts.filter_map(|part| if let RunPart::Evaluated(evaluated) = part { Some(evaluated) } else { None }).collect()
    }

    fn state(&self, ask: u32) -> RunState {
        let states = self.parts(ask).into_iter();
        states.filter_map(|part| if let RunPart::State(state) = part { Some(state) } else { None }).next_back().unwrap()
    }

    /// Works until so many updates were heard of, and pauses.
    fn train_to(&mut self, run: &Opened, step: u64) {
        while self.points(run.ask).last().is_none_or(|point| point.step < step) {
            self.steer(run, Steering::Step);
            self.settle();
        }
    }
}

struct Opened {
    ask: u32,
    card: RunCard,
}
