//! One file per command: its arguments and what it does with them.

pub mod bench;
pub mod compare;
pub mod data;
pub mod devices;
pub mod eval;
pub mod export;
pub mod inspect;
pub mod merge;
pub mod model;
pub mod presets;
pub mod sample;
pub mod tokenizer;
pub mod train;
