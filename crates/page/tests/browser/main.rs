//! The page as a whole, in a real browser: `cargo xtask test` builds it and runs these.

mod harness;
mod native;

mod access;
mod address;
mod attention;
mod degraded;
mod embed;
mod figures;
mod model;
mod modern;
mod next;
mod offline;
mod own;
mod sample;
mod sample_numbers;
mod scale;
mod stack;
mod tokenize;
mod train;
mod train_limits;
mod train_runs;
mod train_threads;
mod whole;
