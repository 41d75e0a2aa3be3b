//! Where a text may be cut so that its pieces, encoded one by one, give the tokens of the whole.
//!
//! Byte-level BPE never merges across the words that GPT-2's pattern finds, and that pattern begins a new match at white space that
//! follows something else: there a text may be cut whatever the tokenizer. (Between two white spaces it may not: `"a  b"` is
//! `["a", " ", " b"]`.)

/// The last byte position of `text` at which it may be cut, if there is one: in front of a white space after a character that is none.
pub fn last_cut(text: &str) -> Option<usize> {
    let mut after: Option<(usize, char)> = None;
    for (at, c) in text.char_indices().rev() {
        if let Some((cut, space)) = after
            && space.is_whitespace()
            && !c.is_whitespace()
        {
            return Some(cut);
        }
        after = Some((at, c));
    }
    None
}

/// A text as pieces of at least `size` bytes, the last excepted, each cut as [`last_cut`] says.
pub fn pieces(text: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, remainder) = rest.split_at(next_cut(rest, size));
        rest = remainder;
        Some(piece)
    })
}

/// The first cut at or after byte `size`, or the end.
fn next_cut(text: &str, size: usize) -> usize {
    let mut start = size.clamp(1, text.len());
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let mut before = text[..start].chars().next_back().is_some_and(char::is_whitespace);
    for (at, c) in text[start..].char_indices() {
        if c.is_whitespace() && !before {
            return start + at;
        }
        before = c.is_whitespace();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_lie_in_front_of_white_space_after_a_word() {
        for (text, cut) in [
            ("one two", Some(3)),
            ("one  two", Some(3)),
            ("one two\r\n", Some(7)),
            ("héé\u{3000}x", Some(5)),
            (" one", None),
            ("  ", None),
            ("", None),
        ] {
            assert_eq!(last_cut(text), cut, "{text:?}");
        }
        assert_eq!(pieces("one two  three four", 2).collect::<Vec<_>>(), ["one", " two", "  three", " four"]);
    }

    proptest! {
        #[test]
        fn pieces_are_the_text_again_cut_only_where_allowed(text in "[ab\\s\u{e9}]{0,60}", size in 0usize..20) {
            let pieces: Vec<&str> = pieces(&text, size).collect();
            prop_assert!(pieces.concat() == text);
            for pair in pieces.windows(2) {
                prop_assert!(pair[1].starts_with(char::is_whitespace) && !pair[0].ends_with(char::is_whitespace));
                prop_assert!(pair[0].len() >= size);
            }
        }
    }
}
