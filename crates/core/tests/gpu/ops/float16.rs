//! What float16 cannot hold: every kernel that writes gradients or activations makes it infinite, so that the norm of the gradients sees it
//! and the scale of the loss is lowered. 65,512 is the test of that: rounded to the nearest, as most devices do by themselves, it
//! would be 65,504.

use inkling_core::Engine;
use inkling_core::ops::activation::Pointwise;
use inkling_core::ops::attention::{Attention, AttentionBackward, Heads, Mask};
use inkling_core::ops::cross_entropy::{CrossEntropy, CrossEntropyBackward};
use inkling_core::ops::dropout::{DropoutBackward, DropoutSite};
use inkling_core::ops::head::Head;
use inkling_core::ops::layernorm::LayerNorm;
use inkling_core::ops::linear::{Epilogue, Linear, LinearBackwardInput, Sizes};
use inkling_core::ops::rope::{Direction, Rope};
use inkling_core::ops::swiglu::{Swiglu, SwigluBackward};
use inkling_core::program::{DType, Op, Pass, Program, Tensor, Training};
use inkling_core::step::Step;

use crate::{device, wait};

/// Of both signs: what fits, what just does not, what is far too large, and what is not finite to begin with.
const GIVEN: [f32; 7] = [60_000.0, -65_504.0, 65_512.0, -65_512.0, 1e6, -3e38, f32::INFINITY];
const STORED: [f32; 7] =
    [60_000.0, -65_504.0, f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY];

fn program() -> Program {
    Program::new(vec![], Training::No)
}

/// Runs an op and compares one of its outputs, of float16, with what should be stored there.
fn check(mut p: Program, op: impl Op + 'static, inputs: &[(Tensor, &[f32])], output: Tensor, want: &[f32]) {
    let Some(device) = device() else { return };
    if !device.capabilities().shader_f16 {
        eprintln!("SKIPPED: the adapter does not compute in float16");
        return;
    }
    let name = op.name();
    p.push(Pass::Forward, op);
    let mut engine = wait(Engine::gpu(p, &device)).unwrap();
    inputs.iter().for_each(|(tensor, values)| engine.write(*tensor, values));
    engine.replay(Pass::Forward, &Step::default());
    let found = wait(engine.read(output)).unwrap();
    assert_eq!(found.len(), want.len(), "{name}");
    for (&found, &want) in found.iter().zip(want) {
        let rounding = if want.is_finite() { want.abs() / 1024.0 } else { 0.0 };
        assert!(found == want || (found - want).abs() <= rounding, "{name}: {found} in place of {want}");
    }
}

#[test]
fn products_are_infinite() {
    // Written by scalars, and by quads.
    for n in [7, 4] {
        let sizes = Sizes { rows: 1, outputs: n, inputs: 1 };
        let activation = Epilogue::Activation { kind: Pointwise::Relu, slope: None };
        let rectified: Vec<f32> = STORED.map(|x| x.max(0.0)).to_vec();
        for (epilogue, want) in [(Epilogue::None, STORED.to_vec()), (activation, rectified)] {
            let mut p = program();
            let (x, weight) = (p.tensor("x", &[1, 1]), p.tensor("weight", &[n, 1]));
            let y = p.tensor_of(DType::F16, "y", &[1, n]);
            let op = Linear { x, weight, bias: None, y, epilogue, sizes };
            check(p, op, &[(x, &[1.0]), (weight, &GIVEN[..n])], y, &want[..n]);
        }

        let sizes = Sizes { rows: 1, outputs: 1, inputs: n };
        let mut p = program();
        let (dy, weight) = (p.tensor("dy", &[1, 1]), p.tensor("weight", &[1, n]));
        let dx = p.tensor_of(DType::F16, "dx", &[1, n]);
        let op = LinearBackwardInput { dy, weight, dx, slope: None, sizes };
        check(p, op, &[(dy, &[1.0]), (weight, &GIVEN[..n])], dx, &STORED[..n]);
    }
}

#[test]
fn a_dropouts_gradient_is_infinite() {
    let mut p = program();
    let (dy, dx) = (p.tensor("dy", &[1, 7]), p.tensor_of(DType::F16, "dx", &[1, 7]));
    check(p, DropoutBackward { dy, dx, width: 7, dropout: DropoutSite::NONE }, &[(dy, &GIVEN)], dx, &STORED);
}

#[test]
fn a_normalised_row_is_infinite() {
    let mut p = program();
    let (x, stats) = (p.tensor("x", &[1, 2]), p.tensor("stats", &[1, 2]));
    let [weight, bias] = ["weight", "bias"].map(|name| p.tensor(name, &[2]));
    let y = p.tensor_of(DType::F16, "y", &[1, 2]);
    let op = LayerNorm { x, weight, bias: Some(bias), y, stats, epsilon: 0.0 };
    let inputs: [(_, &[f32]); 3] = [(x, &[-1.0, 1.0]), (weight, &[60_000.0, 0.0]), (bias, &[0.0, 65_512.0])];
    check(p, op, &inputs, y, &[-60_000.0, f32::INFINITY]);
}

