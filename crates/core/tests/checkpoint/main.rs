//! Checkpoints through their public door: folders of named bytes.

mod folder;
mod hostile;
mod round_trip;
mod transformers_files;
