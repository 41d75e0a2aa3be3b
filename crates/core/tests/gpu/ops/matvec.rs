use inkling_core::Engine;
use inkling_core::cpu::Pool;
use inkling_core::ops::activation::Pointwise;
use inkling_core::ops::dropout::DropoutSite;
use inkling_core::ops::linear::Epilogue;
use inkling_core::ops::matvec::{Matvec, StoredWeight};
use inkling_core::ops::quantize::{Format, Quantize, ToHalf};
use inkling_core::program::{Pass, Precision, Program, Tensor, Training};
use inkling_core::rng::Site;
use inkling_core::step::Step;

use crate::{Case, Tolerance, device, noise, wait};

/// As in `linear.rs`.
fn sums_of(depth: usize) -> Tolerance {
    Tolerance { relative: 2e-6, of_rms: 5e-7 + 6.0 * 3e-8 * (depth as f32).sqrt() }
}

/// Codes and scales of a weight, made by the pass itself.
fn quantized(p: &mut Program, format: Format, weight: Tensor) -> StoredWeight {
    let (rows, inputs) = p.matrix(weight);
    let codes = p.tensor("codes", &[rows, format.row_bytes(inputs) / 4]);
    let scales = p.tensor("scales", &[rows, format.row_scales(inputs)]);
    p.push(Pass::Forward, Quantize { format, weight, codes, scales, rows, inputs });
    StoredWeight::Quantized { format, codes, scales }
}

/// A layer of `n` outputs on one token of `k` channels; what it reads instead of a float32 weight is made by the pass itself.
fn check(n: usize, k: usize, precision: Precision, bias: bool, epilogue: impl Fn(&mut Program) -> Epilogue) {
    let mut p = Program::new(vec![], Training::No);
    let (x, weight, y) = (p.tensor("x", &[1, k]), p.tensor("weight", &[n, k]), p.tensor("y", &[1, n]));
    let bias = bias.then(|| p.tensor("bias", &[n]));
    let epilogue = epilogue(&mut p);
    let stored = match precision {
        Precision::Full => StoredWeight::Full(weight),
        Precision::Half => {
            let half = p.tensor("half", &[(n * k).div_ceil(2)]);
            p.push(Pass::Forward, ToHalf { weight, half });
            StoredWeight::Half(half)
        }
        Precision::Q8 => quantized(&mut p, Format::Q8, weight),
        Precision::Q4 => quantized(&mut p, Format::Q4, weight),
    };
    p.push(Pass::Forward, Matvec { x, weight: stored, bias, y, epilogue, weights: n * k });
    let mut case = Case::new(format!("matvec {n} x {k} {precision:?} {epilogue:?}"), p).noise(x).noise(weight);
    if let Some(bias) = bias {
        case = case.noise(bias);
    }
    if let Epilogue::Residual { residual, .. } = epilogue {
        case = case.noise(residual);
    }
    case.output(y).tolerance(sums_of(k)).check();
}

#[test]
fn sizes_around_lanes_and_rows() {
    for precision in Precision::ALL {
        for (n, k) in [(1, 1), (3, 7), (4, 4), (5, 33), (65, 64), (31, 132), (9, 257), (130, 1028)] {
            check(n, k, precision, false, |_| Epilogue::None);
        }
    }
}

#[test]
fn biases_activations_and_residuals() {
    for precision in Precision::ALL {
        check(66, 36, precision, true, |_| Epilogue::None);
        for kind in [Pointwise::Relu, Pointwise::Gelu, Pointwise::GeluNew] {
            check(66, 36, precision, true, |_| Epilogue::Activation { kind, slope: None });
        }
        check(67, 36, precision, true, |p| {
            let residual = p.tensor("residual", &[1, 67]);
            Epilogue::Residual { residual, dropout: DropoutSite { p: 0.2, site: Site::block_dropout(0, 1), first: 0 } }
        });
    }
}

#[test]
fn more_outputs_than_a_grid_has_workgroups() {
    // Rows of one quad: 8 lanes, 32 rows to a workgroup.
    check(65_537 * 32 + 1, 1, Precision::Full, false, |_| Epilogue::None);
    for precision in [Precision::Half, Precision::Q8, Precision::Q4] {
        check(50_257, 9, precision, true, |_| Epilogue::None);
    }
    // A workgroup makes the codes of a row, or of 64 blocks.
    check(65_537, 1, Precision::Q8, false, |_| Epilogue::None);
    check(65_537, 160, Precision::Q4, false, |_| Epilogue::None);
}

/// Converts on one engine and returns the words.
fn words(mut engine: Engine, weight: Tensor, half: Tensor, values: &[f32]) -> Vec<u32> {
    engine.write(weight, values);
    engine.replay(Pass::Forward, &Step::default());
    wait(engine.read_ids(half)).unwrap()
}

