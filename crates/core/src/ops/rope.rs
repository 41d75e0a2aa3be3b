//! Rotary position embedding (Su et al. 2021), in Llama's order of channels: of each head's queries and keys, the pair of channels
//! `(i, i + D/2)` is turned by the angle `position · θ^(-2i/D)`, so that scores depend on distances only.
//!
//! ```text
//! (x_i, x_{i+D/2}) ← (x_i cos - x_{i+D/2} sin,  x_i sin + x_{i+D/2} cos)          backward: the same with -sin
//! ```
//!
//! The angles are computed once, in float64, see [`table`]: both engines read the same cosines and sines.

use inkling_kernels::lanes::rope::turn_heads;

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::attention::Heads;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Forward pass.
    Forward,
    /// Backward pass: a rotation's gradient is the rotation back.
    Backward,
}

impl Direction {
    /// Factor on the angle, and so on its sine.
    fn sign(self) -> f32 {
        match self {
            Self::Forward => 1.0,
            Self::Backward => -1.0,
        }
    }
}

/// Turns queries and keys where they are.
#[derive(Debug)]
pub struct Rope {
    /// Queries, keys and values, `[M, (NH + 2 NKV) D]`, or their gradient; queries and keys are changed.
    pub qkv: Tensor,
    /// [`table`] of at least `T` positions, `[positions, D]`.
    pub table: Tensor,
    /// Sizes. Row `m` is position `m mod T`; with `T = 1`, when decoding, the step's.
    pub heads: Heads,
    /// Which way.
    pub direction: Direction,
}

impl Op for Rope {
    fn name(&self) -> &'static str {
        match self.direction {
            Direction::Forward => "rope",
            Direction::Backward => "rope backward",
        }
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        // Only a program of one token per replay is placed by the step.
        let start = if self.heads.context == 1 { step.position as usize } else { 0 };
        turn(&mem.pool, &mut mem.write(self.qkv), &mem.read(self.table), start, self.heads, self.direction);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { qkv, table, heads, direction } = *self;
        let half = heads.head_dim / 2;
        let rows = kernels.len(qkv) / heads.qkv_channels();
        let turned = heads.heads + heads.kv_heads;
        let pairs = rows * turned * half;
        let (dispatch, invocations) = if half.is_multiple_of(4) {
            let dispatch = Dispatch::new(shader::ROPE, "turn_quads");
            (dispatch.bind("qkv_quads", qkv).bind("table_quads", table), pairs / 4)
        } else {
            (Dispatch::new(shader::ROPE, "turn").bind("qkv", qkv).bind("table", table), pairs)
        };
        kernels.push(
            dispatch
                .constant("HALF", half as f64)
                .constant("HEADS", turned as f64)
                .constant("VALUE_HEADS", heads.kv_heads as f64)
                .param("rows", rows)
                .param("context", heads.context)
                .param("direction", direction.sign())
                .linear(invocations.div_ceil(shader::ROPE.constant("WORKGROUP"))),
        );
    }
}

/// See [`Rope`]; `start` is the position of the first of a sequence's rows.
pub fn turn(pool: &Pool, qkv: &mut [f32], table: &[f32], start: usize, heads: Heads, direction: Direction) {
    let (d, width) = (heads.head_dim, heads.qkv_channels());
    let rows = qkv.len() / width;
    pool.rows([(qkv, width)], pool.share(rows, 4), |rows, [qkv]| {
        for (m, row) in rows.zip(qkv.chunks_exact_mut(width)) {
            let angles = &table[(start + m % heads.context) * d..][..d];
            turn_heads(&mut row[..(heads.heads + heads.kv_heads) * d], angles, direction.sign());
        }
    });
}

