//! One token per byte of the text's UTF-8: 256 ids, whatever the language.

/// The byte tokenizer: the id of a byte is its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteTokenizer;

/// Every byte once, as a table that tokens can be borrowed from.
static BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut i = 0;
    while i < 256 {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

impl ByteTokenizer {
    /// Number of ids.
    pub const VOCAB_SIZE: usize = 256;

    /// Text to ids.
    pub fn encode(self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    /// The byte of an id, as a slice; `None` outside the vocabulary.
    pub fn token_bytes(self, id: u32) -> Option<&'static [u8]> {
        BYTES.chunks(1).nth(usize::try_from(id).ok()?)
    }
}
