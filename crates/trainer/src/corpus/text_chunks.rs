//! A text of any length, a piece at a time.

use std::io::Read;

use inkling_core::tokenizer::pieces::last_cut;

use crate::error::{Error, Result};

/// Bytes read at a time: large beside the cost of a call, small beside a model.
const CHUNK: usize = 1 << 20;
/// A text that has no white space for so long cannot be cut without changing its tokens.
const MOST: usize = 64 << 20;

/// UTF-8 text as pieces of about a mebibyte, cut where [`last_cut`] says: encoded one by one, they give the tokens of the whole. Nothing
/// more than a piece is in memory.
#[derive(Debug)]
pub struct TextChunks<R> {
    reader: R,
    /// For messages.
    origin: String,
    /// Read and not given out yet.
    pending: Vec<u8>,
    /// Bytes given out.
    position: u64,
    at_end: bool,
}

impl<R: Read> TextChunks<R> {
    /// The text that `reader` gives; `origin` is what errors call it.
    pub fn new(reader: R, origin: impl Into<String>) -> Self {
        Self { reader, origin: origin.into(), pending: Vec::new(), position: 0, at_end: false }
    }

    fn refuse(&self, problem: String, hint: &str) -> Error {
        Error::Data { origin: self.origin.clone(), problem, hint: hint.into() }
    }

    /// The next piece; `None` at the end.
    fn read_piece(&mut self) -> Result<Option<String>> {
        loop {
            self.fill()?;
            if self.at_end && self.pending.is_empty() {
                return Ok(None);
            }
            let text = self.valid_text()?;
            let cut = if self.at_end { Some(text.len()) } else { last_cut(text) };
            if let Some(cut) = cut {
                let piece = text[..cut].to_owned();
                self.pending.drain(..cut);
                self.position += cut as u64;
                return Ok(Some(piece));
            }
            if self.pending.len() >= MOST {
                let problem = format!("there is no white space in {MOST} bytes from byte {} on", self.position);
                return Err(self.refuse(problem, "pass a text with words or lines"));
            }
        }
    }

    fn fill(&mut self) -> Result<()> {
        let before = self.pending.len();
        let outcome = self.reader.by_ref().take(CHUNK as u64).read_to_end(&mut self.pending);
        outcome.map_err(|error| self.refuse(format!("it cannot be read: {error}"), "try again"))?;
        self.at_end = self.pending.len() - before < CHUNK;
        Ok(())
    }

    /// What is pending, without the bytes of a character that is not all there yet.
    fn valid_text(&self) -> Result<&str> {
        let problem = match std::str::from_utf8(&self.pending) {
            Ok(text) => return Ok(text),
            Err(problem) => problem,
        };
        let valid = problem.valid_up_to();
        if problem.error_len().is_none() && !self.at_end {
            return Ok(std::str::from_utf8(&self.pending[..valid]).expect("it was just found to be valid"));
        }
        let (at, byte) = (self.position + valid as u64, self.pending[valid]);
        Err(self.refuse(
            format!("byte {at} (0x{byte:02x}) is not UTF-8"),
            "convert it first, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        ))
    }
}

impl<R: Read> Iterator for TextChunks<R> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_piece().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>> {
        TextChunks::new(bytes, "poems").collect()
    }

    #[test]
    fn pieces_are_the_text_again() {
        let text = "Füße und Hände, größer als je zuvor\n".repeat(100_000);
        let pieces = read(text.as_bytes()).unwrap();
        assert!(pieces.len() > 2 && pieces.concat() == text);
        assert!(pieces[1..].iter().all(|piece| piece.starts_with([' ', '\n'])));
        assert!(read(b"").unwrap().is_empty());
        assert_eq!(read(b"word").unwrap(), ["word"]);
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_named_with_its_place_in_the_whole() {
        let mut bytes = "word ".repeat(1 << 19).into_bytes();
        let at = bytes.len() - 3;
        bytes[at] = 0xe9;
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("poems") && error.contains(&format!("byte {at} (0xe9)")), "{error}");
        assert!(read(b"caf\xc3").unwrap_err().to_string().contains("byte 3 (0xc3)"));
    }

    #[test]
    fn a_text_that_cannot_be_cut_is_refused() {
        let error = read(&vec![b'x'; MOST + CHUNK]).unwrap_err().to_string();
        assert!(error.contains("no white space"), "{error}");
        assert_eq!(read(&vec![b'x'; 3 * CHUNK]).unwrap().len(), 1);
    }
}
