//! The page's end of the line: asks the worker, and hears of each answer where it was asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use leptos::prelude::*;
use leptos::reactive::owner;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageEvent, Worker};

use crate::protocol::buffers::to_message;
use crate::protocol::{Ask, Call, Event, Failure, Id, Request};

#[wasm_bindgen]
extern "C" {
    /// What web/start.js leaves for this program: a worker, which it has started early, and the events heard of it since.
    type Started;
    #[wasm_bindgen(thread_local_v2, js_name = inklingWorker)]
    static STARTED: Started;
    #[wasm_bindgen(method, getter)]
    fn worker(this: &Started) -> Worker;
    #[wasm_bindgen(method, getter)]
    fn early(this: &Started) -> js_sys::Array;
    /// Starts the worker that trains.
    #[wasm_bindgen(catch, js_name = inklingLearner)]
    fn start_learner() -> Result<Worker, JsValue>;
}

/// A worker and who waits for what.
struct Line {
    worker: Worker,
    /// Messages wait here until the worker listens.
    waiting: Option<Vec<Request>>,
    asks: HashMap<Id, UnboundedSender<Event>>,
    last: Id,
}

impl Line {
    fn send(&mut self, request: Request) {
        if let Some(waiting) = &mut self.waiting {
            waiting.push(request);
            return;
        }
        let (message, buffers) = to_message(&request).expect("every request can be written");
        self.worker.post_message_with_transfer(&message, &buffers).expect("buffers are new and can be transferred");
    }
}

/// A handle of the worker.
#[derive(Clone, Copy)]
pub struct Client(owner::StoredValue<Rc<RefCell<Line>>, LocalStorage>);

/// What is heard of an ask.
pub enum Heard<A: Ask> {
    /// On the way.
    Part(A::Part),
    /// The end.
    Answer(A::Answer),
    /// The end.
    Failed(Failure),
}

/// An ask under way. To drop it is to cancel it.
pub struct Conversation<A> {
    end: End,
    call: PhantomData<A>,
}

/// The page's end of a conversation, whatever it is about.
struct End {
    line: Rc<RefCell<Line>>,
    id: Id,
    events: UnboundedReceiver<Event>,
    ended: bool,
}

impl Client {
    /// Listens to the worker that web/start.js has started. `broken` hears why, if it breaks down.
    pub fn connect(broken: impl Fn(String) + Clone + 'static) -> Self {
        let (worker, early) = STARTED.with(|started| (started.worker(), started.early()));
        Self::listen(worker, early, Rc::new(broken))
    }

    /// Starts the worker that trains, and listens to it; none where the browser allows no other.
    pub fn learner(broken: impl Fn(String) + Clone + 'static) -> Option<Self> {
        Some(Self::listen(start_learner().ok()?, js_sys::Array::new(), Rc::new(broken)))
    }

    fn listen(worker: Worker, early: js_sys::Array, broken: Rc<dyn Fn(String)>) -> Self {
        let line = Rc::new(RefCell::new(Line {
            worker: worker.clone(),
            waiting: Some(Vec::new()),
            asks: HashMap::new(),
            last: 0,
        }));
        let (listener, report) = (Rc::downgrade(&line), broken.clone());
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
            let Some(line) = listener.upgrade() else { return };
            match serde_wasm_bindgen::from_value(message.data()) {
                Ok(Event::Panicked { message }) => report(message),
                Ok(event) => hear(&mut line.borrow_mut(), event),
                Err(error) => report(format!("page and worker are not of one build: {error}")),
            }
        });
        let on_error = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
            let message = event.dyn_into::<web_sys::ErrorEvent>().map(|error| error.message()).unwrap_or_default();
            broken(if message.is_empty() {
                "the worker's program could not be fetched or started".into()
            } else {
                message
            });
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        on_message.forget();
        on_error.forget();
        for event in early {
            // Fails only for an event that is being dispatched.
            let _ = worker.dispatch_event(event.unchecked_ref());
        }
        Self(owner::StoredValue::new_local(line))
    }

    /// Asks.
    pub fn ask<A: Ask>(self, ask: A) -> Conversation<A> {
        Conversation { end: self.call(ask.call()), call: PhantomData }
    }

    /// Ends the worker: of what was asked nothing more is heard.
    pub fn end(self) {
        self.0.with_value(|line| line.borrow().worker.terminate());
    }

    fn call(self, call: Call) -> End {
        let line = self.0.get_value();
        let (sender, events) = unbounded();
        let id = {
            let mut line = line.borrow_mut();
            line.last += 1;
            let id = line.last;
            line.asks.insert(id, sender);
            line.send(Request::Ask { id, call });
            id
        };
        End { line, id, events, ended: false }
    }
}

fn hear(line: &mut Line, event: Event) {
    let id = match &event {
        Event::Ready => {
            let waiting = line.waiting.take();
            waiting.into_iter().flatten().for_each(|request| line.send(request));
            return;
        }
        Event::Part { id, .. } | Event::Done { id, .. } | Event::Failed { id, .. } => *id,
        Event::Panicked { .. } => return,
    };
    // What was cancelled is not in the table any more.
    if let Some(ask) = line.asks.get(&id) {
        let _ = ask.unbounded_send(event);
    }
}

impl<A: Ask> Conversation<A> {
    /// The next thing heard; `None` after the end.
    pub async fn next(&mut self) -> Option<Heard<A>> {
        let wrong = "answers are of the call's own kind";
        Some(match self.end.next().await? {
            Event::Part { part, .. } => Heard::Part(A::part(part).expect(wrong)),
            Event::Done { answer, .. } => Heard::Answer(A::answer(answer).expect(wrong)),
            Event::Failed { failure, .. } => Heard::Failed(failure),
            Event::Ready | Event::Panicked { .. } => unreachable!("these are not of an ask"),
        })
    }

    /// The answer, whatever comes before it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn answer(mut self) -> Result<A::Answer, Failure> {
        loop {
            match self.next().await {
                Some(Heard::Part(_)) => {}
                Some(Heard::Answer(answer)) => return Ok(answer),
                Some(Heard::Failed(failure)) => return Err(failure),
                None => std::future::pending::<()>().await, // the worker is gone, and the page says so
            }
        }
    }
}

impl End {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.next().await?;
        self.ended = matches!(event, Event::Done { .. } | Event::Failed { .. });
        Some(event)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut line = self.line.borrow_mut();
        line.asks.remove(&self.id);
        if !self.ended {
            line.send(Request::Cancel { id: self.id });
        }
    }
}
