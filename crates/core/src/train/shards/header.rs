//! A shard's first bytes, checked against those that follow.

use serde::{Deserialize, Serialize};

use crate::train::dataset::Split;

/// How a shard begins.
pub const MAGIC: &[u8; 8] = b"INKTOKEN";
/// Of the format.
pub const VERSION: u32 = 1;
/// The tokens begin at a multiple of so many bytes: a cache line, and more than any vector instruction asks for.
pub const ALIGNMENT: usize = 64;

/// Magic, version and length.
const PREFIX: usize = 16;
/// Longest header read; one takes about 700 bytes.
const MAX_HEADER: usize = 1 << 16;
/// Digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// How a token is stored, by the names of safetensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenWidth {
    /// Two bytes.
    U16,
    /// Four.
    U32,
}

impl TokenWidth {
    /// The least that holds every token of a vocabulary.
    pub fn of_vocabulary(vocab_size: u64) -> Self {
        if vocab_size <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    /// Bytes of a token.
    pub fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    /// Appends tokens, which are known to fit.
    pub fn encode(self, tokens: &[u32], out: &mut Vec<u8>) {
        match self {
            Self::U16 => out.extend(tokens.iter().flat_map(|&token| (token as u16).to_le_bytes())),
            Self::U32 => out.extend(tokens.iter().flat_map(|token| token.to_le_bytes())),
        }
    }

    /// Gives every token of `bytes`, a whole number of them, to `take`.
    pub fn decode(self, bytes: &[u8], mut take: impl FnMut(u32)) {
        match self {
            Self::U16 => bytes.as_chunks().0.iter().for_each(|&token| take(u16::from_le_bytes(token).into())),
            Self::U32 => bytes.as_chunks().0.iter().for_each(|&token| take(u32::from_le_bytes(token))),
        }
    }
}

/// Which tokenizer a text was encoded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerIdentity {
    /// `char`, `byte` or `bpe`, for people.
    pub kind: String,
    /// SHA-256 of its tokenizer.json.
    pub sha256: String,
}

impl std::fmt::Display for TokenizerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}…", self.kind, self.sha256.get(..12).unwrap_or(&self.sha256))
    }
}

/// What a shard says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardHeader {
    /// The text's name, for people.
    pub name: String,
    /// The part of the text that it belongs to, `train` or `val`.
    pub split: Split,
    /// Its place in the split, from 0.
    pub index: u32,
    /// Shards of the split.
    pub count: u32,
    /// How a token is stored.
    pub dtype: TokenWidth,
    /// Its tokens.
    pub tokens: u64,
    /// Characters that begin in them.
    pub characters: u64,
    /// Tokens of the whole text, both splits.
    pub total_tokens: u64,
    /// Entries of the vocabulary.
    pub vocab_size: u64,
    /// What made the tokens.
    pub tokenizer: TokenizerIdentity,
    /// SHA-256 of the tokens as they are stored.
    pub data_sha256: String,
    /// SHA-256 of the whole text.
    pub text_sha256: String,
}

impl ShardHeader {
    /// Everything in front of the tokens.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("a header is plain data");
        json.resize((PREFIX + json.len()).next_multiple_of(ALIGNMENT) - PREFIX, b' ');
        let numbers = [VERSION.to_le_bytes(), (json.len() as u32).to_le_bytes()];
        [&MAGIC[..], &numbers.concat(), &json].concat()
    }

    /// Values that no shard has.
    fn check(&self) -> Result<(), String> {
        if self.split == Split::All {
            return Err("its header has the split all; a shard belongs to train or val".into());
        }
        if self.index >= self.count {
            return Err(format!("its header says shard {} of {}, counted from 0", self.index, self.count));
        }
        if self.vocab_size == 0 || self.vocab_size > 1 << 32 {
            return Err(format!("its header has a vocabulary of {} entries", self.vocab_size));
        }
        if self.dtype != TokenWidth::of_vocabulary(self.vocab_size) {
            return Err(format!(
                "its header stores tokens as {:?}; a vocabulary of {} entries takes {:?}",
                self.dtype,
                self.vocab_size,
                TokenWidth::of_vocabulary(self.vocab_size)
            ));
        }
        if self.tokens == 0 || self.tokens > self.total_tokens {
            return Err(format!("its header counts {} tokens of {} in the text", self.tokens, self.total_tokens));
        }
        let hashes = [
            ("data_sha256", &self.data_sha256),
            ("text_sha256", &self.text_sha256),
            ("tokenizer.sha256", &self.tokenizer.sha256),
        ];
        for (field, hash) in hashes {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if hash.len() != SHA256_DIGITS || !hash.bytes().all(is_digit) {
                return Err(format!("its header's {field} is not a SHA-256 in lower-case hexadecimal"));
            }
        }
        Ok(())
    }
}

/// The header, and where the tokens begin. The error is a sentence about the file.
pub(super) fn parse(bytes: &[u8]) -> Result<(ShardHeader, usize), String> {
    let short = |what: &str| format!("it has {} bytes, too few for {what}: it was cut short", bytes.len());
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err("it is not a token shard: it does not begin with INKTOKEN".into());
    }
    let (prefix, rest) = bytes.split_at_checked(PREFIX).ok_or_else(|| short("a token shard"))?;
    let (numbers, _) = prefix[MAGIC.len()..].as_chunks();
    let [version, length] = [numbers[0], numbers[1]].map(u32::from_le_bytes);
    if version != VERSION {
        return Err(format!("it has version {version} of the format; {VERSION} is read: prepare the data again"));
    }
    let length = length as usize;
    if length > MAX_HEADER {
        return Err(format!("its header claims {length} bytes and at most {MAX_HEADER} are allowed: it is damaged"));
    }
    if !(PREFIX + length).is_multiple_of(ALIGNMENT) {
        return Err(format!("its tokens begin at byte {}, no multiple of {ALIGNMENT}", PREFIX + length));
    }
    let (json, data) = rest.split_at_checked(length).ok_or_else(|| short("its header"))?;
    let header: ShardHeader =
        serde_json::from_slice(json).map_err(|error| format!("its header is not valid: {error}"))?;
    header.check()?;
    let (have, need) = (data.len() as u64, header.tokens.checked_mul(header.dtype.bytes() as u64));
    match need {
        Some(need) if have == need => Ok((header, PREFIX + length)),
        Some(need) if have > need => {
            Err(format!("its {} tokens take {need} bytes and {have} follow the header: it is too long", header.tokens))
        }
        _ => Err(format!(
            "its header counts {} tokens of {} bytes and {have} bytes follow: it was cut short",
            header.tokens,
            header.dtype.bytes()
        )),
    }
}
