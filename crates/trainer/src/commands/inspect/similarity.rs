//! `inspect --neighbors` and `--analogy`: what the token table finds similar, beside what chance would.

use inkling_core::embedding_space::{Chance, EmbeddingSpace, Neighbour, Query};
use inkling_core::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::format::{self, Align};
use crate::model_source::LoadedModel;
use crate::terminal::Terminal;

/// Rows of each table.
const NEAREST: usize = 10;
/// Shuffled tables; the help names the number.
const SHUFFLES: u32 = 20;
/// Of the shuffles.
const SEED: u64 = 1337;
/// Characters of a token that a table shows.
const TOKEN_CHARS: usize = 40;
/// Tokens that an error lists.
const LISTED: usize = 8;

/// Answers every question about a model's table.
///
/// # Errors
/// [`Error::Token`] names what is not one token.
pub fn report(loaded: &LoadedModel, neighbors: &[String], analogies: &[String], terminal: &Terminal) -> Result<()> {
    let tokenizer = &loaded.checkpoint.tokenizer;
    let token = |text: &String| parse_token(text, tokenizer);
    let mut queries = neighbors.iter().map(|text| Ok(Query::Neighbours(token(text)?))).collect::<Result<Vec<_>>>()?;
    for given in analogies.chunks_exact(3) {
        queries.push(Query::Analogy([token(&given[0])?, token(&given[1])?, token(&given[2])?]));
    }
    let table = loaded.checkpoint.weights.get("wte.weight").expect("every model has a token table");
    let space = EmbeddingSpace::new(&table.data, table.shape[1]);
    let spinner = terminal.spinner("comparing tokens");
    let answers: Vec<Answer> = queries.iter().map(|&query| Answer::of(query, &space)).collect();
    spinner.finish_and_clear();

    let of_kind = |neighbours: bool| {
        let wanted = move |answer: &&Answer| matches!(answer.query, Query::Neighbours(_)) == neighbours;
        answers.iter().filter(wanted).map(|answer| answer.object(tokenizer)).collect::<Vec<_>>()
    };
    let object = json!({
        "name": loaded.folder,
        "tokens": space.tokens(),
        "neighbors": of_kind(true),
        "analogies": of_kind(false),
        "shuffles": SHUFFLES,
        "seed": SEED,
    });
    let mut text = String::new();
    for answer in &answers {
        text += &format!("{}\n", answer.text(tokenizer));
    }
    let remark = format!(
        "cosines of rows of wte.weight less their mean, {} tokens; shuffled: of the same rank after the entries of each \
         channel were permuted among the tokens, mean and largest of {SHUFFLES} shuffles",
        format::count(space.tokens() as u64),
    );
    terminal.result(&object, &(text + &format::paragraph(&remark, "", format::WIDTH)))
}

/// What was found, and what chance finds at the same ranks.
struct Answer {
    query: Query,
    found: Vec<Neighbour>,
    chance: Vec<Chance>,
}

impl Answer {
    fn of(query: Query, space: &EmbeddingSpace) -> Self {
        Self { query, found: space.nearest(query, NEAREST), chance: space.chance(query, NEAREST, SHUFFLES, SEED) }
    }

    fn object(&self, tokenizer: &Tokenizer) -> Value {
        let token = |id: u32| json!({ "id": id, "text": tokenizer.token_text(id) });
        let nearest: Vec<Value> = self
            .found
            .iter()
            .zip(&self.chance)
            .map(|(found, chance)| {
                json!({
                    "token": token(found.token),
                    "cosine": found.cosine,
                    "shuffled": { "mean": chance.mean, "max": chance.max },
                })
            })
            .collect();
        match self.query {
            Query::Neighbours(of) => json!({ "token": token(of), "nearest": nearest }),
            Query::Analogy(given) => json!({ "tokens": given.map(token), "nearest": nearest }),
        }
    }

    fn text(&self, tokenizer: &Tokenizer) -> String {
        let quoted = |id: u32| quoted(id, tokenizer);
        let title = match self.query {
            Query::Neighbours(of) => format!("nearest to {} #{of}", quoted(of)),
            Query::Analogy([a, b, c]) => {
                format!("{} #{a} : {} #{b} = {} #{c} : ?", quoted(a), quoted(b), quoted(c))
            }
        };
        let columns = [
            ("token", Align::Left),
            ("id", Align::Right),
            ("cosine", Align::Right),
            ("shuffled: mean", Align::Right),
            ("max", Align::Right),
        ];
        let rows: Vec<Vec<String>> = self
            .found
            .iter()
            .zip(&self.chance)
            .map(|(found, chance)| {
                let cosines = [found.cosine, chance.mean, chance.max].map(|cosine| format!("{cosine:.3}"));
                [vec![quoted(found.token), format!("#{}", found.token)], cosines.to_vec()].concat()
            })
            .collect();
        format!("{title}\n{}", format::table(&columns, &rows))
    }
}

/// A token's text with invisible characters escaped, cut where it is long.
fn quoted(id: u32, tokenizer: &Tokenizer) -> String {
    format::cut_end(&format!("{:?}", tokenizer.token_text(id).unwrap_or_default()), TOKEN_CHARS)
}

/// `#17`, or a text that is encoded as one token.
fn parse_token(given: &str, tokenizer: &Tokenizer) -> Result<u32> {
    let refuse = |problem: String| Error::Token { given: given.into(), problem };
    let last = tokenizer.vocab_size() - 1;
    if let Some(digits) =
        given.strip_prefix('#').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty())
    {
        let id = digits.parse().ok().filter(|&id: &u32| id as usize <= last);
        return id.ok_or_else(|| refuse(format!("the ids of this model are #0 to #{last}")));
    }
    let ids = tokenizer.encode(given).map_err(|problem| refuse(problem.to_string()))?;
    match ids.as_slice() {
        [id] => Ok(*id),
        [] => Err(refuse("it is empty".into())),
        several => {
            let listed: Vec<String> =
                several.iter().take(LISTED).map(|&id| format!("{} #{id}", quoted(id, tokenizer))).collect();
            let more = if several.len() > LISTED { ", …" } else { "" };
            Err(refuse(format!("it is {} tokens, {}{more}", several.len(), listed.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use inkling_core::tokenizer::CharTokenizer;

    use super::*;

    fn parse(given: &str) -> Result<u32> {
        parse_token(given, &CharTokenizer::from_text("\n#ab1").unwrap().into())
    }

    #[test]
    fn a_token_is_a_text_of_one_token_or_an_id() {
        for (given, id) in [("\n", 0), ("#", 1), ("1", 2), ("a", 3), ("#3", 3), ("#4", 4)] {
            assert_eq!(parse(given).unwrap(), id, "{given:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_told_with_what_it_is() {
        for (given, problem) in [
            ("", "cannot take \"\" as a token: it is empty"),
            ("ab\n", "cannot take \"ab\\n\" as a token: it is 3 tokens, \"a\" #3, \"b\" #4, \"\\n\" #0"),
            ("aaaaaaaaaaaa", "it is 12 tokens, \"a\" #3, "),
            ("c", "the character 'c' (U+0063)"),
            ("#5", "the ids of this model are #0 to #4"),
            ("#99999999999999999999", "the ids of this model are #0 to #4"),
            ("#a", "it is 2 tokens, \"#\" #1, \"a\" #3"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(error.to_string().contains(problem) && error.exit_code() == 2, "{error}");
        }
    }
}
