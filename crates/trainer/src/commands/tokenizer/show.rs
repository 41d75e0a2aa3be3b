//! `trainer tokenizer show`: the tokens of a tokenizer, and of which two each was made.

use std::collections::HashMap;

use clap::Args;
use inkling_core::tokenizer::{Merge, Tokenizer};
use serde_json::json;

use super::{FileArgument, quoted};
use crate::error::{Error, Result};
use crate::format::{self, Align};
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer tokenizer show
  trainer tokenizer show --tokenizer runs/tiny
  trainer tokenizer show --tokenizer gpt2 --start 50000 --count 257 --json";

/// `trainer tokenizer show`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    file: FileArgument,
    /// The first id to list [default: the first merged one of a bpe vocabulary, else 0]
    #[arg(long, value_name = "ID")]
    start: Option<u32>,
    /// How many to list
    #[arg(long, value_name = "N", default_value_t = 40)]
    count: u32,
}

/// Runs `trainer tokenizer show`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let tokenizer = arguments.file.load()?;
    let size = tokenizer.vocab_size() as u32;
    let merges = merges(&tokenizer);
    let start = arguments.start.or_else(|| merges.keys().min().copied()).unwrap_or(0);
    if start >= size {
        return Err(Error::Setting {
            key: "--start".into(),
            problem: format!("the ids are 0 to {}, and it is {start}", size - 1),
            hint: "choose one of them".into(),
        });
    }
    let ids = start..start.saturating_add(arguments.count).min(size);
    let name = tokenizer.kind().name();
    let object = json!({
        "tokenizer": arguments.file.tokenizer,
        "kind": name,
        "vocab_size": size,
        "merges": merges.len(),
        "end_of_text": tokenizer.end_of_text(),
        "tokens": ids.clone().map(|id| json!({
            "id": id,
            "text": tokenizer.token_text(id),
            "rank": merges.get(&id).map(|merge| merge.rank),
            "merged": merges.get(&id).map(|merge| [merge.left, merge.right]),
        })).collect::<Vec<_>>(),
    });
    // Only byte pairs are made of others.
    let merged = matches!(tokenizer, Tokenizer::Bpe(_)).then_some(merges.len());
    let rows: Vec<Vec<String>> = ids
        .map(|id| {
            let made_of = merges
                .get(&id)
                .map(|merge| format!("{} + {}", quoted(&tokenizer, merge.left), quoted(&tokenizer, merge.right)));
            let known = [format::count(id.into()), quoted(&tokenizer, id)].into_iter();
            known.chain(merged.map(|_| made_of.unwrap_or_default())).collect()
        })
        .collect();
    let columns = [("id", Align::Right), ("token", Align::Left), ("made of", Align::Left)];
    let text = format!(
        "{name} tokenizer: {} tokens{}\n\n{}",
        format::count(size.into()),
        merged.map_or(String::new(), |count| format!(", {} merges", format::count(count as u64))),
        format::table(&columns[..2 + usize::from(merged.is_some())], &rows),
    );
    terminal.result(&object, &text)
}

/// The first rule that makes each token.
fn merges(tokenizer: &Tokenizer) -> HashMap<u32, Merge> {
    let mut first = HashMap::new();
    if let Tokenizer::Bpe(tokenizer) = tokenizer {
        for merge in tokenizer.merges() {
            first.entry(merge.result).or_insert(merge);
        }
    }
    first
}
