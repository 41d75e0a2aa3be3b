use inkling_core::ops::adamw::{AdamW, Constants, Ema, RoundMatrices};
use inkling_core::program::{DType, Pass, Program, Tensor, Training};
use inkling_core::step::Step;

use crate::{Case, F16, F32, noise};

/// Arenas are padded to 128 elements; a workgroup's share is 1,024.
const LENGTHS: [usize; 5] = [128, 1024, 1152, 3 * 1024 - 128, 1 << 20];

const CONSTANTS: Constants = Constants { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };

/// Gradient norm and clip factor of an update that is clipped, of one that is not, and of one that is left out.
const CLIPPED: [f32; 2] = [3.0, 0.333];
const WHOLE: [f32; 2] = [0.1, 1.0];
const LEFT_OUT: [f32; 2] = [f32::INFINITY, 0.0];

/// A program with the given tensors of an arena, and `stats`.
fn arena<const N: usize>(len: usize, names: [&str; N]) -> (Program, [Tensor; N], Tensor) {
    let mut p = Program::new(vec![], Training::No);
    let tensors = names.map(|name| p.tensor(name, &[len]));
    let stats = p.tensor("stats", &[2]);
    (p, tensors, stats)
}

/// AdamW on an arena of noise, but for gradients where they are given.
fn update(len: usize, given: [f32; 2], gradients: Option<Vec<f32>>, half: bool) -> Case {
    let (mut p, [value, grad, m, v], stats) = arena(len, ["value", "grad", "m", "v"]);
    let half = half.then(|| p.tensor_of(DType::F16, "half", &[len]));
    p.push(Pass::Forward, AdamW { value, grad, m, v, stats, half, constants: CONSTANTS });
    let step = Step { learning_rate: 3e-3, bias_correction1: 0.271, bias_correction2: 0.142_625, ..Step::default() };
    let case = Case::new(format!("adamw of {len}, stats {given:?}"), p).step(step);
    let squares = noise(len, 9).iter().map(|x| x * x).collect();
    let case = case.noise(value).noise(m).input(v, squares).input(stats, given.to_vec());
    let case = match gradients {
        Some(gradients) => case.input(grad, gradients),
        None => case.noise(grad),
    };
    match half {
        // Given, so that an update which is left out is seen to leave it alone.
        Some(half) => case.noise(half).output(half).tolerance(F16),
        None => [value, grad, m, v].into_iter().fold(case, Case::output).tolerance(F32),
    }
}

#[test]
fn adamw_updates_every_element() {
    for len in LENGTHS {
        update(len, CLIPPED, None, false).check();
    }
    update(1152, WHOLE, None, false).check();
}

#[test]
fn adamw_takes_gradients_of_any_size() {
    // Float32's smallest squares vanish on both engines: 1e-30 is as good as 0.
    let sizes = [0.0, 1e-30, 1e-12, 1e-6, 1.0, 1e6, 1e15];
    let gradients = noise(128, 1).iter().zip(sizes.iter().cycle()).map(|(x, size)| x * size).collect();
    update(128, WHOLE, Some(gradients), false).check();
}

#[test]
fn adamw_leaves_out_what_is_not_finite() {
    let gradients = (0..1152).map(|i| [f32::NAN, f32::INFINITY, -f32::INFINITY, 1.0][i % 4]).collect();
    update(1152, LEFT_OUT, Some(gradients), false).check();
}

#[test]
fn adamw_writes_the_float16_copy() {
    for stats in [WHOLE, LEFT_OUT] {
        update(1152, stats, None, true).check();
    }
}

#[test]
fn the_moving_average_moves() {
    for (len, decay, given) in
        [(128, 0.9, WHOLE), (1152, 0.999, CLIPPED), (1152, 0.0, WHOLE), (1152, 0.9, LEFT_OUT), (1 << 20, 0.99, WHOLE)]
    {
        let (mut p, [value, ema], stats) = arena(len, ["value", "ema"]);
        p.push(Pass::Forward, Ema { value, ema, stats, decay });
        let name = format!("moving average of {len}, decay {decay}, stats {given:?}");
        Case::new(name, p).noise(value).noise(ema).input(stats, given.to_vec()).output(ema).check();
    }
}

#[test]
fn matrices_are_rounded_to_float16() {
    for len in LENGTHS {
        let (mut p, [value], _) = arena(len, ["value"]);
        let half = p.tensor_of(DType::F16, "half", &[len]);
        p.push(Pass::Forward, RoundMatrices { value, half });
        // Some too large, some too small for float16.
        let values = noise(len, 1).iter().enumerate().map(|(i, x)| x * [1.0, 1e-9, 1e6][i % 3]).collect();
        Case::new(format!("{len} to float16"), p).input(value, values).output(half).tolerance(F16).check();
    }
}
