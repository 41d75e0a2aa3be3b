//! GPT-2's pre-tokenisation: the words that byte pair encoding never merges across.
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```
//!
//! In words: a contraction; letters, digits or other signs with the one space before them; white space, whose last character is left to
//! the next word. (Only a space U+0020 joins that word; any other white space then stands alone.) The words are the text, cut.
//! Source: openai/gpt-2, `src/encoder.py`; in `tokenizers` the pre-tokenizer `ByteLevel`.

use unicode_general_category::{GeneralCategory, get_general_category};

/// The words of a text; joined they are the text again.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (word, remainder) = rest.split_at(word_length(rest, first));
        rest = remainder;
        Some(word)
    })
}

const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// What the pattern tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `[^\s\p{L}\p{N}]`
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Self::Letter,
            '0'..='9' => Self::Number,
            _ if c.is_whitespace() => Self::Space,
            _ if c.is_ascii() => Self::Other,
            // `char::is_alphabetic` and `is_numeric` are other sets: they take in marks and letter-like signs.
            _ => Self::of_category(get_general_category(c)),
        }
    }

    fn of_category(category: GeneralCategory) -> Self {
        use GeneralCategory as G;
        match category {
            G::UppercaseLetter | G::LowercaseLetter | G::TitlecaseLetter | G::ModifierLetter | G::OtherLetter => {
                Self::Letter
            }
            G::DecimalNumber | G::LetterNumber | G::OtherNumber => Self::Number,
            _ => Self::Other,
        }
    }
}

/// Bytes of the word that `text` begins with; `first` is its first character.
fn word_length(text: &str, first: char) -> usize {
    if first == '\''
        && let Some(contraction) = CONTRACTIONS.iter().find(|contraction| text.starts_with(**contraction))
    {
        return contraction.len();
    }
    let class = Class::of(first);
    if class != Class::Space {
        return run(text, class);
    }
    if first == ' '
        && let Some(second) = text[1..].chars().next()
        && Class::of(second) != Class::Space
    {
        return 1 + run(&text[1..], Class::of(second));
    }
    let spaces = run(text, Class::Space);
    let last = text[..spaces].chars().next_back().map_or(0, char::len_utf8);
    // `\s+(?!\S)`: all of them at the end, else all but the last; a single one is `\s+`.
    if spaces == text.len() || spaces == last { spaces } else { spaces - last }
}

/// Bytes of the characters of one class that `text` begins with.
fn run(text: &str, class: Class) -> usize {
    text.char_indices().find(|&(_, c)| Class::of(c) != class).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_as_gpt2_cuts_them() {
        for (text, expected) in [
            ("Hello, it's 2 o'clock!", &["Hello", ",", " it", "'s", " 2", " o", "'", "clock", "!"][..]),
            ("we'll they'RE ''s 's", &["we", "'ll", " they", "'", "RE", " ''", "s", " '", "s"]),
            ("a  b\n\nc \n", &["a", " ", " b", "\n", "\n", "c", " \n"]),
            ("x\r\n\ty", &["x", "\r\n", "\t", "y"]),
            ("\u{a0}x \u{a0}", &["\u{a0}", "x", " \u{a0}"]),
            ("naïve ２½ⅷ e\u{301} 👩\u{200d}🚀", &["naïve", " ２½ⅷ", " e", "\u{301}", " 👩\u{200d}🚀"]),
            ("", &[]),
        ] {
            let found: Vec<&str> = words(text).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
