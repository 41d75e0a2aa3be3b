//! Project tasks: what cargo alone cannot do. `cargo xtask --help` lists them.
//!
//! Every task can be repeated at no cost, says what it does, and names what is missing and how to get it.

mod apt;
mod bench;
mod browser;
mod core_tests;
mod error;
mod golden;
mod measure;
mod page;
mod process;
mod python;
mod setup;
mod steps;
mod table;
mod test;
mod test_counts;
mod toolchain;
mod tools;
mod vulkan;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Inkling's project tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Prepare this machine: wasm targets, rustfmt, clippy, what GPU and browser tests need; with --python also .venv with PyTorch
    Setup(setup::Arguments),
    /// Run everything that must hold, cheapest first: format, lints, docs, tests natively, on a GPU, in wasm and in a browser
    Test,
    /// Show the page on this machine: installs what builds it, builds, serves, builds again whenever a source changes
    Serve(page::serve::Arguments),
    /// Write the page as a folder for any static host, and check its size
    Dist(page::dist::Arguments),
    /// Train the model that comes with the page and put it into web/models
    ShipModel(page::shipped::Arguments),
    /// The last step of a page's build, which trunk calls
    #[command(hide = true)]
    PageFinish,
    /// Write the PyTorch fixtures anew and open a freshly trained folder in `transformers` (needs Python)
    Golden,
    /// Train the runs that the page shows as recorded, where they are missing, and write web/measured
    Measure(measure::Arguments),
    /// Measure the trainer's speed, with --vs-torch against PyTorch in the same run
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::Test => return test::run(),
        Task::Serve(arguments) => page::serve::run(&arguments),
        Task::Dist(arguments) => page::dist::run(&arguments),
        Task::ShipModel(arguments) => page::shipped::run(&arguments),
        Task::PageFinish => page::finish::run(),
        Task::Golden => golden::run(),
        Task::Measure(arguments) => measure::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
