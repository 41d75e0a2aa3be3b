//! Tokens to learn from: a training and a validation part, read window by window, whether they lie in memory or in mapped shards.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shards::Shards;
use crate::error::{Error, Result};

/// Share of a text that is kept for validation: its end.
pub const VAL_SHARE: f64 = 0.1;

/// Which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The first 90 %, where nothing else was chosen.
    Train,
    /// The rest.
    Val,
    /// All of it.
    All,
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::All => "all",
        })
    }
}

/// How many of a text's first characters (or bytes) are for training: `int((1 - val_share) n)`, which is nanoGPT's split.
pub fn train_share(n: u64, val_share: f64) -> u64 {
    (n as f64 * (1.0 - val_share)) as u64
}

/// How many tokens end within the first `limit` characters, of which so many begin in each: up to a token, tokenizers divide a text at
/// the same place.
pub fn tokens_within(limit: u64, characters: impl IntoIterator<Item = u64>) -> u64 {
    let mut end = 0;
    let is_within = |&characters: &u64| {
        end += characters;
        end <= limit
    };
    characters.into_iter().take_while(is_within).count() as u64
}

/// An encoded text; clones share it.
#[derive(Clone, Debug)]
pub struct Dataset {
    tokens: Arc<Tokens>,
    vocab_size: usize,
    train: Extent,
    val: Extent,
}

/// Where tokens lie.
#[derive(Debug)]
enum Tokens {
    Memory(Vec<u32>),
    Shards(Shards),
}

/// How long a part is.
#[derive(Clone, Copy, Debug)]
struct Extent {
    tokens: u64,
    /// Characters that begin in its tokens.
    characters: u64,
    /// Those of them in its first token, which nothing predicts.
    first: u64,
}

impl Dataset {
    /// A text in memory. The vocabulary is told by how many `characters` begin in each of its tokens (1 in those of a character
    /// tokenizer), see [`Tokenizer::characters`](crate::tokenizer::Tokenizer::characters).
    ///
    /// # Errors
    /// When a token is not in the vocabulary.
    pub fn new(tokens: Vec<u32>, characters: &[u32]) -> Result<Self> {
        let vocab_size = characters.len();
        if let Some(at) = tokens.iter().position(|&t| t as usize >= vocab_size) {
            let id = tokens[at];
            return Err(Error::Data(format!("token {at} is {id}, but the vocabulary has {vocab_size} entries")));
        }
        let of = |token: &u32| u64::from(characters[*token as usize]);
        let extent = |tokens: &[u32]| Extent {
            tokens: tokens.len() as u64,
            characters: tokens.iter().map(of).sum(),
            first: tokens.first().map_or(0, of),
        };
        let limit = train_share(tokens.iter().map(of).sum(), VAL_SHARE);
        let (train, val) = tokens.split_at(tokens_within(limit, tokens.iter().map(of)) as usize);
        let (train, val) = (extent(train), extent(val));
        Ok(Self { tokens: Arc::new(Tokens::Memory(tokens)), vocab_size, train, val })
    }

    /// A text in shards that were verified; of theirs, nothing more than windows is read. `characters` as in [`Self::new`].
    ///
    /// # Errors
    /// When a first token is not in the vocabulary: the file was changed, or never verified; when the tokenizer is another.
    pub fn from_shards(shards: Shards, characters: &[u32]) -> Result<Self> {
        let vocab_size = shards.all()[0].header().vocab_size;
        if characters.len() as u64 != vocab_size {
            let have = characters.len();
            return Err(Error::Data(format!(
                "the shards have a vocabulary of {vocab_size} entries and the tokenizer {have}"
            )));
        }
        let extent = |split, start| {
            let headers = || shards.of(split).iter().map(super::shards::Shard::header);
            let mut first = [0];
            shards.read(start, &mut first)?;
            Ok::<_, Error>(Extent {
                tokens: headers().map(|header| header.tokens).sum(),
                characters: headers().map(|header| header.characters).sum(),
                first: characters.get(first[0] as usize).copied().unwrap_or_default().into(),
            })
        };
        let train = extent(Split::Train, 0)?;
        let val = extent(Split::Val, train.tokens)?;
        Ok(Self { tokens: Arc::new(Tokens::Shards(shards)), vocab_size: characters.len(), train, val })
    }

