//! Replicas in workers. A buffer goes there with the weights and comes back with the gradient: transferred, not copied.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::mpsc::UnboundedSender;
use inkling_core::train::Crew;
use js_sys::{Array, ArrayBuffer, Uint32Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, ErrorEvent, Event, MessageEvent, Worker, WorkerOptions};

use super::Duty;
use super::replica::NAME;
use crate::worker::Incoming;

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Logical processors.
pub fn processors() -> usize {
    scope().navigator().hardware_concurrency() as usize
}

/// What a member is at.
enum At {
    /// Its program starts; then it is to be sent this.
    Starting(Option<Uint32Array>),
    /// Nothing; a buffer of its own.
    Rest(Option<Uint32Array>),
    /// A gradient.
    Work,
    /// The end of one.
    Answer(Uint32Array),
    /// It will never answer.
    Lost(String),
}

/// What is known of all members, also by what listens to them.
struct State {
    at: Vec<At>,
    wake: UnboundedSender<Incoming>,
}

impl State {
    fn set(&mut self, rank: usize, at: At) {
        self.at[rank] = at;
        // The receiver lives as long as this worker.
        let _ = self.wake.unbounded_send(Incoming::Replica);
    }
}

/// Milliseconds after which a worker that has not started never will: a host that does not answer, say.
const PATIENCE: i32 = 30_000;

/// A worker and what listens to it.
struct Member {
    worker: Worker,
    timer: i32,
    _on_timeout: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(Event)>,
}

impl Drop for Member {
    fn drop(&mut self) {
        scope().clear_timeout_with_handle(self.timer);
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

/// See the module.
pub struct Workers {
    duties: Vec<Duty>,
    /// None where the browser starts none.
    members: Vec<Option<Member>>,
    state: Rc<RefCell<State>>,
}

impl Workers {
    pub fn start(duties: impl Iterator<Item = Duty>, wake: &UnboundedSender<Incoming>) -> Self {
        let duties: Vec<_> = duties.collect();
        let at = duties.iter().map(|_| At::Starting(None)).collect();
        let state = Rc::new(RefCell::new(State { at, wake: wake.clone() }));
        let members = duties.iter().map(|duty| member(duty, &state)).collect();
        Self { duties, members, state }
    }
}

fn member(duty: &Duty, state: &Rc<RefCell<State>>) -> Option<Member> {
    let options = WorkerOptions::new();
    options.set_name(NAME);
    // The learner's own script, whose program knows by its worker's name what it is for.
    let Ok(worker) = Worker::new_with_options(&scope().location().href(), &options) else {
        let why = "the browser starts no workers from this one".into();
        state.borrow_mut().at[duty.rank] = At::Lost(why);
        return None;
    };
    let (rank, heard, line) = (duty.rank, Rc::downgrade(state), worker.clone());
    let order = JsValue::from(serde_json::to_string(duty).expect("settings can be written"));
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let Some(state) = heard.upgrade() else { return };
        let mut state = state.borrow_mut();
        let data = message.data();
        if matches!(state.at[rank], At::Lost(_)) {
            return;
        }
        if let Some(why) = data.as_string() {
            state.set(rank, At::Lost(why));
        } else if let Ok(buffer) = data.dyn_into::<ArrayBuffer>() {
            state.set(rank, At::Answer(Uint32Array::new(&buffer)));
        } else {
            // It listens.
            let sent = line.post_message(&order);
            let queued = match &mut state.at[rank] {
                At::Starting(queued) => queued.take(),
                _ => None,
            };
            let at = match (sent, queued) {
                (Err(_), _) => At::Lost("it could not be told what to do".into()),
                (Ok(()), Some(message)) => post(&line, &message),
                (Ok(()), None) => At::Rest(None),
            };
            state.set(rank, at);
        }
    });
    let heard = Rc::downgrade(state);
    let on_error = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
        let why = event.dyn_into::<ErrorEvent>().map(|error| error.message()).unwrap_or_default();
        let why = if why.is_empty() { "its program could not be started".into() } else { why };
        if let Some(state) = heard.upgrade() {
            state.borrow_mut().set(rank, At::Lost(why));
        }
    });
    let heard = Rc::downgrade(state);
    let on_timeout = Closure::<dyn FnMut()>::new(move || {
        let Some(state) = heard.upgrade() else { return };
        let mut state = state.borrow_mut();
        if matches!(state.at[rank], At::Starting(_)) {
            state.set(rank, At::Lost(format!("it has not started within {} seconds", PATIENCE / 1000)));
        }
    });
    let on_late = on_timeout.as_ref().unchecked_ref();
    let timer = scope().set_timeout_with_callback_and_timeout_and_arguments_0(on_late, PATIENCE).unwrap_or_default();
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    Some(Member { worker, timer, _on_timeout: on_timeout, _on_message: on_message, _on_error: on_error })
}

/// Sends a message and gives its buffer away.
fn post(worker: &Worker, message: &Uint32Array) -> At {
    let buffer = message.buffer();
    match worker.post_message_with_transfer(&buffer, &Array::of1(&buffer)) {
        Ok(()) => At::Work,
        Err(_) => At::Lost("the browser passed a message on to it in vain".into()),
    }
}

impl Crew for Workers {
    fn replicas(&self) -> usize {
        self.members.len()
    }

    fn send(&mut self, rank: usize, message: &[u32]) {
        let Some(member) = &self.members[rank] else { return };
        let at = &mut self.state.borrow_mut().at[rank];
        let kept = match at {
            At::Rest(kept) => kept.take(),
            At::Lost(_) => return,
            _ => None,
        };
        let words = kept.unwrap_or_else(|| Uint32Array::new_with_length(message.len() as u32));
        words.copy_from(message);
        *at = match at {
            At::Starting(_) => At::Starting(Some(words)),
            _ => post(&member.worker, &words),
        };
    }

    fn is_done(&self) -> bool {
        let at = &self.state.borrow().at;
        at.iter().all(|at| matches!(at, At::Answer(_))) || at.iter().any(|at| matches!(at, At::Lost(_)))
    }

    fn receive(&mut self, rank: usize, answer: &mut [u32]) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        // Whoever is lost is told of, whichever it is.
        if let Some(why) = state.at.iter().find_map(|at| if let At::Lost(why) = at { Some(why.clone()) } else { None })
        {
            return Err(why);
        }
        let At::Answer(words) = &state.at[rank] else { return Err("it has not answered".into()) };
        let words = words.clone();
        if words.length() as usize != answer.len() {
            return Err("its answer is too short".into());
        }
        words.copy_to(answer);
        state.at[rank] = At::Rest(Some(words));
        Ok(())
    }

    fn abandon(&mut self) {
        for (rank, member_) in self.members.iter_mut().enumerate() {
            if matches!(self.state.borrow().at[rank], At::Rest(_) | At::Lost(_)) {
                continue;
            }
            // There is no other way to stop one that computes.
            *member_ = None;
            self.state.borrow_mut().at[rank] = At::Starting(None);
            *member_ = member(&self.duties[rank], &self.state);
        }
    }
}
