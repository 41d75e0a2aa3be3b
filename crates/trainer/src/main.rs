//! The command line: trains, samples and inspects small GPTs.
//!
//! This crate owns paths, the network and the terminal; everything about models is in `inkling-core`.

mod adapters;
mod atomic_file;
mod cache_folder;
mod cli;
mod commands;
mod continuation;
mod corpus;
mod costs;
mod device;
mod error;
mod evaluation;
mod fine_tuning;
mod format;
mod gpu_tuning;
mod http;
mod hub;
mod interrupt;
mod memory;
mod model_folder;
mod model_source;
mod plot;
mod prepared;
mod run_folder;
mod settings;
mod terminal;
mod text;
mod tokenizer_source;
mod training;

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
    // The one place that waits: core and the commands are asynchronous, for devices that have to be waited for.
    match pollster::block_on(run(cli.command, &terminal)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(command: Option<Command>, terminal: &Terminal) -> error::Result<()> {
    match command.unwrap_or_else(|| Command::Train(Box::default())) {
        Command::Train(arguments) => commands::train::run(&arguments, terminal).await,
        Command::Sample(arguments) => commands::sample::run(&arguments, terminal).await,
        Command::Eval(arguments) => commands::eval::run(&arguments, terminal).await,
        Command::Export(arguments) => commands::export::run(&arguments, terminal).await,
        Command::Inspect(arguments) => commands::inspect::run(&arguments, terminal),
        Command::Compare(arguments) => commands::compare::run(&arguments, terminal),
        Command::Presets(arguments) => commands::presets::run(&arguments, terminal),
        Command::Bench(arguments) => commands::bench::run(&arguments, terminal).await,
        Command::Data(command) => commands::data::run(&command, terminal),
        Command::Tokenizer(command) => commands::tokenizer::run(&command, terminal),
        Command::Merge(arguments) => commands::merge::run(&arguments, terminal),
        Command::Model(command) => commands::model::run(&command, terminal),
        Command::Devices(arguments) => commands::devices::run(&arguments, terminal).await,
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
