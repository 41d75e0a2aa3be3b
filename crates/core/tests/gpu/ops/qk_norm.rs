use inkling_core::Engine;
use inkling_core::ops::attention::{Heads, Mask};
use inkling_core::ops::norm::ROWS_PER_PARTIAL;
use inkling_core::ops::qk_norm::{QkNorm, QkNormBackward};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::step::Step;

use crate::{Case, F16, F32, device, noise, wait};

/// NH, NKV, D.
const HEADS: [[usize; 3]; 7] = [[1, 1, 1], [4, 4, 5], [6, 2, 64], [4, 1, 63], [3, 3, 65], [2, 1, 128], [12, 4, 16]];

fn heads([heads, kv_heads, head_dim]: [usize; 3], rows: usize) -> Heads {
    Heads { batch: 1, context: rows, heads, kv_heads, head_dim, mask: Mask::Causal }
}

fn forward(rows: usize, sizes: [usize; 3], dtype: DType) {
    let heads = heads(sizes, rows);
    let mut p = Program::new(vec![], Training::No);
    let [x, y] = ["x", "y"].map(|name| p.tensor_of(dtype, name, &[rows, heads.qkv_channels()]));
    let [q_weight, k_weight] = ["q_weight", "k_weight"].map(|name| p.tensor(name, &[heads.head_dim]));
    let stats = p.tensor("stats", &[rows, heads.heads + heads.kv_heads]);
    p.push(Pass::Forward, QkNorm { x, q_weight, k_weight, y, stats, heads, epsilon: 1e-6 });
    Case::new(format!("query and key norm, {rows} rows, {heads:?}, {dtype:?}"), p)
        .noise(x)
        .noise(q_weight)
        .noise(k_weight)
        .output(y)
        .output(stats)
        .tolerance(if dtype == DType::F16 { F16 } else { F32 })
        .check();
}

#[test]
fn query_and_key_norm() {
    for rows in [1, 3, 65] {
        for sizes in HEADS {
            forward(rows, sizes, DType::F32);
            forward(rows, sizes, DType::F16);
        }
    }
    // More than 65,535 workgroups, of 16 heads each.
    forward(349_527, [1, 1, 1], DType::F32);
}

/// Which gains are trained.
#[derive(Clone, Copy, Debug)]
struct Trained {
    query: bool,
    key: bool,
}

fn backward(rows: usize, sizes: [usize; 3], dtype: DType, trained: Trained) {
    let heads = heads(sizes, rows);
    let (d, normed) = (heads.head_dim, heads.heads + heads.kv_heads);
    let mut p = Program::new(vec![], Training::No);
    let [dy, x, dx] = ["dy", "x", "dx"].map(|name| p.tensor_of(dtype, name, &[rows, heads.qkv_channels()]));
    let given = p.tensor("stats", &[rows, normed]);
    let [q_weight, k_weight, dq, dk] = ["q_weight", "k_weight", "dq", "dk"].map(|name| p.tensor(name, &[d]));
    let partials = p.tensor("partials", &[rows.div_ceil(ROWS_PER_PARTIAL), normed, d]);
    let (dq_weight, dk_weight) = (trained.query.then_some(dq), trained.key.then_some(dk));
    p.push(
        Pass::Forward,
        QkNormBackward { dy, x, stats: given, q_weight, k_weight, dx, dq_weight, dk_weight, partials, heads },
    );
    let rstd = noise(rows * normed, 5).into_iter().map(|x| 1.0 + 0.5 * x.tanh()).collect();
    let mut case = Case::new(format!("query and key norm backward, {rows} rows, {heads:?}, {dtype:?}, {trained:?}"), p)
        .noise(dy)
        .noise(x)
        .input(given, rstd)
        .noise(q_weight)
        .noise(k_weight)
        .noise(dq)
        .noise(dk)
        .output(dx)
        .tolerance(if dtype == DType::F16 { F16 } else { F32 });
    if trained.query && trained.key {
        case = case.output(partials);
    }
    // Of what is frozen nothing changes. Too many partial sums differ: the CPU adds them one after the other.
    if rows < 1 << 17 {
        case = case.output(dq).output(dk);
    }
    case.check();
}

#[test]
fn query_and_key_norm_backward() {
    let both = Trained { query: true, key: true };
    for rows in [1, 63, 64, 65, 130] {
        for sizes in HEADS {
            backward(rows, sizes, DType::F32, both);
            backward(rows, sizes, DType::F16, both);
        }
    }
    for (query, key) in [(false, false), (true, false), (false, true)] {
        backward(70, [6, 2, 17], DType::F32, Trained { query, key });
    }
    // More than 65,535 workgroups, three to 64 rows.
    backward(64 * 21_846, [1, 1, 1], DType::F32, both);
}

#[test]
fn query_and_key_norm_leaves_values_as_they_are() {
    let (rows, sizes) = (5, [4, 2, 6]);
    let heads = heads(sizes, rows);
    let mut p = Program::new(vec![], Training::No);
    let [x, y] = ["x", "y"].map(|name| p.tensor(name, &[rows, heads.qkv_channels()]));
    let [q_weight, k_weight] = ["q_weight", "k_weight"].map(|name| p.tensor(name, &[heads.head_dim]));
    let stats = p.tensor("stats", &[rows, 6]);
    p.push(Pass::Forward, QkNorm { x, q_weight, k_weight, y, stats, heads, epsilon: 1e-6 });
    let Some(device) = device() else { return };
    let mut engine = wait(Engine::gpu(p, &device)).unwrap();
    let given = noise(rows * heads.qkv_channels(), 3);
    engine.write(x, &given);
    engine.replay(Pass::Forward, &Step::default());
    let found = wait(engine.read(y)).unwrap();
    for (given, found) in given.chunks(48).zip(found.chunks(48)) {
        assert_eq!(given[36..], found[36..]);
        // Gains are zeros to begin with.
        assert_eq!(found[..36], [0.0; 36]);
    }
}
