use inkling_core::cpu::gemm::Beta;
use inkling_core::ops::layernorm::{LayerNorm, LayerNormBackward};
use inkling_core::ops::norm::ROWS_PER_PARTIAL;
use inkling_core::program::{DType, Pass, Program, Training};

use crate::{Case, F16, F32, noise};

/// Rows whose mean is far from zero beside their deviation, where a variance in one pass would lose digits.
fn shifted(rows: usize, channels: usize) -> Vec<f32> {
    let mut x = noise(rows * channels, 9);
    x.iter_mut().enumerate().for_each(|(i, x)| *x += 5.0 + (i / channels % 7) as f32);
    x
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bias {
    Present,
    Absent,
}

fn forward(rows: usize, channels: usize, bias: Bias, dtype: DType) {
    let mut p = Program::new(vec![], Training::No);
    let x = p.tensor("x", &[rows, channels]);
    let weight = p.tensor("weight", &[channels]);
    let name = format!("layernorm {rows} x {channels}, bias {bias:?}, {dtype:?}");
    let bias = (bias == Bias::Present).then(|| p.tensor("bias", &[channels]));
    let y = p.tensor_of(dtype, "y", &[rows, channels]);
    let stats = p.tensor("stats", &[rows, 2]);
    p.push(Pass::Forward, LayerNorm { x, weight, bias, y, stats, epsilon: 1e-5 });
    let case = Case::new(name, p);
    let case = match bias {
        Some(bias) => case.input(x, shifted(rows, channels)).noise(weight).noise(bias),
        // The rounding error of a mean far from zero is small beside sums with a bias, but not without.
        None => case.noise(x).noise(weight),
    };
    case.output(y).output(stats).tolerance(if dtype == DType::F16 { F16 } else { F32 }).check();
}

#[test]
fn layernorm() {
    for (rows, channels) in [(1, 1), (3, 2), (17, 7), (63, 64), (65, 129), (5, 384), (2, 1023), (3, 4096), (1, 5000)] {
        for bias in [Bias::Present, Bias::Absent] {
            forward(rows, channels, bias, DType::F32);
            forward(rows, channels, bias, DType::F16);
        }
    }
    // More than 65,535 workgroups.
    forward(1_048_577, 2, Bias::Present, DType::F32);
}

/// Mean and rstd of each row.
fn stats(x: &[f32], channels: usize) -> Vec<f32> {
    let row = |x: &[f32]| {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / channels as f64;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / channels as f64;
        [mean as f32, (1.0 / (variance + 1e-5).sqrt()) as f32]
    };
    x.chunks(channels).flat_map(row).collect()
}

/// Which gradients are asked for besides `dx`.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    All,
    /// The gain's, of a norm without a bias.
    GainWithoutBias,
    /// The bias's: the gain is frozen.
    Bias,
    None,
}

fn backward(rows: usize, channels: usize, beta: Beta, dtype: DType, wanted: Wanted) {
    let mut p = Program::new(vec![], Training::No);
    let dy = p.tensor_of(dtype, "dy", &[rows, channels]);
    let x = p.tensor("x", &[rows, channels]);
    let given = p.tensor("stats", &[rows, 2]);
    let [weight, gain, bias] = ["weight", "dweight", "dbias"].map(|name| p.tensor(name, &[channels]));
    let (dweight, dbias) = match wanted {
        Wanted::All => (Some(gain), Some(bias)),
        Wanted::GainWithoutBias => (Some(gain), None),
        Wanted::Bias => (None, Some(bias)),
        Wanted::None => (None, None),
    };
    let dx = p.tensor("dx", &[rows, channels]);
    let sums = if matches!(wanted, Wanted::GainWithoutBias) { 1 } else { 2 };
    let partials = p.tensor("partials", &[rows.div_ceil(ROWS_PER_PARTIAL), sums, channels]);
    p.push(Pass::Forward, LayerNormBackward { dy, x, stats: given, weight, dx, beta, dweight, dbias, partials });
    let values = shifted(rows, channels);
    let mut case = Case::new(format!("layernorm backward {rows} x {channels} {beta:?} {dtype:?} {wanted:?}"), p)
        .noise(dy)
        .input(given, stats(&values, channels))
        .input(x, values)
        .noise(weight)
        .noise(gain)
        .noise(bias);
    if beta == Beta::Accumulate {
        case = case.noise(dx);
    }
    case = case.output(dx);
    if matches!(wanted, Wanted::All | Wanted::GainWithoutBias) {
        case = case.output(partials);
    }
    // The CPU adds partial sums one after the other, each time with a rounding error of what is there by then.
    if rows < 1 << 17 {
        // Of what is not wanted nothing changes.
        case = case.output(gain).output(bias);
    }
    case.check();
}

#[test]
fn layernorm_backward() {
    for (rows, channels) in [(1, 1), (3, 2), (64, 63), (65, 64), (63, 65), (130, 17), (200, 384), (3, 4096), (2, 5000)]
    {
        for beta in [Beta::Assign, Beta::Accumulate] {
            backward(rows, channels, beta, DType::F32, Wanted::All);
            backward(rows, channels, beta, DType::F16, Wanted::All);
        }
        for wanted in [Wanted::GainWithoutBias, Wanted::Bias, Wanted::None] {
            backward(rows, channels, Beta::Accumulate, DType::F32, wanted);
        }
    }
    // A thousand partial sums.
    backward(65_537, 5, Beta::Accumulate, DType::F32, Wanted::All);
    // More than 65,535 workgroups.
    backward(64 * 65_537, 2, Beta::Assign, DType::F32, Wanted::All);
}