/// `[positions, D]`: of each position the cosines of its `D/2` angles, then their sines. In float64: float32 numbers around 100,000 are 0.008
/// radians apart.
pub fn table(positions: usize, head_dim: usize, theta: f32) -> Vec<f32> {
    let half = head_dim / 2;
    let frequency = |i: usize| libm::pow(f64::from(theta), -2.0 * i as f64 / head_dim as f64);
    let frequencies: Vec<f64> = (0..half).map(frequency).collect();
    let mut table = vec![0.0; positions * head_dim];
    for (position, row) in table.chunks_exact_mut(head_dim).enumerate() {
        let (cos, sin) = row.split_at_mut(half);
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&frequencies) {
            let (s, c) = libm::sincos(position as f64 * frequency);
            (*cos, *sin) = (c as f32, s as f32);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::attention::Mask;
    use crate::rng::{Site, Stream};

    #[test]
    fn the_table_is_llamas() {
        for (head_dim, theta) in [(2, 10_000.0), (6, 1.0), (64, 10_000.0), (128, 500_000.0)] {
            let half = head_dim / 2;
            let table = table(100_001, head_dim, theta);
            assert_eq!(table.len(), 100_001 * head_dim);
            for position in [0, 1, 2, 4095, 100_000] {
                let (cos, sin) = table[position * head_dim..][..head_dim].split_at(half);
                for i in 0..half {
                    let angle = position as f64 / f64::from(theta).powf(i as f64 / half as f64);
                    let close = |found: f32, exact: f64| (f64::from(found) - exact).abs() < 1e-7;
                    assert!(close(cos[i], angle.cos()) && close(sin[i], angle.sin()), "position {position}, pair {i}");
                }
            }
        }
        // Position 0 is no turn. The fastest pair turns by one radian per token, of four channels the other by a hundredth.
        assert_eq!(table(2, 4, 10_000.0), [1.0, 1.0, 0.0, 0.0, 0.540_302_3, 0.999_95, 0.841_470_96, 0.009_999_833]);
        assert_eq!(table(100_001, 2, 10_000.0)[200_000..], [-0.999_360_8, 0.035_748_8]);
    }

    const HEADS: Heads = Heads { batch: 1, context: 1, heads: 1, kv_heads: 1, head_dim: 38, mask: Mask::Causal };

    fn noise(seed: u32) -> Vec<f32> {
        let stream = Stream::new(6, seed, Site(1));
        (0..3 * HEADS.head_dim as u32).map(|i| stream.normal(i)).collect()
    }

    /// A row at a position.
    fn at(position: usize, row: &[f32]) -> Vec<f32> {
        let mut row = row.to_vec();
        let table = table(position + 1, HEADS.head_dim, 100.0);
        turn(&Pool::new(1), &mut row, &table, position, HEADS, Direction::Forward);
        row
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    #[test]
    fn a_turn_keeps_lengths_and_values_and_can_be_taken_back() {
        let (d, row) = (HEADS.head_dim, noise(0));
        let mut turned = at(77, &row);
        for part in [0..d, d..2 * d] {
            let [before, after] = [&row, &turned].map(|x| dot(&x[part.clone()], &x[part.clone()]));
            assert!((before - after).abs() < 1e-6 * before, "{before} {after}");
            assert!(row[part.clone()].iter().zip(&turned[part]).all(|(x, y)| x != y));
        }
        assert_eq!(row[2 * d..], turned[2 * d..]);
        turn(&Pool::new(1), &mut turned, &table(78, d, 100.0), 77, HEADS, Direction::Backward);
        assert!(row.iter().zip(&turned).all(|(x, y)| (x - y).abs() < 1e-6), "{row:?} {turned:?}");
    }

    #[test]
    fn scores_depend_on_the_distance_only() {
        let d = HEADS.head_dim;
        let (query, key) = (noise(1), noise(2));
        let score = |i: usize, j: usize| dot(&at(i, &query)[..d], &at(j, &key)[d..2 * d]);
        for distance in [0, 1, 13, 500] {
            let near = score(distance, 0);
            for start in [1, 64, 3000] {
                let far = score(start + distance, start);
                assert!((near - far).abs() < 2e-5, "{distance} apart from {start}: {near} {far}");
            }
        }
        assert!((score(0, 0) - score(1, 0)).abs() > 0.1 && (score(1, 0) - score(0, 1)).abs() > 0.1);
    }
}
