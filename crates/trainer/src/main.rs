//! The command line: trains, samples and inspects small GPTs.
//!
//! This crate owns paths, the network and the terminal; everything about models is in `inkling-core`.

mod atomic_file;
mod cli;
mod commands;
mod corpus;
#[allow(dead_code, reason = "the rest is for `train`, which needs the engines of core")]
mod error;
mod format;
#[allow(dead_code, reason = "the rest is for `train`, which needs the engines of core")]
mod interrupt;
#[allow(dead_code, reason = "the rest is for `train`, which needs the engines of core")]
mod memory;
#[allow(dead_code, reason = "the rest is for `train`, which needs the engines of core")]
mod plot;
#[allow(dead_code, reason = "the rest is for `train`, which needs the engines of core")]
mod run_folder;
#[allow(dead_code, reason = "the rest is for `train`, which needs the engines of core")]
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use terminal::Terminal;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => return refuse(&refusal),
    };
    let terminal = Terminal::new(cli.output.json, cli.output.quiet);
    let outcome = match &cli.command {
        Command::Data(command) => commands::data::run(command, &terminal),
        Command::Devices(arguments) => commands::devices::run(arguments, &terminal),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Arguments that cannot be parsed, or `--help` and `--version`, which clap treats alike. There is no parsed `--json` to ask.
fn refuse(refusal: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the stream is gone.
    let _ = refusal.print();
    if refusal.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let message = refusal.render().to_string();
        let message = message.trim_start_matches("error: ").trim_end();
        let _ = Terminal::new(true, true).print(&format!("{}\n", error::error_object("usage", message, None, 2)));
    }
    ExitCode::from(refusal.exit_code() as u8)
}
