//! Which tokens a model's table `wte.weight` puts near each other, and what chance alone would put there.
//!
//! ```text
//! centred:     xᵢ = wteᵢ − (1/V) Σⱼ wteⱼ          uᵢ = xᵢ / ‖xᵢ‖
//! neighbours:  of a:           y = u_a              all tokens but a
//! analogy:     a : b = c : ?   y = u_b − u_a + u_c  all tokens but a, b and c
//! similarity:  cos(xᵢ, y) = uᵢ · y / ‖y‖            the largest first
//! chance:      the same for a table whose entries were permuted among the tokens, in each channel on its own
//! ```
//!
//! - Why centred: token tables share a large common direction, which makes every cosine large and tells nothing about any token
//!   (Mu and Viswanath 2018, "All-but-the-Top"). Without it a cosine of 0 means unrelated.
//! - Why unit vectors, and why the given tokens are left out: Mikolov, Yih and Zweig 2013, "Linguistic Regularities in Continuous
//!   Space Word Representations". The nearest to `y` is otherwise most often one of the given.
//! - Why the shuffled table: the largest of many cosines is far from 0 even among random vectors, the more so the more tokens and
//!   the fewer channels there are. The permutation keeps every channel's values, hence its mean and variance, and destroys only which
//!   of them belong to one token. A similarity says something as far as it exceeds that of the same rank there.
//!
//! A token whose centred row is 0 has no direction: its cosines are 0.

use crate::order;
use crate::rng::{Site, Stream};

/// What to look for. Tokens are ids below the number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The tokens nearest to one.
    Neighbours(u32),
    /// `a : b = c : ?`, in this order.
    Analogy([u32; 3]),
}

impl Query {
    /// `y` as a weighted sum of unit vectors: the tokens given, with their weights.
    fn terms(self) -> Vec<(u32, f64)> {
        match self {
            Self::Neighbours(token) => vec![(token, 1.0)],
            Self::Analogy([a, b, c]) => vec![(b, 1.0), (a, -1.0), (c, 1.0)],
        }
    }
}

/// A token that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its id.
    pub token: u32,
    /// `cos(x, y)`, from -1 to 1.
    pub cosine: f64,
}

/// What the neighbour of one rank is like in shuffled tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chance {
    /// Mean of its cosine over the shuffles.
    pub mean: f64,
    /// The largest of them.
    pub max: f64,
}

/// A table of tokens, centred.
#[derive(Clone, Debug)]
pub struct EmbeddingSpace {
    tokens: usize,
    /// `[C, V]`: a channel's values lie together, for a permutation to take them one channel at a time.
    columns: Vec<f32>,
}

impl EmbeddingSpace {
    /// The space of a table `[V, C]`, row-major (`wte.weight`).
    ///
    /// # Panics
    /// When the table does not consist of whole rows of `channels` values.
    pub fn new(table: &[f32], channels: usize) -> Self {
        assert!(channels > 0 && table.len().is_multiple_of(channels), "{} values, {channels} channels", table.len());
        let tokens = table.len() / channels;
        let mut columns = Vec::with_capacity(table.len());
        for channel in 0..channels {
            let column = || table.iter().skip(channel).step_by(channels).map(|&value| f64::from(value));
            let mean = column().sum::<f64>() / tokens as f64;
            columns.extend(column().map(|value| (value - mean) as f32));
        }
        Self { tokens, columns }
    }

    /// Number of tokens, `V`.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The `count` tokens most similar to what is looked for (fewer where there are fewer), by falling cosine, then by id.
    ///
    /// # Panics
    /// When the query names a token that the table has not.
    pub fn nearest(&self, query: Query, count: usize) -> Vec<Neighbour> {
        ranked(&self.cosines(query, None), query, count)
    }

    /// By rank, the first being 0, what [`Self::nearest`] finds in `shuffles` shuffled tables.
    ///
    /// # Panics
    /// As [`Self::nearest`].
    pub fn chance(&self, query: Query, count: usize, shuffles: u32, seed: u64) -> Vec<Chance> {
        let mut ranks: Vec<Chance> = Vec::new();
        for shuffle in 0..shuffles {
            let found = ranked(&self.cosines(query, Some(Shuffle { seed, number: shuffle })), query, count);
            ranks.resize(found.len(), Chance { mean: 0.0, max: f64::NEG_INFINITY });
            for (rank, neighbour) in ranks.iter_mut().zip(found) {
                rank.mean += neighbour.cosine / f64::from(shuffles);
                rank.max = rank.max.max(neighbour.cosine);
            }
        }
        ranks
    }

