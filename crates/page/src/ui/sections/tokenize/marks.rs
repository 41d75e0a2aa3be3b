//! Marked stretches of a text.

/// A stretch in UTF-16 units with its style class.
pub type Mark = (usize, usize, &'static str);

/// The text in pieces, each with the classes of the marks that cover it. Marks may be out of date: what is not in the text is left out.
pub fn pieces(text: &str, marks: &[Mark]) -> Vec<(String, String)> {
    let mut cuts = Vec::new();
    for cut in marks.iter().flat_map(|&(start, end, _)| [start, end]) {
        if let Err(place) = cuts.binary_search(&cut) {
            cuts.insert(place, cut);
        }
    }
    let mut pieces = vec![(String::new(), String::new())];
    let mut cuts = cuts.into_iter().peekable();
    let mut at = 0;
    for c in text.chars() {
        if cuts.next_if(|&cut| cut <= at).is_some() {
            while cuts.next_if(|&cut| cut <= at).is_some() {}
            let covering = marks.iter().filter(|(start, end, _)| (*start..*end).contains(&at)).map(|mark| mark.2);
            pieces.push((String::new(), covering.collect::<Vec<_>>().join(" ")));
        }
        if let Some((piece, _)) = pieces.last_mut() {
            piece.push(c);
        }
        at += c.len_utf16();
    }
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, marks: &[Mark]) -> Vec<(String, String)> {
        pieces(text, marks)
    }

    #[test]
    fn marks_cut_the_text() {
        let own = |pieces: &[(&str, &str)]| -> Vec<(String, String)> {
            pieces.iter().map(|(piece, class)| ((*piece).into(), (*class).into())).collect()
        };
        assert_eq!(marked("abc", &[]), own(&[("abc", "")]));
        assert_eq!(marked("a🦀c", &[(1, 3, "x")]), own(&[("a", ""), ("🦀", "x"), ("c", "")]));
        assert_eq!(
            marked("abcd", &[(0, 3, "x"), (1, 2, "y")]),
            own(&[("a", "x"), ("b", "x y"), ("c", "x"), ("d", "")])
        );
        assert_eq!(marked("ab", &[(1, 9, "x"), (5, 6, "y")]), own(&[("a", ""), ("b", "x")]));
        // Out of date: in the middle of a character.
        assert_eq!(marked("🦀b", &[(0, 1, "x")]), own(&[("🦀", "x"), ("b", "")]));
    }
}
