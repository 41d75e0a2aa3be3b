use inkling_core::ops::attention::{Heads, Mask};
use inkling_core::ops::rope::{Direction, Rope, table};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::step::Step;

use crate::{Case, F16, F32};

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// `step.position` is beyond the table where the context is not 1: nothing may look there.
fn check(heads: Heads, positions: usize, direction: Direction, dtype: DType) {
    let mut p = Program::new(vec![], Training::No);
    let qkv = p.tensor_of(dtype, "qkv", &[heads.batch * heads.context, heads.qkv_channels()]);
    let angles = p.tensor("table", &[positions, heads.head_dim]);
    p.push(Pass::Forward, Rope { qkv, table: angles, heads, direction });
    let position = if heads.context == 1 { positions as u32 - 1 } else { u32::MAX };
    Case::new(format!("rope {heads:?} {direction:?} {dtype:?}"), p)
        .noise(qkv)
        .input(angles, table(positions, heads.head_dim, 10_000.0))
        .output(qkv)
        .step(Step { position, ..Step::default() })
        .tolerance(if dtype == DType::F16 { F16 } else { F32 })
        .check();
}

#[test]
fn rope() {
    for (heads, kv_heads) in [(1, 1), (3, 3), (4, 2), (6, 1)] {
        for head_dim in [2, 4, 6, 8, 24, 64, 130] {
            for (batch, context, positions) in [(1, 1, 1), (1, 2, 2), (3, 7, 9), (5, 1, 12)] {
                let heads = Heads { batch, context, heads, kv_heads, head_dim, mask: Mask::Causal };
                for direction in DIRECTIONS {
                    check(heads, positions, direction, DType::F32);
                    check(heads, positions, direction, DType::F16);
                }
            }
        }
    }
}

#[test]
fn rope_of_many_rows() {
    // More than 65,535 rows, and workgroups.
    let heads = Heads { batch: 3, context: 21_900, heads: 1, kv_heads: 1, head_dim: 2, mask: Mask::Causal };
    check(heads, 21_900, Direction::Forward, DType::F32);
    let heads = Heads { batch: 1031, context: 64, heads: 64, kv_heads: 64, head_dim: 4, mask: Mask::Causal };
    check(heads, 64, Direction::Backward, DType::F16);
}
