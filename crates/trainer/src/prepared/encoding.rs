//! A text of any size as tokens in a temporary file, a few pieces at a time on all cores.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;

use inkling_core::hash::hex;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::shards::TokenWidth;
use sha2::{Digest, Sha256};

use crate::corpus::TextFile;
use crate::corpus::text_chunks::TextChunks;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::terminal::Terminal;

/// Pieces in memory at once, each of about a mebibyte of text and seven of tokens.
const MOST_THREADS: usize = 16;

/// All tokens of a text, one after the other, as shards store them.
#[derive(Debug)]
pub struct Encoded {
    /// Nameless: it is gone when this is dropped or the process ends.
    pub file: File,
    /// How a token is stored.
    pub dtype: TokenWidth,
    /// How many there are.
    pub tokens: u64,
    /// Characters of the text.
    pub characters: u64,
    /// Bytes of the text.
    pub text_bytes: u64,
    /// Of the text.
    pub text_sha256: String,
}

/// Shows a reader's bytes to somebody as they are read.
struct Observed<R, F> {
    reader: R,
    seen: F,
}

impl<R: Read, F: FnMut(&[u8])> Read for Observed<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        (self.seen)(&buffer[..length]);
        Ok(length)
    }
}

fn chunks(text: &TextFile, seen: impl FnMut(&[u8])) -> Result<TextChunks<impl Read>> {
    let reader = File::open(&text.path).map_err(Error::io("read", &text.path))?;
    Ok(TextChunks::new(Observed { reader, seen }, text.path.display().to_string()))
}

fn length(text: &TextFile) -> Option<u64> {
    text.path.metadata().ok().map(|metadata| metadata.len())
}

/// Encodes a text into a file in `folder`, whose tokens are those of the text encoded as a whole.
///
/// # Errors
/// What the text is not (UTF-8, in the vocabulary), with the place; failures of the disk; [`Error::Stopped`].
pub fn encode(
    text: &TextFile,
    tokenizer: &Tokenizer,
    folder: &Path,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Encoded> {
    let bar = terminal.byte_bar("encoding", length(text));
    let dtype = TokenWidth::of_vocabulary(tokenizer.vocab_size() as u64);
    let mut file = tempfile::tempfile_in(folder).map_err(Error::io("write in", folder))?;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let (mut hash, mut tokens, mut characters, mut text_bytes) = (Sha256::new(), 0, 0, 0);
    let mut pieces = chunks(text, |bytes| {
        hash.update(bytes);
        bar.inc(bytes.len() as u64);
    })?;
    loop {
        interrupt.check()?;
        let some = pieces.by_ref().take(threads).collect::<Result<Vec<String>>>()?;
        if some.is_empty() {
            break;
        }
        for (piece, encoded) in some.iter().zip(encode_each(&some, tokenizer, dtype)) {
            let bytes = encoded.map_err(|problem| foreign(text, text_bytes, &problem))?;
            file.write_all(&bytes).map_err(Error::io("write in", folder))?;
            tokens += (bytes.len() / dtype.bytes()) as u64;
            characters += piece.chars().count() as u64;
            text_bytes += piece.len() as u64;
        }
    }
    drop(pieces);
    bar.finish_and_clear();
    Ok(Encoded { file, dtype, tokens, characters, text_bytes, text_sha256: hex(&hash.finalize()) })
}

/// A thread per piece; the results in the order of the pieces.
fn encode_each(pieces: &[String], tokenizer: &Tokenizer, dtype: TokenWidth) -> Vec<inkling_core::Result<Vec<u8>>> {
    let encode = |piece: &str| {
        let mut bytes = Vec::with_capacity(piece.len() * dtype.bytes());
        dtype.encode(&tokenizer.encode(piece)?, &mut bytes);
        Ok(bytes)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = pieces.iter().map(|piece| scope.spawn(move || encode(piece))).collect();
        threads.into_iter().map(|thread| thread.join().expect("encoding does not panic")).collect()
    })
}

fn foreign(text: &TextFile, at: u64, problem: &inkling_core::Error) -> Error {
    Error::Data {
        origin: text.path.display().to_string(),
        problem: format!("counted from byte {at}: {problem}"),
        hint: "take a tokenizer that knows all of the text, such as --tokenizer char".into(),
    }
}
