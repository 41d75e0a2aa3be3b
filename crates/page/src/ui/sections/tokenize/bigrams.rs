//! Which character follows which, counted.

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

/// Each different item and how often it is there, by the items' order.
fn counted<T: Ord + Copy>(mut items: Vec<T>) -> Vec<(T, u32)> {
    items.sort_unstable();
    items.chunk_by(PartialEq::eq).map(|same| (same[0], same.len() as u32)).collect()
}

/// Counts a text's pairs: a map of at most `most` characters, and the `top` commonest pairs.
pub fn bigrams(text: &str, most: usize, top: usize) -> Bigrams {
    let characters = counted(text.chars().collect());
    let distinct = characters.len();
    let mut by_count = characters;
    // Stable: of equals, the smaller code point stays first.
    by_count.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let characters: Vec<char> = by_count.iter().take(most).map(|&(c, _)| c).collect();
    let mut pairs = counted(text.chars().zip(text.chars().skip(1)).collect());
    let mut places: Vec<(char, usize)> = characters.iter().copied().zip(0..).collect();
    places.sort_unstable();
    let place = |c: char| places.binary_search_by_key(&c, |&(c, _)| c).ok().map(|i| places[i].1);
    let n = characters.len();
    let (mut counts, mut totals) = (vec![0; n * n], vec![0; n]);
    for &((first, second), count) in &pairs {
        let Some(row) = place(first) else { continue };
        totals[row] += count;
        if let Some(column) = place(second) {
            counts[row * n + column] = count;
        }
    }
    let largest = counts.iter().copied().max().unwrap_or_default();
    let number = pairs.iter().map(|&(_, count)| count as usize).sum();
    pairs.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let top = pairs.iter().take(top).map(|&((first, second), count)| (first, second, count)).collect();
    Bigrams { characters, distinct, counts, totals, largest, top, pairs: number }
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
