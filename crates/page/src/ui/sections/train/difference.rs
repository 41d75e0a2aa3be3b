//! In what runs differ.

use super::recipe::{FIELDS, Recipe};
use crate::protocol::train::{RunSettings, RunText, RunTokenizer};

/// A setting that differs: its name, and its value in each run.
pub type Row = (&'static str, Vec<String>);

/// What of the settings is not alike in all runs.
pub fn difference(runs: &[&RunSettings]) -> Vec<Row> {
    let recipes: Vec<Recipe> =
        runs.iter().map(|run| Recipe { model: run.model.clone(), train: run.train.clone() }).collect();
    let fields = FIELDS
        .iter()
        .enumerate()
        .map(|(at, field)| (field.label, recipes.iter().map(|recipe| recipe.text(at)).collect()));
    let others = [
        ("Text", runs.iter().map(|run| text(&run.text)).collect()),
        ("Tokens", runs.iter().map(|run| tokenizer(run.tokenizer)).collect()),
    ];
    others
        .into_iter()
        .chain(fields)
        .filter(|(_, values): &Row| values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect()
}

/// What it learns from.
pub fn text(text: &RunText) -> String {
    match text {
        RunText::Shakespeare => "Tiny Shakespeare".into(),
        RunText::FirstPages => "the first pages of Tiny Shakespeare".into(),
        RunText::Own { name, .. } => name.clone(),
    }
}

/// In what tokens.
pub fn tokenizer(tokenizer: RunTokenizer) -> String {
    match tokenizer {
        RunTokenizer::Char => "characters".into(),
        RunTokenizer::Byte => "bytes".into(),
        RunTokenizer::Bpe { vocab_size } => format!("byte pairs, {vocab_size}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::presets::recipe;
    use super::*;

    #[test]
    fn only_what_differs_is_listed() {
        let (recipe, _) = recipe("nano").unwrap();
        let one = RunSettings {
            name: "one".into(),
            model: recipe.model,
            train: recipe.train,
            text: RunText::Shakespeare,
            tokenizer: RunTokenizer::Char,
        };
        let mut two = one.clone();
        two.name = "two".into();
        assert_eq!(difference(&[&one, &two]), []);
        two.model.dropout = 0.1;
        two.tokenizer = RunTokenizer::Bpe { vocab_size: 300 };
        let rows = difference(&[&one, &two, &one]);
        let names: Vec<_> = rows.iter().map(|row| row.0).collect();
        assert_eq!(names, ["Tokens", "Dropout"]);
        assert_eq!(rows[1].1, ["0", "0.1", "0"]);
        assert_eq!(difference(&[&one]), []);
    }
}
