//! `--tokenizer` and `--vocab`: the tokenizer of a text, learnt from it or read from a file.
//!
//! | | comes from |
//! |---|---|
//! | `char` | the whole text: a character that only its end has must have a token too |
//! | `byte` | nothing |
//! | `bpe` | the first 90 % of the text's bytes, about its train split: what is validated on teaches nothing |
//! | a path | that tokenizer.json, or the one in that folder (of a run: its best checkpoint's) |

use std::convert::Infallible;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use inkling_core::Error as Core;
use inkling_core::checkpoint::TOKENIZER_FILE;
use inkling_core::tokenizer::pieces::pieces;
use inkling_core::tokenizer::{BpeTraining, ByteTokenizer, CharTokenizer, Tokenizer, TokenizerKind, WordCounts};
use inkling_core::train::dataset::{VAL_SHARE, train_share};

use crate::corpus::TextFile;
use crate::corpus::text_chunks::TextChunks;
use crate::error::{Error, Result};
use crate::format;
use crate::run_folder::read;
use crate::terminal::Terminal;

/// Size of a vocabulary of byte pairs when nobody says.
pub const DEFAULT_VOCAB: usize = 1024;
/// Pairs that occur less often are not merged, when nobody says.
pub const DEFAULT_MIN_FREQUENCY: u64 = BpeTraining::MIN_FREQUENCY;

/// Bytes that are counted between two moves of the progress bar.
const PIECE: usize = 1 << 20;

/// Options of commands that make a tokenizer for a text.
#[derive(Clone, Debug, Default, Args)]
pub struct TokenizerArgument {
    /// How text becomes tokens: char, byte, bpe (learnt from the first 90 % of the text), or the path of a tokenizer.json or of
    /// a folder that has one [default: the preset's; of `data prepare` char]
    #[arg(long, value_name = "char|byte|bpe|PATH", help_heading = "Tokenizer")]
    tokenizer: Option<Choice>,
    /// Tokens of a bpe vocabulary, at least 257 [default: the preset's, else 1024]
    #[arg(long, value_name = "N", help_heading = "Tokenizer")]
    vocab: Option<usize>,
}

/// `--tokenizer`
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Char,
    Byte,
    Bpe,
    File(PathBuf),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "char" => Self::Char,
            "byte" => Self::Byte,
            "bpe" => Self::Bpe,
            path => Self::File(path.into()),
        })
    }
}

impl TokenizerArgument {
    /// The option that was given, if one was.
    pub fn given(&self) -> Option<&'static str> {
        match (&self.tokenizer, self.vocab) {
            (Some(_), _) => Some("--tokenizer"),
            (None, Some(_)) => Some("--vocab"),
            (None, None) => None,
        }
    }

    /// What was asked for, beside the kind that a preset has.
    ///
    /// # Errors
    /// A file that is no tokenizer of ours, and a `--vocab` for what has no size to choose.
    pub fn source(&self, preset: TokenizerKind) -> Result<TokenizerSource> {
        let given = match (&self.tokenizer, self.vocab) {
            (Some(Choice::File(_)), Some(_)) => return Err(refuse_vocab("a file has its own size")),
            (Some(Choice::File(path)), None) => {
                return Ok(TokenizerSource { given: self.given(), origin: Origin::File(load(path)?) });
            }
            (given, _) => given,
        };
        let bpe = |default| TokenizerKind::Bpe { vocab_size: self.vocab.unwrap_or(default) };
        let kind = match (given, preset) {
            (Some(Choice::Char), _) => TokenizerKind::Char,
            (Some(Choice::Byte), _) => TokenizerKind::Byte,
            (_, TokenizerKind::Bpe { vocab_size }) => bpe(vocab_size),
            (Some(_), _) => bpe(DEFAULT_VOCAB),
            (None, kind) => kind,
        };
        match (kind, self.vocab) {
            (TokenizerKind::Char, Some(_)) => Err(refuse_vocab("a char vocabulary is the text's characters")),
            (TokenizerKind::Byte, Some(_)) => Err(refuse_vocab("a byte vocabulary has 256 tokens")),
            _ => Ok(TokenizerSource { given: self.given(), ..TokenizerSource::learn(kind, DEFAULT_MIN_FREQUENCY)? }),
        }
    }
}

fn refuse_vocab(problem: &str) -> Error {
    Error::Setting { key: "--vocab".into(), problem: problem.into(), hint: "give it with --tokenizer bpe".into() }
}

