//! One file per op: each kernel at awkward sizes against its CPU twin.

mod adamw;
mod attention;
mod cross_entropy;
mod dropout;
mod embedding;
mod float16;
mod grad_norm;
mod head;
mod history;
mod kv_cache;
mod layernorm;
mod linear;
mod lora;
mod matvec;
mod qk_norm;
mod rmsnorm;
mod rope;
mod sample;
mod swiglu;
