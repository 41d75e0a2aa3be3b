//! `trainer data …`: texts, made ready.

mod fetch;
mod prepare;

use clap::Subcommand;

use crate::error::Result;
use crate::terminal::Terminal;

/// `trainer data …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch a corpus into the cache and verify it
    Fetch(fetch::Arguments),
    /// Turn a text of any size into token shards, to train on without holding it in memory
    Prepare(prepare::Arguments),
}

/// Runs `trainer data …`.
pub fn run(command: &Command, terminal: &Terminal) -> Result<()> {
    match command {
        Command::Fetch(arguments) => fetch::run(arguments, terminal),
        Command::Prepare(arguments) => prepare::run(arguments, terminal),
    }
}
