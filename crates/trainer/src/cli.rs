//! The command line's grammar.

use clap::{Args, Parser, Subcommand};

use crate::commands;

const EXAMPLES: &str = "\
Examples:
  trainer                                         train a small GPT on Tiny Shakespeare, in minutes
  trainer sample                                  let it write
  trainer train --preset small --data poems.txt   another model, another text
  trainer train --from gpt2 --data poems.txt      go on from a model of the Hugging Face hub
  trainer inspect --preset medium                 what a model consists of, and what it costs
  trainer compare runs/tiny runs/small            how runs differ: settings, losses, curves
  trainer bench --ops                             how fast this machine is, and at what

Every command explains itself: trainer COMMAND --help

Exit codes: 0 done, 1 the work failed, 2 the request is wrong, 130 interrupted with its state saved.";

/// Trains, samples and inspects small GPTs.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub output: Output,
    /// What to do; `train` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Print the result as one JSON object on stdout (errors too: {"error": {...}})
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// No progress bars and remarks
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model on a text (the default)
    Train(Box<commands::train::Arguments>),
    /// Let a trained model write
    Sample(commands::sample::Arguments),
    /// Measure how well a model predicts a text
    Eval(commands::eval::Arguments),
    /// Write a model with its weights in another format
    Export(commands::export::Arguments),
    /// Show a model's parameters, memory and operations
    Inspect(Box<commands::inspect::Arguments>),
    /// Make one plain model of adapters and their base
    Merge(commands::merge::Arguments),
    /// Compare runs: their settings, their losses and their curves
    Compare(commands::compare::Arguments),
    /// List the presets with what each costs and why it is there
    Presets(commands::presets::Arguments),
    /// Measure how fast this machine trains and samples
    Bench(Box<commands::bench::Arguments>),
    /// Corpora: fetch one into the cache
    #[command(subcommand, arg_required_else_help = true)]
    Data(commands::data::Command),
    /// Tokenizers: learn one, list its tokens, see how it cuts a text
    #[command(subcommand, arg_required_else_help = true)]
    Tokenizer(commands::tokenizer::Command),
    /// Models of the Hugging Face hub: fetch one into the cache
    #[command(subcommand, arg_required_else_help = true)]
    Model(commands::model::Command),
    /// List what this machine can compute on
    Devices(commands::devices::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }
}
