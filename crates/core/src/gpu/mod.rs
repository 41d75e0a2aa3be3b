//! The GPU engine: the same programs on any wgpu adapter (Vulkan, Metal, DX12, WebGPU).
//!
//! ```text
//! shader     the WGSL files: their bindings and parameters are read from the source, so that Rust names things once
//! dispatch   what an op asks for: entry point, tensors by binding name, parameters, constants, grid. Plain data
//! product    the matrix products: tiles, and the dispatch of one
//! tuning     which tile is fastest on this device
//! device     adapters, limits, a device and what became of it
//! engine     a loaded program: buffers, pipelines and bind groups made once, then replayed
//! readback   staging buffers, and futures of mapped memory
//! ```

pub mod device;
pub mod dispatch;
mod engine;
pub mod product;
mod readback;
pub mod shader;
pub mod tuning;

pub use device::{AdapterReport, Capabilities, GpuDevice};
pub use dispatch::{Dispatch, Kernels};
pub(crate) use engine::Gpu;
pub use readback::Pending;
pub use tuning::Tuning;
