//! Where a model's time goes: what `inkling-core`'s operations are made of on the CPU. It knows slices, and no program, file or device.
//!
//! A crate of its own for the sake of the page, whose programs are compiled to be small (`opt-level = "z"`): this is the part of core that is
//! compiled to be fast there too. Elsewhere it is seen as `inkling_core::cpu`, `quantize`, `rng` and `step`.

pub mod cpu;
pub mod lanes;
pub mod quantize;
pub mod rng;
pub mod step;
