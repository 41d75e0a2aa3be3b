//! Bytes that arrive token by token, as text: a token may end in the middle of a character.

/// Turns bytes into text as they come and holds back a character that is not all there yet. What it gives out is in all
/// [`String::from_utf8_lossy`] of the whole.
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    /// The beginning of a character: at most three bytes.
    held: Vec<u8>,
}

impl Utf8Stream {
    /// Adds bytes and takes what is complete. Bytes that no text can have become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut done = 0;
        while let Err(problem) = std::str::from_utf8(&self.held[done..]) {
            let (valid, Some(invalid)) = (problem.valid_up_to(), problem.error_len()) else {
                break;
            };
            text += &String::from_utf8_lossy(&self.held[done..done + valid + invalid]);
            done += valid + invalid;
        }
        let complete = match std::str::from_utf8(&self.held[done..]) {
            Ok(rest) => rest.len(),
            Err(problem) => problem.valid_up_to(),
        };
        text += &String::from_utf8_lossy(&self.held[done..done + complete]);
        self.held.drain(..done + complete);
        text
    }

    /// Ends the text: a character that never became complete is U+FFFD.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_appear_when_they_are_complete() {
        let mut stream = Utf8Stream::default();
        let bytes = "a🦀é".as_bytes();
        let pieces: Vec<String> = bytes.iter().map(|&byte| stream.push(&[byte])).collect();
        assert_eq!(pieces, ["a", "", "", "", "🦀", "", "é"]);
        assert_eq!(stream.push(b"\xe2\x82"), "");
        assert_eq!(stream.push(b"b"), "\u{fffd}b");
        assert_eq!(
            (stream.push(b"\xf0\x9f"), stream.finish(), stream.finish()),
            ("".into(), "\u{fffd}".into(), "".into())
        );
    }

    proptest! {
        #[test]
        fn in_all_it_is_the_lossy_text_of_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x80\xff".to_vec()), 0..4), 0..12),
        ) {
            let mut stream = Utf8Stream::default();
            let mut text: String = pieces.iter().map(|piece| stream.push(piece)).collect();
            text += &stream.finish();
            prop_assert_eq!(text, String::from_utf8_lossy(&pieces.concat()).into_owned());
        }
    }
}
