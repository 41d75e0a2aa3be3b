//! The page: a small GPT at work in the reader's own tab.
//!
//! Two programs come of this library. `page` ([`ui`]) draws and never computes a model; `worker` ([`worker`]) owns the engine and knows no
//! document. They talk in [`protocol`]'s messages. What a view shows is a [`view::ViewState`], and is in the address, so that it can be shared.

pub mod protocol;
pub mod ui;
pub mod view;
pub mod worker;