/// Where a tokenizer comes from.
#[derive(Clone, Debug)]
pub struct TokenizerSource {
    /// The option that says so, if it is not a preset.
    given: Option<&'static str>,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    /// The text's characters.
    Characters,
    /// What every text is made of.
    Bytes,
    /// The text's commonest pairs.
    Pairs(BpeTraining),
    /// A file, read.
    File(Tokenizer),
}

impl TokenizerSource {
    /// A tokenizer that is learnt from the text.
    ///
    /// # Errors
    /// A vocabulary too small or large.
    pub fn learn(kind: TokenizerKind, min_frequency: u64) -> Result<Self> {
        let origin = match kind {
            TokenizerKind::Char => Origin::Characters,
            TokenizerKind::Byte => Origin::Bytes,
            TokenizerKind::Bpe { vocab_size } => {
                let training = BpeTraining { vocab_size, min_frequency };
                training.validate()?;
                Origin::Pairs(training)
            }
        };
        Ok(Self { given: None, origin })
    }

    /// The option that asks for it; `None` where it is a preset's.
    pub fn given(&self) -> Option<&'static str> {
        self.given
    }

    /// The tokenizer of a text in memory.
    ///
    /// # Errors
    /// An empty text; too many different words.
    pub fn of_text(&self, text: &str, terminal: &Terminal) -> Result<Tokenizer> {
        self.of_pieces(pieces(text, PIECE).map(Ok), text.len() as u64, VAL_SHARE, terminal)
    }

    /// The tokenizer of a text of any size, whose end, a share of `val_share`, is kept to validate on. `check` is asked again and again
    /// whether to go on.
    ///
    /// # Errors
    /// What the text is not, with the place; what `check` says; those of [`Self::of_text`].
    pub fn of_file(
        &self,
        text: &TextFile,
        val_share: f64,
        check: impl Fn() -> Result<()>,
        terminal: &Terminal,
    ) -> Result<Tokenizer> {
        let file = File::open(&text.path).map_err(Error::io("read", &text.path))?;
        let bytes = file.metadata().map_err(Error::io("read", &text.path))?.len();
        let pieces = TextChunks::new(file, text.path.display().to_string());
        self.of_pieces(pieces.map(|piece| check().and(piece)), bytes, val_share, terminal)
    }

    /// The tokenizer of a text in pieces of `bytes` bytes in all; no more of them is read than is needed.
    fn of_pieces<S: AsRef<str>>(
        &self,
        pieces: impl Iterator<Item = Result<S>>,
        bytes: u64,
        val_share: f64,
        terminal: &Terminal,
    ) -> Result<Tokenizer> {
        match &self.origin {
            Origin::File(tokenizer) => Ok(tokenizer.clone()),
            Origin::Bytes => Ok(ByteTokenizer.into()),
            Origin::Characters => characters(pieces, bytes, terminal),
            Origin::Pairs(training) => byte_pairs(pieces, train_share(bytes, val_share), *training, terminal),
        }
    }
}

fn characters<S: AsRef<str>>(
    pieces: impl Iterator<Item = Result<S>>,
    bytes: u64,
    terminal: &Terminal,
) -> Result<Tokenizer> {
    let bar = terminal.byte_bar("collecting characters", Some(bytes));
    // A flag per code point: a search tree would take longer than all the encoding.
    let mut found = vec![false; char::MAX as usize + 1];
    for piece in pieces {
        let piece = piece?;
        piece.as_ref().chars().for_each(|c| found[c as usize] = true);
        bar.inc(piece.as_ref().len() as u64);
    }
    bar.finish_and_clear();
    let found: String = ('\0'..=char::MAX).filter(|&c| found[c as usize]).collect();
    Ok(CharTokenizer::from_text(&found)?.into())
}

/// Learns from the first `bytes` bytes.
fn byte_pairs<S: AsRef<str>>(
    pieces: impl Iterator<Item = Result<S>>,
    bytes: u64,
    training: BpeTraining,
    terminal: &Terminal,
) -> Result<Tokenizer> {
    let mut left = bytes;
    let bar = terminal.byte_bar("counting words", Some(bytes));
    let mut counts = WordCounts::default();
    for piece in pieces {
        let piece = piece?;
        let piece = piece.as_ref();
        let mut end = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        while !piece.is_char_boundary(end) {
            end -= 1;
        }
        counts.add(&piece[..end])?;
        bar.inc(end as u64);
        left -= end as u64;
        if end < piece.len() || left == 0 {
            break;
        }
    }
    bar.finish_and_clear();
    let bar = terminal.count_bar("merging pairs", training.vocab_size as u64);
    let tokenizer = training.train(counts, |tokens| bar.set_position(tokens as u64))?;
    bar.finish_and_clear();
    let (found, wanted) = (tokenizer.vocab_size(), training.vocab_size);
    if found < wanted {
        terminal.note(&format!(
            "the vocabulary has {} tokens, not {}: the text has no more pairs to merge",
            format::count(found as u64),
            format::count(wanted as u64)
        ));
    }
    Ok(tokenizer.into())
}

