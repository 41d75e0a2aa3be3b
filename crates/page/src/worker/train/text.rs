//! A text as tokens to learn from, as `trainer train` reads it: the same tokenizer, the same split.
//!
//! A plan is asked for with every change of a setting, so what was read last is kept.

use std::rc::Rc;

use inkling_core::hash::sha256;
use inkling_core::tokenizer::{BpeTraining, ByteTokenizer, CharTokenizer, Tokenizer, TokenizerKind, WordCounts};
use inkling_core::train::baseline::bigram_loss;
use inkling_core::train::dataset::{Dataset, Split, VAL_SHARE, train_share};

use crate::protocol::Failure;
use crate::protocol::train::RunTokenizer;

/// What `trainer` calls Tiny Shakespeare: it finds the text by this name.
pub const SHAKESPEARE: &str = "tinyshakespeare";

/// Texts that are kept ready.
const READY: usize = 2;

/// A text and its name.
pub struct Text {
    /// [`SHAKESPEARE`], or that of a file.
    pub name: String,
    /// All of it.
    pub text: String,
    /// Of the text.
    pub sha256: String,
}

impl Text {
    /// A text of a name.
    pub fn new(name: String, text: String) -> Self {
        let sha256 = sha256(text.as_bytes());
        Self { name, text, sha256 }
    }
}

/// Bytes of the first pages of Tiny Shakespeare.
const FIRST_PAGES: usize = 5_000;

impl Text {
    /// Its beginning, up to the end of a speech.
    pub fn first_pages(&self) -> Self {
        let end = (0..=FIRST_PAGES.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end));
        let start = &self.text[..end.unwrap_or_default()];
        let speeches = start.rfind("\n\n").map_or(start, |end| &start[..end + 1]);
        Self::new("first-pages.txt".into(), speeches.to_owned())
    }
}

/// A text as tokens.
pub struct Prepared {
    /// The text.
    pub text: Rc<Text>,
    /// Its tokens.
    pub tokenizer: Tokenizer,
    /// Which were asked for.
    pub kind: RunTokenizer,
    /// The text in them.
    pub data: Dataset,
    /// Nats per token of counting pairs.
    pub bigram_loss: f64,
}

impl Prepared {
    /// A text in tokens that are learnt from it.
    ///
    /// # Errors
    /// A text that is empty or too short, a vocabulary that cannot be learnt.
    pub fn new(text: Rc<Text>, kind: RunTokenizer) -> Result<Self, Failure> {
        if text.text.is_empty() {
            return Err(Failure::input(format!("{} is empty: there is nothing to learn from.", text.name)));
        }
        let tokenizer = match kind {
            RunTokenizer::Char => CharTokenizer::from_text(&text.text)?.into(),
            RunTokenizer::Byte => ByteTokenizer.into(),
            RunTokenizer::Bpe { vocab_size } => byte_pairs(&text.text, vocab_size)?,
        };
        Self::of(text, tokenizer, kind)
    }

    /// A text in the tokens of a run that goes on.
    ///
    /// # Errors
    /// A character that the vocabulary lacks; a text that is too short.
    pub fn with(text: Rc<Text>, tokenizer: Tokenizer) -> Result<Self, Failure> {
        let kind = match tokenizer.kind() {
            TokenizerKind::Char => RunTokenizer::Char,
            TokenizerKind::Byte => RunTokenizer::Byte,
            TokenizerKind::Bpe { vocab_size } => RunTokenizer::Bpe { vocab_size },
        };
        Self::of(text, tokenizer, kind)
    }

    fn of(text: Rc<Text>, tokenizer: Tokenizer, kind: RunTokenizer) -> Result<Self, Failure> {
        let data = Dataset::new(tokenizer.encode(&text.text)?, &tokenizer.characters())?;
        check_length(&data, 1)?;
        let bigram_loss = bigram_loss(&data)?;
        Ok(Self { text, tokenizer, kind, data, bigram_loss })
    }
}

/// Fails when a text is too short for a context, in the page's words.
pub fn check_length(data: &Dataset, context: usize) -> Result<(), Failure> {
    let [train, val] = [Split::Train, Split::Val].map(|split| data.split(split).len());
    if train > context as u64 && val > 1 {
        return Ok(());
    }
    Err(Failure::input(format!(
        "The text is too short: it has {} tokens, {train} of them to learn from and {val} to be judged by, and a context (n_positions) of \
         {context} needs {} and 2. Take a longer text or a shorter context.",
        train + val,
        context + 1,
    )))
}

/// Pairs of the text's first nine tenths: what is validated on teaches nothing.
fn byte_pairs(text: &str, vocab_size: usize) -> Result<Tokenizer, Failure> {
    let training = BpeTraining { vocab_size, min_frequency: BpeTraining::MIN_FREQUENCY };
    training.validate()?;
    let mut end = train_share(text.len() as u64, VAL_SHARE) as usize;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut counts = WordCounts::default();
    counts.add(&text[..end])?;
    Ok(training.train(counts, |_| {})?.into())
}

/// The texts that were read last.
#[derive(Default)]
pub struct Shelf(Vec<Rc<Prepared>>);

impl Shelf {
    /// A text in tokens of this kind, read now or lately.
    ///
    /// # Errors
    /// Those of [`Prepared::new`].
    pub fn prepare(&mut self, text: &Rc<Text>, kind: RunTokenizer) -> Result<Rc<Prepared>, Failure> {
        let is_it = |ready: &Rc<Prepared>| ready.kind == kind && ready.text.sha256 == text.sha256;
        let prepared = match self.0.iter().position(is_it) {
            Some(at) => self.0.remove(at),
            None => Rc::new(Prepared::new(text.clone(), kind)?),
        };
        self.0.truncate(READY - 1);
        self.0.insert(0, prepared.clone());
        Ok(prepared)
    }
}
