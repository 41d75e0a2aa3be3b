//! GPT-2's byte alphabet: every byte as a character that can be seen, so that tokens of bytes can be written in JSON.
//!
//! A byte that is a printable character of Latin-1 stands for itself; the other 68 (controls, spaces, the soft hyphen) get the characters
//! from U+0100 on, in their order: the space is `Ġ`, the line feed `Ċ`.
//! Source: openai/gpt-2, `src/encoder.py`, `bytes_to_unicode`.

/// The character of a byte.
pub(super) fn byte_to_char(byte: u8) -> char {
    let code = match byte {
        0..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte - 0x7f),
        0xad => 0x143,
        printable => u32::from(printable),
    };
    char::from_u32(code).expect("these ranges hold no surrogates")
}

/// The byte of a character, if it is one of the alphabet's.
pub(super) fn char_to_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match code {
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// Bytes in this alphabet.
pub(super) fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| byte_to_char(byte)).collect()
}

/// Characters of a token that an error message shows.
const SHOWN: usize = 32;

/// The beginning of a token's text for an error message, quoted.
pub(super) fn quote(token: &str) -> String {
    match token.char_indices().nth(SHOWN) {
        None => format!("{token:?}"),
        Some((end, _)) => format!("{:?}…", &token[..end]),
    }
}

/// The bytes that a text in this alphabet stands for; the error is the first character that is not in it.
pub(super) fn read(text: &str) -> Result<Vec<u8>, char> {
    text.chars().map(|c| char_to_byte(c).ok_or(c)).collect()
}

/// All bytes by the code points of their characters: the order in which vocabularies begin with them.
pub(super) fn in_order() -> Vec<u8> {
    let (printable, others): (Vec<u8>, Vec<u8>) =
        (0..=u8::MAX).partition(|&byte| byte_to_char(byte) == char::from(byte));
    [printable, others].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_visible_character_of_its_own() {
        for byte in 0..=u8::MAX {
            let c = byte_to_char(byte);
            assert!(!c.is_whitespace() && !c.is_control(), "{byte}");
            assert_eq!(char_to_byte(c), Some(byte));
        }
        assert_eq!((0..0x110000).filter_map(char::from_u32).filter_map(char_to_byte).count(), 256);
        assert_eq!(spell("é \n\u{7f}\u{ad}".as_bytes()), "Ã©ĠĊġÂŃ");
        assert_eq!(read("Ġa b"), Err(' '));
    }

    #[test]
    fn vocabularies_begin_as_gpt2s() {
        let order = in_order();
        assert_eq!((order[0], order[93], order[94], order[188], order[255]), (b'!', b'~', 0xa1, 0, 0xad));
    }
}