#[test]
fn a_turned_pair_is_infinite() {
    // By scalars and by quads.
    for half in [1, 4] {
        let heads = Heads { batch: 1, context: 1, heads: 1, kv_heads: 1, head_dim: 2 * half, mask: Mask::Causal };
        // Of a = b = 60,000 and an angle of 45°: 0 and 84,853; the other way about the reverse.
        let angles = vec![std::f32::consts::FRAC_1_SQRT_2; 2 * half];
        let given = vec![60_000.0; 6 * half];
        let part = |a: f32, b: f32| [vec![a; half], vec![b; half]].concat();
        let value = vec![60_000.0; 2 * half];
        for (direction, turned) in
            [(Direction::Forward, part(0.0, f32::INFINITY)), (Direction::Backward, part(f32::INFINITY, 0.0))]
        {
            let want = [turned.clone(), turned, value.clone()].concat();
            let mut p = program();
            let qkv = p.tensor_of(DType::F16, "qkv", &[1, 6 * half]);
            let table = p.tensor("table", &[1, 2 * half]);
            check(p, Rope { qkv, table, heads, direction }, &[(qkv, &given), (table, &angles)], qkv, &want);
        }
    }
}

#[test]
fn a_gated_unit_is_infinite() {
    // By scalars and by quads. Gates of 1024 pass as they are.
    for width in [7, 4] {
        let mut p = program();
        let pre = p.tensor("pre", &[1, 2 * width]);
        let hidden = p.tensor_of(DType::F16, "hidden", &[1, width]);
        let scaled: Vec<f32> = GIVEN[..width].iter().map(|x| x / 1024.0).collect();
        let gates_and_ups = [vec![1024.0; width], scaled.clone()].concat();
        check(p, Swiglu { pre, hidden, width }, &[(pre, &gates_and_ups)], hidden, &STORED[..width]);

        // Of gate and up alike.
        let mut p = program();
        let (dhidden, pre) = (p.tensor("dhidden", &[1, width]), p.tensor("pre", &[1, 2 * width]));
        let dpre = p.tensor_of(DType::F16, "dpre", &[1, 2 * width]);
        let inputs: [(_, &[f32]); 2] = [(dhidden, &scaled), (pre, &vec![1024.0; 2 * width])];
        let want = [&STORED[..width]; 2].concat();
        check(p, SwigluBackward { dhidden, pre, dpre, width }, &inputs, dpre, &want);
    }
}

/// Two tokens, each as likely: the gradient is half of the scale.
const SCALES: [(f32, f32); 3] = [(100_000.0, 50_000.0), (131_024.0, f32::INFINITY), (1e9, f32::INFINITY)];

#[test]
fn the_gradient_of_logits_is_infinite() {
    for (scale, want) in SCALES {
        let [rows, vocab] = [1, 2];
        let mut p = program();
        let logits = p.tensor("logits", &[rows, vocab]);
        let dlogits = p.tensor_of(DType::F16, "dlogits", &[rows, vocab]);
        let [targets, losses, lse, grad_scale] =
            ["targets", "losses", "lse", "scale"].map(|name| p.tensor(name, &[rows]));
        let cross_entropy = CrossEntropy { logits, targets, losses, lse, vocab };
        let backward =
            CrossEntropyBackward { logits, targets, lse, dlogits, grad_scale: Some(grad_scale), vocab, batch: 1 };
        let given: [(_, &[f32]); 2] = [(grad_scale, &[scale]), (lse, &[std::f32::consts::LN_2])];
        // Ids and logits are zeros to begin with.
        check(p, backward, &given, dlogits, &[-want, want]);

        let mut p = program();
        let logits = p.tensor("logits", &[rows, vocab]);
        let dlogits = p.tensor_of(DType::F16, "dlogits", &[rows, vocab]);
        for name in ["targets", "losses", "lse", "scale"] {
            p.tensor(name, &[rows]);
        }
        let (x, weight) = (p.tensor("x", &[rows, 1]), p.tensor("weight", &[vocab, 1]));
        let sizes = Sizes { rows, outputs: vocab, inputs: 1 };
        let linear = Linear { x, weight, bias: None, y: logits, epilogue: Epilogue::None, sizes };
        check(p, Head { linear, cross_entropy, backward: Some(backward) }, &given, dlogits, &[-want, want]);
    }
}

#[test]
fn attention_is_infinite() {
    // One token: all attention is on itself, and what is attended to is its value.
    let heads = Heads { batch: 1, context: 1, heads: 1, kv_heads: 1, head_dim: 7, mask: Mask::Causal };
    let value: Vec<f32> = [0.0; 14].into_iter().chain(GIVEN).collect();
    let mut p = program();
    let (qkv, lse) = (p.tensor("qkv", &[1, 21]), p.tensor("lse", &[1, 1, 1]));
    let out = p.tensor_of(DType::F16, "out", &[1, 7]);
    let op = Attention { qkv, out, lse, heads, dropout: DropoutSite::NONE };
    check(p, op, &[(qkv, &value)], out, &STORED);

    let mut p = program();
    let (qkv, lse) = (p.tensor("qkv", &[1, 21]), p.tensor("lse", &[1, 1, 1]));
    let [out, dout] = ["out", "dout"].map(|name| p.tensor(name, &[1, 7]));
    let dqkv = p.tensor_of(DType::F16, "dqkv", &[1, 21]);
    let op = AttentionBackward { dout, qkv, out, lse, dqkv, heads, dropout: DropoutSite::NONE };
    // Values of 0: the weights have no gradient. An infinite one would have none that is a number.
    let given: Vec<f32> = GIVEN[..6].iter().copied().chain([1.0]).collect();
    let want: Vec<f32> = [0.0; 14].into_iter().chain(STORED[..6].iter().copied()).chain([1.0]).collect();
    check(p, op, &[(dout, &given)], dqkv, &want);
}
