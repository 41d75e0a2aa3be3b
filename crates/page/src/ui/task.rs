//! What is waited for beside all else. As in [`super::reactive`], tasks are in boxes, so that what runs them is compiled once.

use std::pin::Pin;

use futures_util::future::{AbortHandle, abortable};
use wasm_bindgen_futures::spawn_local;

/// Starts a task.
pub fn start(task: impl Future<Output = ()> + 'static) {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    spawn_local(task);
}

/// Starts a task that can be stopped: it is dropped where it waits.
pub fn start_stoppable(task: impl Future<Output = ()> + 'static) -> AbortHandle {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    let (task, handle) = abortable(task);
    start(async move {
        // Whoever stops it knows that it is over.
        let _ = task.await;
    });
    handle
}
