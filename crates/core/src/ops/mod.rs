//! The operations a transformer is made of: forward and backward next to each other, one file per idea.
//!
//! Gradients of parameters and of the residual stream accumulate; every other gradient is assigned. Shapes in the docs: `B` sequences, `T`
//! positions, `M = B·T` rows, `C` channels, `F` hidden channels, `V` tokens, `NH` heads of `D` channels.

pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod grad_norm;
pub mod head;
pub mod history;
pub mod kv_cache;
pub mod layernorm;
pub mod linear;
pub mod lora;
pub mod loss_scaler;
pub mod matvec;
pub mod norm;
pub mod qk_norm;
pub mod quantize;
pub mod rmsnorm;
pub mod rope;
pub mod sample;
pub mod swiglu;

pub use inkling_kernels::lanes::{activation, elementwise};
