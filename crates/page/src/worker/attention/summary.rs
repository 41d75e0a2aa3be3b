//! All heads at a glance: small pictures, and how much each does of what heads are known to do.

use crate::protocol::attention::Pattern;

/// Side of a small picture, at most.
const SIZE: usize = 48;

/// Queries that are measured, at most: a mean over more says the same.
const QUERIES: usize = 128;

/// What a token is, as far as patterns go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// White space without a line's end.
    Space,
    /// White space with one.
    Line,
    /// A vowel alone.
    Vowel,
    /// Everything else.
    Other,
}

impl Kind {
    /// Of a token's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [letter] if b"aeiouAEIOU".contains(letter) => Self::Vowel,
            [_, ..] if bytes.iter().all(u8::is_ascii_whitespace) => {
                if bytes.contains(&b'\n') {
                    Self::Line
                } else {
                    Self::Space
                }
            }
            _ => Self::Other,
        }
    }
}

/// The keys that belong to a pattern, for each query that is measured.
pub struct Keys {
    /// Pattern, query, keys.
    of: Vec<(usize, usize, Vec<usize>)>,
    queries: Vec<usize>,
}

impl Keys {
    /// Looks for every pattern in a text.
    pub fn new(tokens: &[u32], kind: impl Fn(u32) -> Kind) -> Self {
        let n = tokens.len();
        let queries: Vec<usize> = (1..n).rev().step_by(n.div_ceil(QUERIES)).collect();
        let kinds: Vec<Kind> = tokens.iter().map(|&id| kind(id)).collect();
        let mut of = Vec::new();
        for &i in &queries {
            let back = |distance: usize| i.checked_sub(distance).into_iter().collect::<Vec<_>>();
            let last = |is: fn(Kind) -> bool| (0..i).rev().find(|&j| is(kinds[j]));
            let space = last(|kind| matches!(kind, Kind::Space | Kind::Line));
            for (at, pattern) in Pattern::ALL.into_iter().enumerate() {
                let keys = match pattern {
                    Pattern::Itself => back(0),
                    Pattern::Previous => back(1),
                    Pattern::TwoBack => back(2),
                    Pattern::ThreeBack => back(3),
                    Pattern::First => {
                        if i > 3 {
                            vec![0]
                        } else {
                            vec![]
                        }
                    }
                    Pattern::LastSpace => space.into_iter().collect(),
                    Pattern::LastLine => last(|kind| kind == Kind::Line).into_iter().collect(),
                    Pattern::LastVowel => last(|kind| kind == Kind::Vowel).into_iter().collect(),
                    Pattern::WordStart => space.map(|space| space + 1).filter(|&start| start < i).into_iter().collect(),
                    Pattern::Same => (0..i).filter(|&j| tokens[j] == tokens[i]).collect(),
                    Pattern::AfterSame => (1..i).filter(|&j| tokens[j - 1] == tokens[i]).collect(),
                    Pattern::Word => (space.map_or(0, |space| space + 1)..=i).collect(),
                };
                if !keys.is_empty() {
                    of.push((at, i, keys));
                }
            }
        }
        Self { of, queries }
    }

    /// The mean over queries of what each pattern's keys weigh.
    fn means(&self, weight: impl Fn(usize, &[usize]) -> f32) -> Vec<f32> {
        let mut sums = [(0.0, 0); Pattern::ALL.len()];
        for (pattern, query, keys) in &self.of {
            let (sum, count) = &mut sums[*pattern];
            *sum += weight(*query, keys);
            *count += 1;
        }
        sums.iter().map(|&(sum, count)| sum / (count as f32).max(1.0)).collect()
    }

    /// Of a head that looks at all keys up to its query alike.
    pub fn chance(&self) -> Vec<f32> {
        self.means(|query, keys| keys.len() as f32 / (query + 1) as f32)
    }
}

/// Of all heads so far.
pub struct Summary {
    n: usize,
    /// Side of a picture.
    pub size: usize,
    /// `[heads, size, size]`.
    pub thumbnails: Vec<f32>,
    /// `[heads, patterns]`.
    pub patterns: Vec<f32>,
    /// Bits, `[heads]`.
    pub entropies: Vec<f32>,
}

impl Summary {
    /// Of no head yet, for a text of `n` tokens.
    pub fn new(n: usize) -> Self {
        Self { n, size: n.min(SIZE), thumbnails: vec![], patterns: vec![], entropies: vec![] }
    }

