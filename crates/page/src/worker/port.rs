//! The worker's end of the line.

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_util::StreamExt;
use js_sys::Promise;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, MessageChannel, MessageEvent};

use super::{Incoming, Role, Workshop};
use crate::protocol::Event;

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

fn send(role: Role, event: Event) {
    let (message, buffers) = (role.write)(event);
    scope().post_message_with_transfer(&message, &buffers).expect("buffers are new and can be transferred");
}

/// Takes requests from now on.
pub fn listen(role: Role) {
    std::panic::set_hook(Box::new(move |info| {
        console_error_panic_hook::hook(info);
        send(role, Event::Panicked { message: info.to_string() });
    }));
    let (sender, receiver) = unbounded();
    let requests = sender.clone();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let request = (role.read)(message.data()).expect("page and worker are of one build");
        // The receiver lives as long as the worker.
        let _ = requests.unbounded_send(Incoming::Request(request));
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    spawn_local(run(Workshop::new(role, move |event| send(role, event), sender), receiver));
    send(role, Event::Ready);
}

async fn run(mut workshop: Workshop, mut incoming: UnboundedReceiver<Incoming>) {
    let turns = Turns::new();
    loop {
        while let Ok(next) = incoming.try_recv() {
            workshop.receive(next);
        }
        if workshop.work().await {
            // Messages arrive between turns of the event loop only.
            turns.next().await;
        } else if let Some(next) = incoming.next().await {
            workshop.receive(next);
        }
    }
}

/// Turns of the event loop. A timer would wait for four milliseconds each.
struct Turns(MessageChannel);

impl Turns {
    fn new() -> Self {
        Self(MessageChannel::new().expect("a worker can make channels"))
    }

    async fn next(&self) {
        let turn = Promise::new(&mut |resolve, _| {
            self.0.port1().set_onmessage(Some(&resolve));
            self.0.port2().post_message(&JsValue::NULL).expect("null can be sent");
        });
        JsFuture::from(turn).await.expect("never rejected");
    }
}
