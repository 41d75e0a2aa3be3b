//! What runs of the trainer left: the files of `cargo xtask measure`, for figures that are recorded.

pub mod entry;
pub mod file;
