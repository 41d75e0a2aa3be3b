//! Token shards: an encoded text as files that are mapped, not read.
//!
//! ```text
//! ["INKTOKEN"][version: u32][N: u32][N bytes of JSON: ShardHeader][tokens]      numbers and tokens little-endian
//! ```
//!
//! The JSON is padded with spaces so that the tokens begin at a multiple of 64 bytes. They are `u16` where the vocabulary allows it, else
//! `u32`, and fill the file to its end. A text is a number of shards per split, `index` of `count` in its order; every one carries the
//! identity of its text and of its tokenizer, so that shards of two preparations are never mixed.
//!
//! Opening a shard trusts nothing: [`Shard::parse`] checks the sizes, [`Shard::verify`] reads every token once and checks the SHA-256,
//! [`Shards::new`] checks that the set is whole. Core maps nothing itself: a shard is whatever can be seen as bytes.

mod header;
mod set;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use header::{ALIGNMENT, MAGIC, ShardHeader, TokenWidth, TokenizerIdentity, VERSION};
pub use set::Shards;

use crate::error::{Error, Result};
use crate::hash::hex;

/// The bytes of a shard, shared and mapped at will.
pub type ShardBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Bytes that [`Shard::verify`] reads between two calls of its observer.
const VERIFIED_AT_ONCE: usize = 1 << 20;

/// A shard whose sizes are right.
#[derive(Clone)]
pub struct Shard {
    file: String,
    header: ShardHeader,
    bytes: ShardBytes,
    /// Where the tokens begin.
    data: usize,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("file", &self.file).field("header", &self.header).finish_non_exhaustive()
    }
}

impl Shard {
    /// Reads the header of `bytes` and checks it against their number. `file` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Shard`]: something else than a shard, another version, cut short, too long, or a header that contradicts itself.
    pub fn parse(file: impl Into<String>, bytes: ShardBytes) -> Result<Self> {
        let file = file.into();
        match header::parse((*bytes).as_ref()) {
            Ok((header, data)) => Ok(Self { file, header, bytes, data }),
            Err(problem) => Err(Error::Shard { file, problem }),
        }
    }

    /// What errors call it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it says about itself.
    pub fn header(&self) -> &ShardHeader {
        &self.header
    }

    /// Reads all tokens once: are they the ones that were written? `characters` are those of its tokenizer's tokens
    /// ([`Tokenizer::characters`](crate::tokenizer::Tokenizer::characters)), and `progress` hears of every few bytes read.
    ///
    /// # Errors
    /// [`Error::Shard`] when the SHA-256 is another, a token is outside the vocabulary, or the characters are not as many as the header says.
    pub fn verify(&self, characters: &[u32], mut progress: impl FnMut(u64)) -> Result<()> {
        if characters.len() as u64 != self.header.vocab_size {
            let (have, want) = (self.header.vocab_size, characters.len());
            return Err(self.refuse(format!("its vocabulary has {have} entries and its tokenizer {want}")));
        }
        let (mut hash, mut counted, mut outside) = (Sha256::new(), 0, None);
        let mut at = 0_u64;
        for bytes in self.data().chunks(VERIFIED_AT_ONCE) {
            hash.update(bytes);
            self.header.dtype.decode(bytes, |token| {
                match characters.get(token as usize) {
                    Some(&n) => counted += u64::from(n),
                    None => outside = outside.or(Some((at, token))),
                }
                at += 1;
            });
            progress(bytes.len() as u64);
        }
        let found = hex(&hash.finalize());
        let expected = &self.header.data_sha256;
        if found != *expected {
            return Err(
                self.refuse(format!("its tokens were altered: their SHA-256 is {found} and should be {expected}"))
            );
        }
        if let Some((at, token)) = outside {
            return Err(self.refuse(self.outside(at, token)));
        }
        if counted != self.header.characters {
            return Err(self.refuse(format!(
                "its tokens have {counted} characters and its header says {}: it was written with another tokenizer",
                self.header.characters
            )));
        }
        Ok(())
    }

    /// The tokens from `start` on, as many as `out` takes; the caller knows that there are so many.
    ///
    /// # Errors
    /// A token outside the vocabulary: the file was changed since it was verified.
    fn read(&self, start: u64, out: &mut [u32]) -> Result<()> {
        let width = self.header.dtype.bytes();
        let begin = start as usize * width;
        let mut slots = out.iter_mut();
        self.header.dtype.decode(&self.data()[begin..begin + slots.len() * width], |token| {
            *slots.next().expect("one slot per token") = token;
        });
        match out.iter().position(|&token| u64::from(token) >= self.header.vocab_size) {
            None => Ok(()),
            Some(at) => {
                Err(self.refuse(self.outside(start + at as u64, out[at]) + ": the file was changed while in use"))
            }
        }
    }

    fn data(&self) -> &[u8] {
        &(*self.bytes).as_ref()[self.data..]
    }

    fn outside(&self, at: u64, token: u32) -> String {
        format!("its token {at} is {token}, but the vocabulary has {} entries", self.header.vocab_size)
    }

    fn refuse(&self, problem: String) -> Error {
        Error::Shard { file: self.file.clone(), problem }
    }
}