    /// The tokens of a split.
    pub fn split(&self, split: Split) -> Part<'_> {
        let (start, len) = match split {
            Split::Train => (0, self.train.tokens),
            Split::Val => (self.train.tokens, self.val.tokens),
            Split::All => (0, self.train.tokens + self.val.tokens),
        };
        Part { tokens: &self.tokens, start, len }
    }

    /// Entries of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Characters per token of what a split of more than one token asks to predict: all its tokens but the first. Exactly 1 for a character
    /// tokenizer.
    pub fn characters_per_token(&self, split: Split) -> f64 {
        let Extent { tokens, characters, first } = match split {
            Split::Train => self.train,
            Split::Val => self.val,
            Split::All => Extent {
                tokens: self.train.tokens + self.val.tokens,
                characters: self.train.characters + self.val.characters,
                first: if self.train.tokens > 0 { self.train.first } else { self.val.first },
            },
        };
        characters.saturating_sub(first) as f64 / tokens.saturating_sub(1) as f64
    }

    /// Fails when a split cannot fill one window and its targets: `context + 1` tokens.
    pub fn check_context(&self, context: usize) -> Result<()> {
        for split in [Split::Train, Split::Val] {
            let have = self.split(split).len();
            // An evaluation accepts a short last window, but something must be predicted.
            let need = if split == Split::Train { context as u64 + 1 } else { 2 };
            if have < need {
                return Err(Error::Data(format!(
                    "the text has {} tokens, so the {split} split has {have} and a context of {context} needs {need}: \
                     use a longer text or a shorter context (--set n_positions=...)",
                    self.split(Split::All).len()
                )));
            }
        }
        Ok(())
    }
}

/// The tokens of a split, to be read window by window.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    tokens: &'a Tokens,
    start: u64,
    len: u64,
}

impl Part<'_> {
    /// Number of tokens.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the tokens from `start` on, as many as `out` takes.
    ///
    /// # Errors
    /// A shard's file that was changed since it was verified, where that gives a token outside the vocabulary.
    ///
    /// # Panics
    /// Past the end.
    pub fn read(&self, start: u64, out: &mut [u32]) -> Result<()> {
        assert!(start + out.len() as u64 <= self.len, "{} tokens from {start} of {}", out.len(), self.len);
        let start = self.start + start;
        match self.tokens {
            Tokens::Memory(tokens) => {
                out.copy_from_slice(&tokens[start as usize..start as usize + out.len()]);
                Ok(())
            }
            Tokens::Shards(shards) => shards.read(start, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(n: u32) -> Dataset {
        Dataset::new((0..n).collect(), &vec![1; n as usize]).unwrap()
    }

    #[test]
    fn the_split_is_nanogpts() {
        let data = Dataset::new(vec![0; 1_115_394], &[1]).unwrap();
        assert_eq!(data.split(Split::Train).len(), 1_003_854);
        assert_eq!(data.split(Split::Val).len(), 111_540);
        for n in 0..10_000_u64 {
            assert_eq!(train_share(n, VAL_SHARE), (n as f64 * 0.9) as u64);
        }
    }

    #[test]
    fn each_split_begins_where_the_one_before_ends() {
        let data = counting(50);
        for (split, begin, end) in [(Split::Train, 0, 45), (Split::Val, 45, 50), (Split::All, 0, 50)] {
            let mut tokens = vec![0; data.split(split).len() as usize];
            data.split(split).read(0, &mut tokens).unwrap();
            assert_eq!(tokens, (begin..end).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn characters_are_counted_per_split_over_what_is_predicted() {
        // Tokens of their own number of characters: within the first 27 of 31 lie 19 tokens, of which the first is not predicted; of the
        // two to validate on neither is that one.
        let data = Dataset::new([vec![5], vec![1; 17], vec![4, 2, 3]].concat(), &[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!((data.split(Split::Train).len(), data.split(Split::Val).len()), (19, 2));
        assert_eq!(data.characters_per_token(Split::Train), 21.0 / 18.0);
        assert_eq!(data.characters_per_token(Split::Val), 3.0);
        assert_eq!(data.characters_per_token(Split::All), 26.0 / 20.0);
        for split in [Split::Train, Split::Val, Split::All] {
            assert_eq!(counting(1000).characters_per_token(split), 1.0);
        }
    }

    #[test]
    fn short_texts_are_refused_with_the_numbers() {
        let error = counting(50).check_context(64).unwrap_err().to_string();
        assert!(error.contains("50 tokens") && error.contains("65"), "{error}");
        counting(73).check_context(64).unwrap();
        assert!(counting(0).check_context(1).is_err());
    }
}
