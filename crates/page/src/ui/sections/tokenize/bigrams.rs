//! Which character follows which, counted.

use crate::ui::order::{commonest_first, counted, halves, pair};

/// Neighbours in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bigrams {
    /// Commonest first, then by code point: at most as many as asked for.
    pub characters: Vec<char>,
    /// Different characters in the text.
    pub distinct: usize,
    /// How often row is followed by column, of [`Self::characters`]: `[n, n]`.
    pub counts: Vec<u32>,
    /// How often each of them is followed by any character.
    pub totals: Vec<u32>,
    /// The largest of [`Self::counts`].
    pub largest: u32,
    /// The commonest pairs of all characters: first, second, count.
    pub top: Vec<(char, char, u32)>,
    /// Pairs in the text.
    pub pairs: usize,
}

/// Counts a text's pairs: a map of at most `most` characters, and the `top` commonest pairs.
pub fn bigrams(text: &str, most: usize, top: usize) -> Bigrams {
    let codes = || text.chars().map(u32::from);
    let kinds = counted(codes().map(u64::from).collect());
    let common = commonest_first(kinds.iter().map(|&(_, count)| count)).into_iter().take(most);
    let characters: Vec<u32> = common.map(|kind| kinds[kind].0 as u32).collect();
    let place = |code: u32| characters.iter().position(|&character| character == code);
    let pairs = counted(codes().zip(codes().skip(1)).map(|(first, second)| pair(first, second)).collect());
    let n = characters.len();
    let (mut counts, mut totals) = (vec![0; n * n], vec![0; n]);
    for &(pair, count) in &pairs {
        let (first, second) = halves(pair);
        let Some(row) = place(first) else { continue };
        totals[row] += count;
        if let Some(column) = place(second) {
            counts[row * n + column] = count;
        }
    }
    let largest = counts.iter().copied().max().unwrap_or_default();
    let number = pairs.iter().map(|&(_, count)| count as usize).sum();
    let commonest = commonest_first(pairs.iter().map(|&(_, count)| count)).into_iter().take(top);
    let named = |(pair, count)| {
        let (first, second) = halves(pair);
        (character(first), character(second), count)
    };
    Bigrams {
        characters: characters.iter().copied().map(character).collect(),
        distinct: kinds.len(),
        counts,
        totals,
        largest,
        top: commonest.map(|at| named(pairs[at])).collect(),
        pairs: number,
    }
}

fn character(code: u32) -> char {
    char::from_u32(code).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_commonest_characters_first() {
        let found = bigrams("banana🦀a", 3, 2);
        assert_eq!(found.characters, ['a', 'n', 'b']);
        assert_eq!((found.distinct, found.pairs, found.largest), (4, 7, 2));
        assert_eq!(found.counts, [0, 2, 0, 2, 0, 0, 1, 0, 0]);
        assert_eq!(found.totals, [3, 2, 1]);
        assert_eq!(found.top, [('a', 'n', 2), ('n', 'a', 2)]);
    }

    #[test]
    fn short_texts_have_no_pairs() {
        assert_eq!(bigrams("", 9, 9), Bigrams::default());
        let one = bigrams("é", 9, 9);
        assert_eq!((one.characters, one.counts, one.pairs), (vec!['é'], vec![0], 0));
    }
}