    /// The cosine of every token. One pass over the channels, so that no shuffled table is ever stored:
    /// `cos(xᵢ, y) = Σₖ wₖ (xᵢ · xₖ) / ‖xₖ‖ / (‖xᵢ‖ ‖y‖)` over the query's tokens `k` with their weights `w`.
    fn cosines(&self, query: Query, shuffle: Option<Shuffle>) -> Vec<f64> {
        let terms = query.terms();
        let mut squares = vec![0.0; self.tokens];
        let mut products = vec![vec![0.0; self.tokens]; terms.len()];
        let mut shuffled = Vec::new();
        for (channel, column) in self.columns.chunks_exact(self.tokens.max(1)).enumerate() {
            let column = match shuffle {
                None => column,
                Some(shuffle) => {
                    let order = shuffle.of_channel(channel).permutation(self.tokens as u32);
                    shuffled.clear();
                    shuffled.extend(order.into_iter().map(|from| column[from as usize]));
                    &shuffled
                }
            };
            for (square, &x) in squares.iter_mut().zip(column) {
                *square += f64::from(x) * f64::from(x);
            }
            for (products, &(token, _)) in products.iter_mut().zip(&terms) {
                let factor = f64::from(column[token as usize]);
                for (product, &x) in products.iter_mut().zip(column) {
                    *product += factor * f64::from(x);
                }
            }
        }
        // 0 where there is no direction.
        let inverse = |square: f64| if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
        let unit = |token: u32| inverse(squares[token as usize]);
        // uᵢ · y, up to the factor 1/‖xᵢ‖.
        let along = |i: usize| -> f64 {
            terms.iter().zip(&products).map(|(&(token, weight), products)| weight * unit(token) * products[i]).sum()
        };
        let y_square: f64 = terms.iter().map(|&(token, weight)| weight * unit(token) * along(token as usize)).sum();
        let scale = inverse(y_square);
        (0..self.tokens).map(|i| (along(i) * inverse(squares[i]) * scale).clamp(-1.0, 1.0)).collect()
    }
}

/// One of the shuffled tables.
#[derive(Clone, Copy)]
struct Shuffle {
    seed: u64,
    number: u32,
}

impl Shuffle {
    /// Channels must not share an order: rows would stay whole.
    fn of_channel(self, channel: usize) -> Stream {
        Stream::new(self.seed ^ u64::from(self.number) << 32, channel as u32, Site::EMBEDDING_SHUFFLE)
    }
}