#[test]
fn float16_is_rounded_bit_for_bit_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let mut values = noise(20_001, 3);
    // Every float16 and its neighbours, halfway points among them, in float32; subnormals, infinities, NaN and what overflows.
    for half in 0..=u16::MAX {
        let exact = half::f16::from_bits(half).to_f32().to_bits();
        let upper = exact.wrapping_add(1 << 12);
        values.extend([exact, upper.wrapping_sub(1), upper, upper.wrapping_add(1)].map(f32::from_bits));
    }
    // Halfway between subnormals of float16, and far below them.
    for i in 0..2048 {
        let middle = (i as f32 + 0.5) / (1 << 24) as f32;
        values.extend([middle, -middle, middle * (1.0 + f32::EPSILON), middle * (1.0 - f32::EPSILON)]);
    }
    values.extend([65_504.0, 65_519.0, 65_520.0, -1e30, f32::MAX, 1e-20, -1e-20, f32::MIN_POSITIVE, -0.0, 1.0]);
    let record = || {
        let mut p = Program::new(vec![], Training::No);
        let weight = p.tensor("weight", &[values.len()]);
        let half = p.tensor("half", &[values.len().div_ceil(2)]);
        p.push(Pass::Forward, ToHalf { weight, half });
        (p, weight, half)
    };
    let (p, weight, half) = record();
    let expected = words(Engine::cpu(p, Pool::new(1)), weight, half, &values);
    let (p, weight, half) = record();
    let found = words(wait(Engine::gpu(p, &device)).unwrap(), weight, half, &values);
    for (i, (e, f)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(e, f, "of {:?}: CPU {e:#x}, GPU {f:#x}", &values[2 * i..values.len().min(2 * i + 2)]);
    }
}

/// Weights of many sizes, in rows of `k`: ordinary ones, rows and blocks of one size each, all kinds of bits, extremes of both signs, middles
/// between codes, and what no code can stand for.
fn hard_weights(k: usize) -> Vec<f32> {
    let mut values = noise(40 * k, 4);
    for (row, values) in values[..30 * k].chunks_mut(k).enumerate() {
        let size = 10_f32.powi(2 * row as i32 - 30);
        values.iter_mut().for_each(|w| *w *= size);
    }
    let any = (0..20 * k as u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9) ^ i << 7));
    values.extend(any.map(|w| if w.is_finite() { w } else { 1.0 }));
    // Middles between codes, and their neighbours, where the largest weight makes the scale 1, -1, or less than a middle.
    for largest in [127.0_f32, -127.0, 8.0, -8.0, 7.9, -7.9, 126.9, 3.0] {
        let middles = (0..k as u32).map(|i| {
            let middle = i as f32 % 8.0 - 3.5;
            f32::from_bits(middle.to_bits() + i / 8 % 3 - 1)
        });
        values.extend(middles);
        for block in values[..].rchunks_mut(k).next().unwrap().chunks_mut(32) {
            block[0] = largest;
        }
    }
    for (at, bad) in
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e-45, -1e-45, 1e37].into_iter().enumerate()
    {
        let mut row = if at < 4 { noise(k, 5) } else { vec![0.0; k] };
        row[k / 2] = bad;
        values.extend(row);
    }
    values
}

#[test]
fn codes_and_scales_are_the_cpus_bit_for_bit() {
    let Some(device) = device() else { return };
    for format in [Format::Q8, Format::Q4] {
        for k in [1, 31, 32, 33, 70, 128, 259] {
            let values = hard_weights(k);
            let record = || {
                let mut p = Program::new(vec![], Training::No);
                let weight = p.tensor("weight", &[values.len() / k, k]);
                let StoredWeight::Quantized { codes, scales, .. } = quantized(&mut p, format, weight) else {
                    unreachable!()
                };
                (p, [weight, codes, scales])
            };
            let run = |mut engine: Engine, [weight, codes, scales]: [Tensor; 3]| {
                engine.write(weight, &values);
                engine.replay(Pass::Forward, &Step::default());
                [codes, scales, weight].map(|tensor| wait(engine.read_ids(tensor)).unwrap())
            };
            let (p, tensors) = record();
            let expected = run(Engine::cpu(p, Pool::new(1)), tensors);
            let (p, tensors) = record();
            let found = run(wait(Engine::gpu(p, &device)).unwrap(), tensors);
            for (what, (expected, found)) in ["codes", "scales", "weights"].iter().zip(expected.iter().zip(&found)) {
                let first = expected.iter().zip(found).position(|(e, f)| e != f);
                let pair = first.map(|at| (at, format!("CPU {:#x}, GPU {:#x}", expected[at], found[at])));
                assert_eq!(pair, None, "{format:?}, rows of {k}: {what}");
            }
        }
    }
}
