//! The CPU engine's parts: SIMD lanes, thread pool, matrix product and the element-wise functions the ops are made of.
//!
//! One source for every instruction set: kernels are generic over [`simd::Simd`], and the widest one that the machine has is
//! picked once, at run time (natively) or build time (wasm32).

pub mod aligned;
pub mod gemm;
pub mod math;
pub mod matvec;
pub mod pool;
pub mod simd;

pub use pool::Pool;