fn ranked(cosines: &[f64], query: Query, count: usize) -> Vec<Neighbour> {
    let terms = query.terms();
    let given = |token: u32| terms.iter().any(|term| term.0 == token);
    let all = (0..).zip(cosines).map(|(token, &cosine)| Neighbour { token, cosine });
    let mut found: Vec<Neighbour> = all.filter(|neighbour| !given(neighbour.token)).collect();
    order::sort_by(&mut found, |a, b| b.cosine.total_cmp(&a.cosine).then(a.token.cmp(&b.token)));
    found.truncate(count);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Straight from the formulas, row by row.
    fn reference(table: &[f32], channels: usize, query: Query) -> Vec<f64> {
        let rows: Vec<Vec<f64>> =
            table.chunks(channels).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
        let mean = |c: usize| rows.iter().map(|row| row[c]).sum::<f64>() / rows.len() as f64;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let unit = |x: Vec<f64>| -> Vec<f64> {
            let norm = dot(&x, &x).sqrt();
            x.into_iter().map(|x| x / norm).collect()
        };
        let centred = |row: &Vec<f64>| (0..channels).map(|c| row[c] - mean(c)).collect::<Vec<f64>>();
        let units: Vec<Vec<f64>> = rows.iter().map(|row| unit(centred(row))).collect();
        let of = |token: u32| units[token as usize].clone();
        let y = match query {
            Query::Neighbours(a) => of(a),
            Query::Analogy([a, b, c]) => (0..channels).map(|i| of(b)[i] - of(a)[i] + of(c)[i]).collect(),
        };
        let y = unit(y);
        units.iter().map(|unit| dot(unit, &y)).collect()
    }

    fn random(tokens: usize, channels: usize, seed: u64) -> Vec<f32> {
        let stream = Stream::new(seed, 0, Site::parameter("wte.weight"));
        // A common direction, as real tables have.
        (0..(tokens * channels) as u32).map(|i| stream.normal(i) + 3.0).collect()
    }

    proptest! {
        #[test]
        fn cosines_are_those_of_the_formulas(seed in any::<u64>(), tokens in 5_usize..30, channels in 4_usize..20) {
            let table = random(tokens, channels, seed);
            let space = EmbeddingSpace::new(&table, channels);
            let last = tokens as u32 - 1;
            for query in [Query::Neighbours(last), Query::Analogy([0, last, 1]), Query::Analogy([0, 0, 1])] {
                let expected = reference(&table, channels, query);
                for (found, expected) in space.cosines(query, None).iter().zip(&expected) {
                    prop_assert!((found - expected).abs() < 1e-5, "{query:?}: {found} {expected}");
                }
            }
        }

        #[test]
        fn the_nearest_are_sorted_and_never_the_given(seed in any::<u64>(), tokens in 1_u32..30, count in 0_usize..40) {
            let space = EmbeddingSpace::new(&random(tokens as usize, 5, seed), 5);
            let given = [0, tokens - 1, tokens / 2];
            let found = space.nearest(Query::Analogy(given), count);
            let distinct: std::collections::BTreeSet<u32> = given.into();
            prop_assert_eq!(found.len(), count.min(tokens as usize - distinct.len()));
            prop_assert!(found.iter().all(|neighbour| !given.contains(&neighbour.token)));
            prop_assert!(found.windows(2).all(|pair| pair[0].cosine >= pair[1].cosine));
            prop_assert_eq!(space.chance(Query::Analogy(given), count, 2, seed).len(), found.len());
        }

        #[test]
        fn neither_a_shift_nor_a_scale_of_the_table_matters(seed in any::<u64>(), shift in -10_f32..10.0) {
            let table = random(20, 8, seed);
            let moved: Vec<f32> = table.iter().map(|x| 4.0 * x + shift).collect();
            let cosines = |table: &[f32]| EmbeddingSpace::new(table, 8).cosines(Query::Analogy([1, 2, 3]), None);
            for (a, b) in cosines(&table).iter().zip(cosines(&moved)) {
                prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }

    #[test]
    fn shuffles_keep_the_values_of_each_channel_and_differ_from_each_other() {
        // Every token alike but for one value in one channel: wherever it goes, its token is alone.
        let mut table = vec![0.0; 40];
        table[0] = 1.0;
        let space = EmbeddingSpace::new(&table, 4);
        let cosines = |number| space.cosines(Query::Neighbours(0), Some(Shuffle { seed: 1, number }));
        let alone = |number| cosines(number).iter().filter(|&&cosine| cosine < 0.0).count();
        assert!((0..50).all(|number| [1, 9].contains(&alone(number))));

        let space = EmbeddingSpace::new(&random(50, 6, 3), 6);
        let cosines = |seed, number| space.cosines(Query::Neighbours(0), Some(Shuffle { seed, number }));
        assert_ne!(cosines(1, 0), cosines(1, 1));
        assert_ne!(cosines(1, 0), cosines(2, 0));
        assert_eq!(cosines(1, 0), cosines(1, 0));
    }

    #[test]
    fn structure_exceeds_chance_and_randomness_does_not() {
        // Tokens in pairs that share a direction.
        let channels = 32;
        let noise = random(60, channels, 7);
        let mut paired = noise.clone();
        for row in 0..60 {
            for c in 0..channels {
                paired[row * channels + c] =
                    noise[row / 2 * 2 * channels + c] + 0.2 * (noise[row * channels + c] - 3.0);
            }
        }
        let query = Query::Neighbours(10);
        let space = EmbeddingSpace::new(&paired, channels);
        let (found, chance) = (space.nearest(query, 3), space.chance(query, 3, 20, 1));
        assert!(found[0].token == 11 && found[0].cosine > 0.9 && chance[0].max < 0.8, "{found:?} {chance:?}");

        let space = EmbeddingSpace::new(&noise, channels);
        let (found, chance) = (space.nearest(query, 3), space.chance(query, 3, 200, 1));
        assert!(chance.iter().all(|rank| rank.mean > 0.1 && rank.mean < rank.max), "{chance:?}");
        assert!(found.iter().zip(&chance).all(|(found, chance)| found.cosine < chance.max), "{found:?} {chance:?}");
    }

    #[test]
    fn analogies_that_hold_are_found() {
        // man, woman, king, queen and two others: male/female in the first channel, royal in the second.
        let table = [-1., 0., 1., 0., 1., 0., -1., 1., 1., 1., 1., 1., 0., -1., 4., 0.3, -2., -4.];
        let space = EmbeddingSpace::new(&table, 3);
        assert_eq!(space.nearest(Query::Analogy([0, 1, 2]), 1)[0].token, 3);
    }

    #[test]
    fn rows_without_a_direction_are_similar_to_nothing() {
        let space = EmbeddingSpace::new(&[0.7; 12], 3);
        assert!(space.nearest(Query::Neighbours(1), 9).iter().all(|neighbour| neighbour.cosine == 0.0));
        assert_eq!(space.chance(Query::Analogy([0, 1, 2]), 9, 3, 1), [Chance { mean: 0.0, max: 0.0 }]);
    }
}
