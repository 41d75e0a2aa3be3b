//! Frozen matrices with their adapters.

use inkling_core::lora::BaseFormat;
use inkling_core::ops::lora::{EffectiveWeight, Scale, Words};
use inkling_core::program::{LowRank, PackedMatrix, Parameter, Pass, Program, Stored, Training};

use crate::{Case, noise};

fn check(rows: usize, inputs: usize, rank: usize, format: BaseFormat) {
    let mut p = Program::new(vec![], Training::No);
    let weights = noise(rows * inputs, 3);
    let words = Words::pack(format, inputs, &weights);
    let codes = p.tensor("codes", &[words.codes.len()]);
    let mut ids = vec![(codes, words.codes)];
    let stored = match format {
        BaseFormat::F16 => Stored::Half(codes),
        BaseFormat::Q4 => {
            let scales = p.tensor("scales", &[words.scales.len()]);
            ids.push((scales, words.scales));
            Stored::Q4 { codes, scales }
        }
    };
    let adapter = (rank > 0).then(|| {
        let (a, b) = (p.tensor("a", &[rank, inputs]), p.tensor("b", &[rows, rank]));
        let [a, b] = [a, b].map(|value| Parameter { value, grad: None, operand: value });
        LowRank { a, b, rank, scale: 0.75 }
    });
    let out = p.tensor("out", &[rows, inputs]);
    p.push(Pass::Forward, EffectiveWeight { matrix: PackedMatrix { stored, adapter, rows, inputs }, out });
    let mut case = Case::new(format!("{rows} x {inputs}, rank {rank}, {format:?}"), p);
    for (tensor, words) in ids {
        case = case.ids(tensor, words);
    }
    if let Some(LowRank { a, b, .. }) = adapter {
        case = case.noise(a.value).noise(b.value);
    }
    case.output(out).check();
}

#[test]
fn effective_weights_are_the_cpus() {
    for format in [BaseFormat::F16, BaseFormat::Q4] {
        for (rows, inputs, rank) in
            [(1, 1, 1), (3, 7, 2), (5, 31, 0), (4, 32, 1), (7, 33, 3), (17, 16, 16), (65, 64, 8), (33, 259, 4)]
        {
            check(rows, inputs, rank, format);
        }
        // More workgroups than a grid has in one dimension.
        check(66_000, 255, 0, format);
        check(66_000, 255, 1, format);
    }
}

#[test]
fn scaling() {
    for len in [1, 255, 257, 10_001] {
        let mut p = Program::new(vec![], Training::No);
        let x = p.tensor("x", &[len]);
        p.push(Pass::Forward, Scale { x, factor: -1.7 });
        Case::new(format!("{len}"), p).noise(x).output(x).check();
    }
}
