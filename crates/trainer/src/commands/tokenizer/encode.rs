//! `trainer tokenizer encode`: how a text becomes tokens, merge by merge.

use clap::Args;
use inkling_core::tokenizer::{BpeTokenizer, END_OF_TEXT, Tokenizer, words};
use serde_json::{Value, json};

use super::{FileArgument, quoted};
use crate::error::{Error, Result};
use crate::format::{self, Align};
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer tokenizer encode 'To be, or not to be'
  trainer tokenizer encode --tokenizer runs/tiny --merges 'lowest'
  trainer tokenizer encode --json 'naïve 🦀'";

/// `trainer tokenizer encode`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The text
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
    #[command(flatten)]
    file: FileArgument,
    /// Show each word after each merge (bpe)
    #[arg(long)]
    merges: bool,
}

/// Runs `trainer tokenizer encode`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let (tokenizer, text) = (arguments.file.load()?, &arguments.text);
    let ids = tokenizer.encode(text)?;
    let steps = match (&tokenizer, arguments.merges) {
        (Tokenizer::Bpe(bpe), true) => Some(mergeable(text, bpe).map(|word| Word::of(word, bpe)).collect::<Vec<_>>()),
        (_, false) => None,
        (other, true) => {
            return Err(Error::Setting {
                key: "--merges".into(),
                problem: format!("a {} tokenizer merges nothing", other.kind().name()),
                hint: "leave it out, or take a bpe tokenizer".into(),
            });
        }
    };
    let mut object = json!({
        "text": text,
        "kind": tokenizer.kind().name(),
        "ids": ids,
        "tokens": ids.iter().map(|&id| tokenizer.token_text(id)).collect::<Vec<_>>(),
    });
    let rows: Vec<_> = ids.iter().map(|&id| vec![format::count(id.into()), quoted(&tokenizer, id)]).collect();
    let mut shown = format::table(&[("id", Align::Right), ("token", Align::Left)], &rows);
    shown += &format!(
        "\n{} tokens, {} characters, {} bytes\n",
        format::count(ids.len() as u64),
        format::count(text.chars().count() as u64),
        format::count(text.len() as u64)
    );
    if let Some(words) = steps {
        object["words"] = words.iter().map(|word| word.to_json(&tokenizer)).collect();
        shown.extend(words.iter().map(|word| word.to_text(&tokenizer)));
    }
    terminal.result(&object, &shown)
}

/// The words of a text. [`END_OF_TEXT`] is none: where the vocabulary has it, it is a token from the start.
fn mergeable<'a>(text: &'a str, tokenizer: &BpeTokenizer) -> impl Iterator<Item = &'a str> {
    let documents: Vec<&str> = match tokenizer.end_of_text() {
        Some(_) => text.split(END_OF_TEXT).collect(),
        None => vec![text],
    };
    documents.into_iter().flat_map(words)
}

/// A word on its way from bytes to tokens.
struct Word<'a> {
    word: &'a str,
    /// The rank of the merge, and the tokens after it.
    steps: Vec<(Option<u32>, Vec<u32>)>,
}

impl<'a> Word<'a> {
    fn of(word: &'a str, tokenizer: &BpeTokenizer) -> Self {
        let steps = tokenizer.merge_steps(word).map(|step| (step.merge.map(|merge| merge.rank), step.ids));
        Self { word, steps: steps.collect() }
    }

    fn to_json(&self, tokenizer: &Tokenizer) -> Value {
        let step = |(rank, ids): &(Option<u32>, Vec<u32>)| {
            let tokens: Vec<_> = ids.iter().map(|&id| tokenizer.token_text(id)).collect();
            json!({ "rank": rank, "ids": ids, "tokens": tokens })
        };
        json!({ "word": self.word, "steps": self.steps.iter().map(step).collect::<Vec<_>>() })
    }

    fn to_text(&self, tokenizer: &Tokenizer) -> String {
        let rows: Vec<Vec<String>> = self
            .steps
            .iter()
            .map(|(rank, ids)| {
                let tokens: Vec<String> = ids.iter().map(|&id| quoted(tokenizer, id)).collect();
                vec![rank.map_or("-".into(), |rank| format::count(rank.into())), tokens.join(" ")]
            })
            .collect();
        let table = format::table(&[("rule", Align::Right), ("tokens", Align::Left)], &rows);
        format!("\n{:?}\n{table}", self.word)
    }
}
