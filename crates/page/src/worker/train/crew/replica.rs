//! The worker of a replica: the learner's program under another name.
//!
//! ```text
//! replica  null                    it listens
//! learner  Duty, as JSON           once
//! learner  weights and sequences   an ArrayBuffer, each time
//! replica  gradient and loss       the same
//! replica  a text                  what went wrong, at any time
//! ```

use futures_channel::mpsc::unbounded;
use futures_util::StreamExt;
use inkling_core::train::Replica;
use js_sys::{Array, ArrayBuffer, Uint32Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use super::Duty;
use crate::worker::model::MEMORY;

/// The name of a worker that is to be a replica.
pub const NAME: &str = "replica";

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

fn say(problem: &str) {
    // Whoever started this worker may be gone.
    let _ = scope().post_message(&problem.into());
}

/// Computes gradients from now on, in a worker of that name. False in any other.
pub fn serve() -> bool {
    if scope().name() != NAME {
        return false;
    }
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        say(&info.to_string());
    }));
    let (sender, mut messages) = unbounded();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        // The receiver lives as long as the worker.
        let _ = sender.unbounded_send(message.data());
    });
    spawn_local(async move {
        let mut member = Member::default();
        while let Some(data) = messages.next().await {
            if let Err(problem) = member.hear(&data).await {
                say(&problem);
            }
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    // The learner waits for this word.
    let _ = scope().post_message(&JsValue::NULL);
    true
}

#[derive(Default)]
struct Member {
    replica: Option<Replica>,
    message: Vec<u32>,
}

impl Member {
    async fn hear(&mut self, data: &JsValue) -> Result<(), String> {
        if let Some(order) = data.as_string() {
            let Duty { model, train, rank, replicas } = serde_json::from_str(&order).map_err(|e| e.to_string())?;
            let replica = Replica::new(&model, &train, rank, replicas, MEMORY).map_err(|e| e.to_string())?;
            self.message.resize(replica.words(), 0);
            self.replica = Some(replica);
            return Ok(());
        }
        let (Some(replica), Some(buffer)) = (&mut self.replica, data.dyn_ref::<ArrayBuffer>()) else {
            return Err("it was sent something else than weights".into());
        };
        let words = Uint32Array::new(buffer);
        if words.length() as usize != self.message.len() {
            return Err("it was sent weights of another model".into());
        }
        words.copy_to(&mut self.message);
        replica.answer(&mut self.message).await.map_err(|e| e.to_string())?;
        words.copy_from(&self.message);
        scope().post_message_with_transfer(buffer, &Array::of1(buffer)).map_err(|_| "its answer was not sent".into())
    }
}
