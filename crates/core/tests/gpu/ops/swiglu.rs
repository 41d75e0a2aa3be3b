use inkling_core::ops::swiglu::{Swiglu, SwigluBackward};
use inkling_core::program::{DType, Pass, Program, Training};

use crate::{Case, F16, F32, noise};

/// Gates from where the sigmoid is 0 to where it is 1, ups around 0; float16 numbers, which both engines hold alike.
fn gates_and_ups(rows: usize, width: usize) -> Vec<f32> {
    let mut pre = noise(rows * 2 * width, 4);
    pre.chunks_exact_mut(2 * width).for_each(|row| row[..width].iter_mut().for_each(|gate| *gate *= 8.0));
    pre.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
    pre
}

fn check(rows: usize, width: usize, dtype: DType) {
    let tolerance = if dtype == DType::F16 { F16 } else { F32 };
    let program = || Program::new(vec![], Training::No);
    let mut p = program();
    let pre = p.tensor_of(dtype, "pre", &[rows, 2 * width]);
    let hidden = p.tensor_of(dtype, "hidden", &[rows, width]);
    p.push(Pass::Forward, Swiglu { pre, hidden, width });
    Case::new(format!("swiglu {rows} x {width} {dtype:?}"), p)
        .input(pre, gates_and_ups(rows, width))
        .output(hidden)
        .tolerance(tolerance)
        .check();

    let mut p = program();
    let pre = p.tensor_of(dtype, "pre", &[rows, 2 * width]);
    let dhidden = p.tensor_of(dtype, "dhidden", &[rows, width]);
    let dpre = p.tensor_of(dtype, "dpre", &[rows, 2 * width]);
    p.push(Pass::Forward, SwigluBackward { dhidden, pre, dpre, width });
    Case::new(format!("swiglu backward {rows} x {width} {dtype:?}"), p)
        .noise(dhidden)
        .input(pre, gates_and_ups(rows, width))
        .output(dpre)
        .tolerance(tolerance)
        .check();
}

#[test]
fn swiglu() {
    for width in [1, 2, 3, 4, 17, 255, 256, 257, 1028] {
        for rows in [1, 2, 7] {
            check(rows, width, DType::F32);
            check(rows, width, DType::F16);
        }
    }
    // More than 65,535 rows.
    check(65_537, 3, DType::F32);
    check(65_537, 4, DType::F16);
}

#[test]
fn swiglu_of_many_workgroups() {
    // More than 65,535 of them.
    check(65_537, 257, DType::F16);
}