/// Reads a tokenizer.json, or the one of a folder or a run.
pub fn load(path: &Path) -> Result<Tokenizer> {
    let file = match path.is_dir() {
        true if path.join(TOKENIZER_FILE).is_file() => path.join(TOKENIZER_FILE),
        true => read::resolve(path)?.join(TOKENIZER_FILE),
        false => path.to_owned(),
    };
    let mut json = Vec::new();
    let bytes = File::open(&file).and_then(|open| open.take(Tokenizer::MAX_JSON as u64 + 1).read_to_end(&mut json));
    bytes.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::TokenizerFile { path: file.clone(), problem: "there is no such file".into() },
        _ => Error::io("read the tokenizer", &file)(error),
    })?;
    Tokenizer::from_json(&json).map_err(|error| match error {
        Core::Tokenizer(problem) => Error::TokenizerFile { path: file, problem },
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(tokenizer: Option<&str>, vocab: Option<usize>) -> TokenizerArgument {
        TokenizerArgument { tokenizer: tokenizer.map(|text| text.parse().unwrap()), vocab }
    }

    #[test]
    fn what_is_asked_for_goes_before_the_preset() {
        const STORIES: TokenizerKind = TokenizerKind::Bpe { vocab_size: 3000 };
        let bpe = |vocab_size| TokenizerKind::Bpe { vocab_size };
        for (tokenizer, vocab, preset, expected) in [
            (None, None, TokenizerKind::Char, TokenizerKind::Char),
            (None, None, STORIES, STORIES),
            (None, Some(500), STORIES, bpe(500)),
            (Some("bpe"), None, TokenizerKind::Char, bpe(DEFAULT_VOCAB)),
            (Some("bpe"), None, STORIES, STORIES),
            (Some("bpe"), Some(300), TokenizerKind::Byte, bpe(300)),
            (Some("byte"), None, STORIES, TokenizerKind::Byte),
            (Some("char"), None, STORIES, TokenizerKind::Char),
        ] {
            let source = argument(tokenizer, vocab).source(preset).unwrap();
            let found = match source.origin {
                Origin::Characters => TokenizerKind::Char,
                Origin::Bytes => TokenizerKind::Byte,
                Origin::Pairs(BpeTraining { vocab_size, .. }) => bpe(vocab_size),
                Origin::File(_) => panic!("there is no file"),
            };
            assert_eq!((found, source.given().is_some()), (expected, tokenizer.is_some() || vocab.is_some()));
        }
        for tokenizer in [None, Some("char"), Some("byte"), Some("tokenizer.json")] {
            let error = argument(tokenizer, Some(300)).source(TokenizerKind::Char).unwrap_err();
            assert!(error.to_string().contains("--vocab") && error.exit_code() == 2, "{error}");
        }
    }

    #[test]
    fn characters_are_of_the_whole_text_and_pairs_of_its_beginning() {
        let terminal = Terminal::new(false, true);
        let text = format!("{}{}", "ab ".repeat(60), "é".repeat(10));
        let learn = |kind| TokenizerSource::learn(kind, 0).unwrap();
        let chars = learn(TokenizerKind::Char).of_text(&text, &terminal).unwrap();
        assert_eq!(chars, CharTokenizer::from_text(" abé").unwrap().into());

        let bpe = learn(TokenizerKind::Bpe { vocab_size: 1000 });
        let whole = bpe.of_text(&text, &terminal).unwrap();
        let e_acute = whole.encode("é").unwrap();
        assert_eq!((e_acute.len(), whole.encode(" ab").unwrap().len()), (2, 1));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let file = TextFile { name: "text".into(), path: file.path().into() };
        assert_eq!(bpe.of_file(&file, VAL_SHARE, || Ok(()), &terminal).unwrap(), whole);
        let all = bpe.of_file(&file, 0.0, || Ok(()), &terminal).unwrap();
        assert!(all.encode("é").unwrap().len() == 1);
    }
}
