//! What is near in the token table, and what chance would put there ([`EmbeddingSpace`] has the formulas).

use std::rc::Rc;

use inkling_core::embedding_space::{Chance, EmbeddingSpace, Query};

use super::{Workshop, check};
use crate::protocol::Failure;
use crate::protocol::embed::{Baseline, BaselineFound, Near, Neighbours, NeighboursFound};

/// Tables that are shuffled, as many as `trainer inspect --neighbors` takes, and alike.
const SHUFFLES: u32 = 20;
/// Of the shuffles.
const SEED: u64 = 1337;

fn query(near: Near) -> Query {
    match near {
        Near::Token(id) => Query::Neighbours(id),
        Near::Analogy(a, b, c) => Query::Analogy([a, b, c]),
    }
}

impl Workshop {
    pub(in super::super) fn neighbours(&mut self, call: Neighbours) -> Result<NeighboursFound, Failure> {
        let found = self.space_for(call.of)?.nearest(query(call.of), call.count);
        let nearest = found.into_iter().map(|neighbour| (neighbour.token, neighbour.cosine as f32)).collect();
        Ok(NeighboursFound { of: call.of, nearest })
    }

    pub(in super::super) fn begin_shuffling(&mut self, Baseline(call): Baseline) -> Result<Shuffling, Failure> {
        Ok(Shuffling { space: self.space_for(call.of)?, call, done: 0, ranks: Vec::new() })
    }

    fn space_for(&mut self, near: Near) -> Result<Rc<EmbeddingSpace>, Failure> {
        let model = self.model.as_ref().ok_or_else(Failure::no_model)?;
        match near {
            Near::Token(id) => check(model, &[id])?,
            Near::Analogy(a, b, c) => check(model, &[a, b, c])?,
        }
        Ok(self.spaces.tokens(model))
    }
}

/// Shuffled tables, one after the other.
pub struct Shuffling {
    space: Rc<EmbeddingSpace>,
    call: Neighbours,
    done: u32,
    ranks: Vec<Chance>,
}

impl Shuffling {
    /// One more table; the answer after the last.
    pub fn slice(&mut self) -> Option<BaselineFound> {
        // The `n`-th shuffle of a seed is the first of this one.
        let seed = SEED ^ (u64::from(self.done) << 32);
        let found = self.space.chance(query(self.call.of), self.call.count, 1, seed);
        self.ranks.resize(found.len(), Chance { mean: 0.0, max: f64::NEG_INFINITY });
        for (rank, found) in self.ranks.iter_mut().zip(found) {
            rank.mean += found.mean / f64::from(SHUFFLES);
            rank.max = rank.max.max(found.max);
        }
        self.done += 1;
        (self.done == SHUFFLES).then(|| BaselineFound {
            of: self.call.of,
            shuffles: SHUFFLES,
            ranks: self.ranks.iter().map(|rank| (rank.mean as f32, rank.max as f32)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use inkling_core::rng::{Site, Stream};

    use super::*;

    #[test]
    fn shuffles_one_by_one_are_the_shuffles_of_core() {
        let stream = Stream::new(1, 0, Site::parameter("wte.weight"));
        let table: Vec<f32> = (0..40 * 6).map(|i| stream.normal(i)).collect();
        let space = Rc::new(EmbeddingSpace::new(&table, 6));
        for of in [Near::Token(3), Near::Analogy(1, 2, 3)] {
            let call = Neighbours { of, count: 5 };
            let mut shuffling = Shuffling { space: Rc::clone(&space), call, done: 0, ranks: Vec::new() };
            let found = std::iter::repeat_with(|| shuffling.slice()).take(SHUFFLES as usize).flatten().next().unwrap();
            let expected = space.chance(query(of), 5, SHUFFLES, SEED);
            let expected: Vec<(f32, f32)> = expected.iter().map(|c| (c.mean as f32, c.max as f32)).collect();
            assert_eq!((found.shuffles, found.ranks), (SHUFFLES, expected));
        }
    }
}
