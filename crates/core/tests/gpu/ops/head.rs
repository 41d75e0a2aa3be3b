use inkling_core::ops::cross_entropy::{CrossEntropy, CrossEntropyBackward};
use inkling_core::ops::head::{Head, HeadBackward, max_vocab};
use inkling_core::ops::linear::{Epilogue, Linear, Sizes};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::step::Step;

use super::cross_entropy::targets;
use crate::{Case, F16, F32, noise};

struct Variant {
    bias: bool,
    backward: bool,
    scaled: bool,
    dtype: DType,
}

fn check(rows: usize, vocab: usize, channels: usize, variant: Variant) {
    let Variant { bias, backward, scaled, dtype } = variant;
    let mut p = Program::new(vec![], Training::No);
    let x = p.tensor_of(dtype, "x", &[rows, channels]);
    let weight = p.tensor_of(dtype, "weight", &[vocab, channels]);
    let given_bias = p.tensor("bias", &[vocab]);
    let logits = p.tensor("logits", &[rows, vocab]);
    let ids = p.tensor("targets", &[rows]);
    let [losses, lse] = ["losses", "lse"].map(|name| p.tensor(name, &[rows]));
    let dlogits = p.tensor_of(dtype, "dlogits", &[rows, vocab]);
    let scale = p.tensor("grad_scale", &[1]);
    let sizes = Sizes { rows, outputs: vocab, inputs: channels };
    let linear = Linear { x, weight, bias: bias.then_some(given_bias), y: logits, epilogue: Epilogue::None, sizes };
    let cross_entropy = CrossEntropy { logits, targets: ids, losses, lse, vocab };
    let grad_scale = scaled.then_some(scale);
    let gradient = CrossEntropyBackward { logits, targets: ids, lse, dlogits, grad_scale, vocab, batch: rows };
    p.push(Pass::Forward, Head { linear, cross_entropy, backward: backward.then_some(gradient) });
    if backward {
        // On the GPU there is nothing left to do.
        p.push(Pass::Forward, HeadBackward(gradient));
    }
    // Weights as they are initialized, so that logits are of order one, as those of a model are.
    let small = |x: f32| x / (channels as f32).sqrt();
    let stored = |x: f32| if dtype == DType::F16 { half::f16::from_f32(x).to_f32() } else { x };
    let weights = noise(vocab * channels, 5).into_iter().map(small).map(stored).collect();
    let name = format!("head {rows} x {vocab} x {channels} bias {bias} backward {backward} scaled {scaled} {dtype:?}");
    let mut case = Case::new(name, p)
        .noise(x)
        .input(weight, weights)
        .noise(given_bias)
        .ids(ids, targets(rows, vocab))
        .input(scale, vec![1024.0])
        .step(Step { loss_scale: 0.5, ..Step::default() });
    case = match dtype {
        DType::F32 => case.output(logits).output(losses).tolerance(F32),
        DType::F16 => case.tolerance(F16),
    };
    if backward { case.output(dlogits).check() } else { case.check() }
}

#[test]
fn head() {
    let max = max_vocab();
    for (rows, vocab, channels) in
        [(1, 1, 1), (2, 2, 3), (31, 65, 15), (33, 65, 17), (32, 16, 128), (70, max - 1, 33), (64, max, 384)]
    {
        for bias in [true, false] {
            check(rows, vocab, channels, Variant { bias, backward: true, scaled: false, dtype: DType::F32 });
            check(rows, vocab, channels, Variant { bias, backward: false, scaled: false, dtype: DType::F32 });
        }
        check(rows, vocab, channels, Variant { bias: true, backward: true, scaled: true, dtype: DType::F32 });
        check(rows, vocab, channels, Variant { bias: true, backward: true, scaled: true, dtype: DType::F16 });
    }
}
