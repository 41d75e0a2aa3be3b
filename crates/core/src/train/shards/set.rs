//! The shards of one text, as one sequence of tokens.

use super::{Shard, ShardHeader};
use crate::error::{Error, Result};
use crate::train::dataset::Split;

/// All shards of a text: those of `train`, then those of `val`.
#[derive(Clone, Debug)]
pub struct Shards {
    shards: Vec<Shard>,
    /// Where each begins, and the end.
    starts: Vec<u64>,
    /// Shards of `train`.
    train: usize,
}

impl Shards {
    /// Puts the shards of a text in order.
    ///
    /// # Errors
    /// [`Error::Shard`] names the first that does not belong to the others, [`Error::Data`] one that is missing.
    pub fn new(mut shards: Vec<Shard>) -> Result<Self> {
        let Some(first) = shards.first() else {
            return Err(Error::Data("there is no token shard".into()));
        };
        for shard in &shards {
            if let Some(difference) = difference(shard.header(), first.header()) {
                let problem =
                    format!("{difference}, unlike {}: it belongs to another text or preparation", first.file());
                return Err(Error::Shard { file: shard.file().into(), problem });
            }
        }
        shards.sort_by_key(|shard| (shard.header().split == Split::Val, shard.header().index));
        let train = shards.partition_point(|shard| shard.header().split == Split::Train);
        check_whole(Split::Train, &shards[..train])?;
        check_whole(Split::Val, &shards[train..])?;

        let mut starts = vec![0_u64];
        for shard in &shards {
            // Counts are backed by bytes that are there: their sum is far from overflowing.
            starts.push(starts[starts.len() - 1] + shard.header().tokens);
        }
        let (have, total) = (starts[shards.len()], shards[0].header().total_tokens);
        if have != total {
            return Err(Error::Data(format!(
                "the shards hold {have} tokens and their text has {total}: they are of different preparations"
            )));
        }
        Ok(Self { shards, starts, train })
    }

    /// The shards in their order.
    pub fn all(&self) -> &[Shard] {
        &self.shards
    }

    /// Those of a split.
    pub fn of(&self, split: Split) -> &[Shard] {
        match split {
            Split::Train => &self.shards[..self.train],
            Split::Val => &self.shards[self.train..],
            Split::All => &self.shards,
        }
    }

    /// Tokens of all.
    pub fn len(&self) -> u64 {
        self.starts[self.shards.len()]
    }

    /// Never: a shard has a token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens from `start` on, as many as `out` takes, from as many shards as it takes; the caller knows that there are so many.
    pub(in crate::train) fn read(&self, mut start: u64, mut out: &mut [u32]) -> Result<()> {
        // The last shard that begins at or before `start`.
        let mut at = self.starts.partition_point(|&begin| begin <= start) - 1;
        while !out.is_empty() {
            let here = (self.starts[at + 1] - start).min(out.len() as u64);
            let (now, rest) = out.split_at_mut(here as usize);
            self.shards[at].read(start - self.starts[at], now)?;
            (start, out, at) = (start + here, rest, at + 1);
        }
        Ok(())
    }
}

/// What tells two shards of different preparations apart.
fn difference(shard: &ShardHeader, other: &ShardHeader) -> Option<String> {
    if shard.tokenizer != other.tokenizer {
        return Some(format!("its tokenizer is {}", shard.tokenizer));
    }
    if shard.vocab_size != other.vocab_size {
        return Some(format!("its vocabulary has {} entries", shard.vocab_size));
    }
    if shard.text_sha256 != other.text_sha256 {
        return Some(format!("its text has the SHA-256 {}…", &shard.text_sha256[..12]));
    }
    if shard.total_tokens != other.total_tokens {
        return Some(format!("its text has {} tokens", shard.total_tokens));
    }
    (shard.split == other.split && shard.count != other.count)
        .then(|| format!("its split {} has {} shards", shard.split, shard.count))
}

/// Indices from 0 on, each once.
fn check_whole(split: Split, shards: &[Shard]) -> Result<()> {
    let Some(last) = shards.last() else {
        return Err(Error::Data(format!("there is no token shard of the split {split}")));
    };
    let count = last.header().count;
    if let Some(shard) = shards.iter().find(|shard| shard.header().count != count) {
        let problem = format!("its split {split} has {} shards, unlike {}", shard.header().count, last.file());
        return Err(Error::Shard { file: shard.file().into(), problem });
    }
    for pair in shards.windows(2) {
        if pair[0].header().index == pair[1].header().index {
            let problem = format!("it is shard {} of {split}, as is {}", pair[1].header().index, pair[0].file());
            return Err(Error::Shard { file: pair[1].file().into(), problem });
        }
    }
    let missing =
        (0..count).find(|&index| shards.get(index as usize).is_none_or(|shard| shard.header().index != index));
    match missing {
        None => Ok(()),
        Some(index) => Err(Error::Data(format!(
            "shard {index} of the split {split} (0 to {}) is missing: prepare the data again",
            count - 1
        ))),
    }
}
