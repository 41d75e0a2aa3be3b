//! `trainer tokenizer …`: learn one, look into one, see it work.

mod encode;
mod show;
mod train;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use inkling_core::tokenizer::Tokenizer;

use crate::error::Result;
use crate::terminal::Terminal;
use crate::tokenizer_source;

/// `trainer tokenizer …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Learn a tokenizer from a text
    Train(train::Arguments),
    /// List the tokens of a tokenizer
    Show(show::Arguments),
    /// Show how a text becomes tokens
    Encode(encode::Arguments),
}

/// Runs `trainer tokenizer …`.
pub fn run(command: &Command, terminal: &Terminal) -> Result<()> {
    match command {
        Command::Train(arguments) => train::run(arguments, terminal),
        Command::Show(arguments) => show::run(arguments, terminal),
        Command::Encode(arguments) => encode::run(arguments, terminal),
    }
}

/// The option of commands that work with a tokenizer.
#[derive(Debug, Args)]
struct FileArgument {
    /// A tokenizer.json, or a folder that has one (a run: its best checkpoint's)
    #[arg(long, value_name = "PATH", default_value = "tokenizer.json")]
    tokenizer: PathBuf,
}

impl FileArgument {
    fn load(&self) -> Result<Tokenizer> {
        tokenizer_source::load(&self.tokenizer)
    }
}

/// A token between quotation marks, with what cannot be seen escaped: `"\n"`, `" the"`, `"\xE2"`.
fn quoted(tokenizer: &Tokenizer, id: u32) -> String {
    let mut text = String::from('"');
    for chunk in tokenizer.token_bytes(id).unwrap_or_default().utf8_chunks() {
        // An apostrophe needs no escape between quotation marks.
        text += &chunk.valid().escape_debug().to_string().replace("\\'", "'");
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text + "\""
}
