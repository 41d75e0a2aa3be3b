use inkling_core::cpu::gemm::Beta;
use inkling_core::ops::norm::ROWS_PER_PARTIAL;
use inkling_core::ops::rmsnorm::{RmsNorm, RmsNormBackward};
use inkling_core::program::{DType, Pass, Program, Training};

use crate::{Case, F16, F32, noise};

/// Rows and channels around the sizes of vectors, workgroups and blocks.
const SIZES: [(usize, usize); 10] =
    [(1, 1), (63, 1), (65, 3), (64, 63), (1, 64), (63, 65), (65, 129), (130, 17), (64, 1000), (2, 5000)];

fn forward(name: &str, x: Vec<f32>, channels: usize, epsilon: f32, dtype: DType) {
    let rows = x.len() / channels;
    let mut p = Program::new(vec![], Training::No);
    let input = p.tensor("x", &[rows, channels]);
    let weight = p.tensor("weight", &[channels]);
    let y = p.tensor_of(dtype, "y", &[rows, channels]);
    let stats = p.tensor("stats", &[rows]);
    p.push(Pass::Forward, RmsNorm { x: input, weight, y, stats, epsilon });
    Case::new(format!("rmsnorm of {name}, {rows} x {channels}, {dtype:?}"), p)
        .input(input, x)
        .noise(weight)
        .output(y)
        .output(stats)
        .tolerance(if dtype == DType::F16 { F16 } else { F32 })
        .check();
}

#[test]
fn rmsnorm() {
    for (rows, channels) in SIZES {
        for dtype in [DType::F32, DType::F16] {
            forward("noise", noise(rows * channels, 9), channels, 1e-5, dtype);
        }
    }
    // More than 65,535 workgroups.
    forward("noise", noise(2 * 1_048_577, 9), 2, 1e-5, DType::F32);
}

#[test]
fn rmsnorm_of_the_largest_and_smallest_rows() {
    for (rows, channels) in [(3, 5), (2, 1000)] {
        let times = |factor: f32| noise(rows * channels, 9).into_iter().map(|x| factor * x).collect::<Vec<_>>();
        forward("zeros", times(0.0), channels, 1e-6, DType::F32);
        forward("huge values", times(1e15), channels, 1e-6, DType::F32);
        forward("values whose squares are beside nothing", times(1e-12), channels, 1e-6, DType::F32);
        forward("zeros, tiny ε", times(0.0), channels, 1e-30, DType::F32);
        forward("noise, tiny ε", times(1.0), channels, 1e-30, DType::F32);
        forward("small values, tiny ε", times(1e-12), channels, 1e-30, DType::F32);
    }
}

/// rstd of each row.
fn stats(x: &[f32], channels: usize) -> Vec<f32> {
    let row = |x: &[f32]| {
        let squares = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        (1.0 / (squares / channels as f64 + 1e-5).sqrt()) as f32
    };
    x.chunks(channels).map(row).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gain {
    Trained,
    Frozen,
}

fn backward(x: Vec<f32>, channels: usize, beta: Beta, dtype: DType, gain: Gain) {
    let rows = x.len() / channels;
    let mut p = Program::new(vec![], Training::No);
    let dy = p.tensor_of(dtype, "dy", &[rows, channels]);
    let input = p.tensor("x", &[rows, channels]);
    let given = p.tensor("stats", &[rows]);
    let [weight, dweight] = ["weight", "dweight"].map(|name| p.tensor(name, &[channels]));
    let dx = p.tensor("dx", &[rows, channels]);
    let partials = p.tensor("partials", &[rows.div_ceil(ROWS_PER_PARTIAL), 1, channels]);
    let wanted = (gain == Gain::Trained).then_some(dweight);
    p.push(Pass::Forward, RmsNormBackward { dy, x: input, stats: given, weight, dx, beta, dweight: wanted, partials });
    let mut case = Case::new(format!("rmsnorm backward {rows} x {channels} {beta:?} {dtype:?} {gain:?}"), p)
        .noise(dy)
        .input(given, stats(&x, channels))
        .input(input, x)
        .noise(weight)
        .noise(dweight);
    if beta == Beta::Accumulate {
        case = case.noise(dx);
    }
    if gain == Gain::Trained {
        case = case.output(partials);
    }
    case.output(dx).output(dweight).check();
}

#[test]
fn rmsnorm_backward() {
    for (rows, channels) in SIZES {
        let x = noise(rows * channels, 9);
        for beta in [Beta::Assign, Beta::Accumulate] {
            for dtype in [DType::F32, DType::F16] {
                backward(x.clone(), channels, beta, dtype, Gain::Trained);
            }
        }
        backward(x, channels, Beta::Accumulate, DType::F32, Gain::Frozen);
    }
    backward(vec![0.0; 130], 5, Beta::Assign, DType::F32, Gain::Trained);
    // A thousand partial sums.
    backward(noise(5 * 65_537, 9), 5, Beta::Accumulate, DType::F32, Gain::Trained);
}
