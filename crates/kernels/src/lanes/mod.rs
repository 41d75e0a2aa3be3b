//! What the operations do with the elements of slices, lanes at a time, one file per operation; `inkling_core::ops` has what they mean and how
//! they are put together.

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod layernorm;
pub mod qk_norm;
pub mod rmsnorm;
pub mod rope;
pub mod swiglu;
mod vectors;
