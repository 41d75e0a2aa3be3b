use inkling_core::ops::cross_entropy::{CrossEntropy, CrossEntropyBackward, MeanLoss};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::step::Step;

use crate::{Case, F16, F32, ids, noise};

/// Random targets, among them the first and the last token.
pub fn targets(rows: usize, vocab: usize) -> Vec<u32> {
    let mut ids = ids(rows, vocab as u32, 2);
    ids[0] = 0;
    ids[rows - 1] = vocab as u32 - 1;
    ids
}

/// Logits as they are after some training: a few nats apart, far from zero.
fn logits(len: usize) -> Vec<f32> {
    noise(len, 7).into_iter().map(|x| 3.0 * x - 8.0).collect()
}

fn check(rows: usize, vocab: usize, scaled: bool, dtype: DType) {
    let mut p = Program::new(vec![], Training::No);
    let given = p.tensor("logits", &[rows, vocab]);
    let ids = p.tensor("targets", &[rows]);
    let [losses, lse] = ["losses", "lse"].map(|name| p.tensor(name, &[rows]));
    let loss = p.tensor("loss", &[1]);
    let dlogits = p.tensor_of(dtype, "dlogits", &[rows, vocab]);
    let scale = p.tensor("grad_scale", &[3]);
    let grad_scale = scaled.then_some(scale);
    p.push(Pass::Forward, CrossEntropy { logits: given, targets: ids, losses, lse, vocab });
    p.push(Pass::Forward, MeanLoss { losses, loss });
    let backward = CrossEntropyBackward { logits: given, targets: ids, lse, dlogits, grad_scale, vocab, batch: rows };
    p.push(Pass::Forward, backward);
    let step = Step { loss_scale: 0.25, ..Step::default() };
    let case = Case::new(format!("cross-entropy {rows} x {vocab} scaled {scaled} {dtype:?}"), p)
        .input(given, logits(rows * vocab))
        .ids(ids, targets(rows, vocab))
        .input(scale, vec![4096.0, f32::NAN, f32::NAN])
        .step(step);
    match dtype {
        // Gradients that are not scaled are too small for float16.
        DType::F16 => case.output(dlogits).tolerance(F16).check(),
        DType::F32 => case.output(losses).output(lse).output(loss).output(dlogits).tolerance(F32).check(),
    }
}

#[test]
fn cross_entropy() {
    for (rows, vocab) in [(1, 1), (2, 2), (31, 7), (33, 65), (300, 63), (5, 129), (3, 1025), (2, 50_257)] {
        check(rows, vocab, false, DType::F32);
        check(rows, vocab, true, DType::F32);
        check(rows, vocab, true, DType::F16);
    }
    // More than 65,535 workgroups.
    check(2_097_200, 2, false, DType::F32);
}

#[test]
fn cross_entropy_of_extreme_logits() {
    let mut p = Program::new(vec![], Training::No);
    let (rows, vocab) = (3, 70);
    let logits = p.tensor("logits", &[rows, vocab]);
    let targets = p.tensor("targets", &[rows]);
    let [losses, lse] = ["losses", "lse"].map(|name| p.tensor(name, &[rows]));
    let dlogits = p.tensor("dlogits", &[rows, vocab]);
    p.push(Pass::Forward, CrossEntropy { logits, targets, losses, lse, vocab });
    let grad_scale = None;
    p.push(Pass::Forward, CrossEntropyBackward { logits, targets, lse, dlogits, grad_scale, vocab, batch: rows });
    // Certain of the target, certain of another token, and all alike.
    let values = (0..rows * vocab).map(|i| match i {
        69 | 70 => 3e4,
        140.. => -3e4,
        _ => -100.0,
    });
    Case::new("cross-entropy of extreme logits", p)
        .input(logits, values.collect())
        .ids(targets, vec![69, 69, 0])
        .output(losses)
        .output(lse)
        .output(dlogits)
        .check();
}

#[test]
fn cross_entropy_of_some_rows_of_a_batch() {
    let mut p = Program::new(vec![], Training::No);
    let (rows, vocab) = (300, 33);
    let [held, dheld] = ["logits", "dlogits"].map(|name| p.tensor(name, &[128, vocab]));
    let [all_targets, all_losses, all_lse] = ["targets", "losses", "lse"].map(|name| p.tensor(name, &[rows]));
    let loss = p.tensor("loss", &[1]);
    for first in (0..rows).step_by(128) {
        let count = (rows - first).min(128);
        let [logits, dlogits] = [held, dheld].map(|t| p.rows(t, 0, count));
        let [targets, losses, lse] = [all_targets, all_losses, all_lse].map(|t| p.rows(t, first, count));
        p.push(Pass::Forward, CrossEntropy { logits, targets, losses, lse, vocab });
        let grad_scale = None;
        p.push(Pass::Forward, CrossEntropyBackward { logits, targets, lse, dlogits, grad_scale, vocab, batch: rows });
    }
    p.push(Pass::Forward, MeanLoss { losses: all_losses, loss });
    Case::new("cross-entropy in chunks", p)
        .noise(held)
        .ids(all_targets, targets(rows, vocab))
        .output(all_losses)
        .output(all_lse)
        .output(dheld)
        .output(loss)
        .check();
}

#[test]
fn mean_loss() {
    // Around a strip of the kernel (16 x 256 x 4) and its parts.
    for rows in [1, 2, 3, 5, 1023, 1025, 4097, 16_383, 16_389, 1_000_001] {
        let mut p = Program::new(vec![], Training::No);
        let losses = p.tensor("losses", &[rows]);
        let loss = p.tensor("loss", &[1]);
        p.push(Pass::Forward, MeanLoss { losses, loss });
        let values = noise(rows, 1).into_iter().map(|x| 4.17 + 0.1 * x).collect();
        Case::new(format!("mean of {rows} losses"), p).input(losses, values).output(loss).check();
    }
}