    /// Adds a head's weights, `[context, context]`.
    pub fn add(&mut self, weights: &[f32], context: usize, keys: &Keys) {
        let (n, size) = (self.n, self.size);
        let row = |query: usize| &weights[query * context..][..n];
        let picture = self.thumbnails.len();
        self.thumbnails.resize(picture + size * size, 0.0);
        for i in 0..n {
            let cells = &mut self.thumbnails[picture + i * size / n * size..][..size];
            for (j, &weight) in row(i).iter().enumerate() {
                let cell = &mut cells[j * size / n];
                *cell = cell.max(weight);
            }
        }
        self.patterns.extend(keys.means(|query, keys| keys.iter().map(|&key| row(query)[key]).sum()));
        let entropies = keys.queries.iter().map(|&query| entropy(row(query)));
        self.entropies.push(entropies.sum::<f32>() / (keys.queries.len() as f32).max(1.0));
    }
}

/// In bits.
pub fn entropy(weights: &[f32]) -> f32 {
    // 0 log 0 is 0. Of one sure key the sum is a negative zero.
    let sum: f32 = weights.iter().filter(|&&weight| weight > 0.0).map(|weight| weight * weight.log2()).sum();
    (-sum).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(id: u32) -> Kind {
        if id == 0 { Kind::Space } else { Kind::Other }
    }

    #[test]
    fn kinds_are_of_bytes() {
        let kinds = [b" " as &[u8], b" \n", b"e", b"x", b""].map(Kind::of);
        assert_eq!(kinds, [Kind::Space, Kind::Line, Kind::Vowel, Kind::Other, Kind::Other]);
    }

    /// Rows of a head that looks where `key` says.
    fn head(n: usize, key: impl Fn(usize) -> usize) -> Vec<f32> {
        (0..n * n).map(|at| if at % n == key(at / n) { 1.0 } else { 0.0 }).collect()
    }

    fn share(tokens: &[u32], key: impl Fn(usize) -> usize, pattern: Pattern) -> f32 {
        let keys = Keys::new(tokens, kind);
        let mut summary = Summary::new(tokens.len());
        summary.add(&head(tokens.len(), key), tokens.len(), &keys);
        summary.patterns[pattern as usize]
    }

    #[test]
    fn patterns_are_found() {
        let tokens = [5, 6, 0, 5, 6, 7, 0, 7, 5, 6];
        assert_eq!(share(&tokens, |i| i, Pattern::Itself), 1.0);
        assert_eq!(share(&tokens, |i| i, Pattern::Previous), 0.0);
        assert_eq!(share(&tokens, |i| i.saturating_sub(1), Pattern::Previous), 1.0);
        assert_eq!(share(&tokens, |_| 0, Pattern::First), 1.0);
        assert_eq!(share(&tokens, |i| i, Pattern::Word), 1.0);
        // Queries 3 and 8 are a 5 that was followed by 6, at 1 and (for the latter) 4.
        assert_eq!(share(&tokens[..4], |_| 1, Pattern::AfterSame), 1.0);
        assert_eq!(share(&tokens[..4], |_| 2, Pattern::LastSpace), 1.0);
        assert_eq!(share(&tokens[..4], |_| 0, Pattern::Same), 1.0);
        // Of queries 4 and 5 the word begins at 3.
        assert_eq!(share(&tokens[..6], |_| 3, Pattern::WordStart), 1.0);
        assert_eq!(share(&tokens, |_| 0, Pattern::LastVowel), 0.0);
    }

    #[test]
    fn chance_is_a_head_that_looks_at_all_alike() {
        let tokens = [5, 6, 0, 5, 6, 7, 0, 7, 5, 6];
        let n = tokens.len();
        let keys = Keys::new(&tokens, kind);
        let even = |at: usize| if at % n <= at / n { 1.0 / (at / n + 1) as f32 } else { 0.0 };
        let mut summary = Summary::new(n);
        summary.add(&(0..n * n).map(even).collect::<Vec<_>>(), n, &keys);
        for (found, chance) in summary.patterns.iter().zip(keys.chance()) {
            assert!((found - chance).abs() < 1e-6, "{found} {chance}");
        }
    }

    #[test]
    fn small_pictures_keep_the_largest_weight() {
        let n = 100;
        let keys = Keys::new(&vec![1; n], |_| Kind::Other);
        let mut summary = Summary::new(n);
        summary.add(&head(n, |i| i.saturating_sub(1)), n, &keys);
        assert_eq!(summary.thumbnails.len(), SIZE * SIZE);
        for i in 0..SIZE {
            assert_eq!(summary.thumbnails[i * SIZE + i], 1.0);
        }
        assert_eq!(summary.thumbnails[SIZE - 1], 0.0);
    }

    #[test]
    fn entropy_counts_bits() {
        assert_eq!(entropy(&[1.0, 0.0]).to_bits(), 0.0_f32.to_bits());
        assert_eq!(entropy(&[0.25; 4]), 2.0);
    }
}
