//! Checkpoints through their public door: folders of named bytes.

mod adapters;
mod folder;
mod formats;
mod hostile;
mod llama_files;
mod round_trip;
mod shards;
mod transformers_files;
