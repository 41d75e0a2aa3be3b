//! The page as a whole, in a real browser: `cargo xtask test` builds it and runs these.

mod harness;

mod access;
mod degraded;
mod sample;
mod whole;
