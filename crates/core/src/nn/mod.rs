//! The model as modules that record: `forward` and `backward` of each next to each other, readable like the paper.
//!
//! A module holds parameter handles; `forward` pushes ops and returns the tensors that `backward` needs.

pub mod attention;
pub mod bigram;
pub mod block;
pub mod generator;
pub mod gpt;
pub mod history;
mod lora;
pub mod loss;
pub mod mlp;
pub mod norm;
pub mod optimizer;
pub mod projection;

pub use generator::{Generation, decoded_bytes};
pub use gpt::{Graph, Recording};
