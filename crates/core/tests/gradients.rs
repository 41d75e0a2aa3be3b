//! Every backward pass against central differences of its forward pass, and whole small models.
//!
//! For an op with inputs x and output y, the loss is `L = Σ r·y` with random `r`. Along a direction `v` in one input,
//!
//! ```text
//! dL/dh = (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h + O(h⁴)          must equal          ∂L/∂x · v
//! ```
//!
//! The error is relative to the size that the derivative can have, `|∂L/∂x| |v|`, which is the derivative itself in the gradient's own direction.

#[path = "common/variants.rs"]
mod variants;

use inkling_core::config::Architecture;
use inkling_core::cpu::Pool;
use inkling_core::cpu::gemm::Beta;
use inkling_core::lora::{BaseFormat, LoraConfig};
use inkling_core::nn::attention::Probs;
use inkling_core::nn::{Graph, Recording};
use inkling_core::ops::activation::Pointwise;
use inkling_core::ops::attention::{Attention, AttentionBackward, Heads, Mask};
use inkling_core::ops::cross_entropy::{CrossEntropy, CrossEntropyBackward, MeanLoss};
use inkling_core::ops::dropout::{DropoutBackward, DropoutSite};
use inkling_core::ops::embedding::{Embedding, EmbeddingBackward, Tables, sinusoids};
use inkling_core::ops::head::{Head, HeadBackward};
use inkling_core::ops::layernorm::{LayerNorm, LayerNormBackward};
use inkling_core::ops::linear::{Epilogue, Linear, LinearBackwardInput, LinearBackwardWeight, Sizes};
use inkling_core::ops::norm::ROWS_PER_PARTIAL;
use inkling_core::ops::qk_norm::{QkNorm, QkNormBackward};
use inkling_core::ops::rmsnorm::{RmsNorm, RmsNormBackward};
use inkling_core::ops::rope::{Direction, Rope, table};
use inkling_core::ops::swiglu::{Swiglu, SwigluBackward};
use inkling_core::program::{DType, Field, Pass, Program, Tensor, Training};
use inkling_core::rng::{Site, Stream};
use inkling_core::step::{Mode, Step};
use inkling_core::{Engine, ModelConfig, Weights};
use variants::variants;

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let stream = Stream::new(77, seed, Site(1000));
    (0..len as u32).map(|i| stream.normal(i)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Compares the gradient of `loss` at `x` with central differences, in the gradient's direction and in two random ones.
fn check(what: &str, x: &[f32], gradient: &[f32], h: f32, mut loss: impl FnMut(&[f32]) -> f64) {
    let size = dot(gradient, gradient).sqrt();
    assert!(size > 1e-3, "{what}: a gradient of {size} checks nothing");
    for direction in 0..3 {
        let mut v = if direction == 0 { gradient.to_vec() } else { noise(x.len(), direction) };
        let norm = dot(&v, &v).sqrt() as f32;
        v.iter_mut().for_each(|v| *v /= norm);
        let mut at = |h: f32| loss(&x.iter().zip(&v).map(|(&x, &v)| x + h * v).collect::<Vec<_>>());
        let numeric = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * f64::from(h));
        let error = (numeric - dot(gradient, &v)).abs() / size;
        assert!(error < 5e-4, "{what}, direction {direction}: {} against {numeric}", dot(gradient, &v));
    }
}

const DROPOUT: Step = Step { mode: Mode::Train, seed: 5, counter: 9, ..Step::DEFAULT };

/// One op, recorded with its inputs, their gradients, its output and the output's gradient.
struct OpCase {
    name: String,
    program: Program,
    inputs: Vec<(Tensor, Tensor)>,
    /// Given, and not checked.
    constants: Vec<(Tensor, Vec<f32>)>,
    /// Where it is not an input of the backward pass, the output's gradient is all ones.
    output: Tensor,
    doutput: Option<Tensor>,
    ids: Vec<(Tensor, Vec<u32>)>,
}

impl OpCase {
    fn check(self) {
        let Self { name, program, inputs, constants, output, doutput, ids } = self;
        let values: Vec<Vec<f32>> = inputs
            .iter()
            .enumerate()
            .map(|(i, (x, _))| noise(program.shape(*x).iter().product(), i as u32 + 10))
            .collect();
        let outputs = program.shape(output).iter().product();
        let r = if doutput.is_some() { noise(outputs, 3) } else { vec![1.0; outputs] };
        let mut engine = Engine::cpu(program, Pool::new(2));
        for (tensor, ids) in ids {
            engine.write_ids(tensor, &ids);
        }
        for (tensor, values) in constants {
            engine.write(tensor, &values);
        }
        for ((x, _), values) in inputs.iter().zip(&values) {
            engine.write(*x, values);
        }
        if let Some(doutput) = doutput {
            engine.write(doutput, &r);
        }
        engine.replay(Pass::Forward, &DROPOUT);
        engine.replay(Pass::Backward, &DROPOUT);
        let gradients: Vec<Vec<f32>> = inputs.iter().map(|(_, dx)| wait(engine.read(*dx)).unwrap()).collect();
        for (i, gradient) in gradients.iter().enumerate() {
            let x = values[i].clone();
            check(&format!("{name}, input {i}"), &x, gradient, 0.05, |x| {
                engine.write(inputs[i].0, x);
                engine.replay(Pass::Forward, &DROPOUT);
                dot(&wait(engine.read(output)).unwrap(), &r)
            });
            engine.write(inputs[i].0, &values[i]);
        }
    }
}

fn program() -> Program {
    Program::new(Vec::new(), Training::Yes)
}

fn pair(p: &mut Program, name: &str, shape: &[usize]) -> (Tensor, Tensor) {
    (p.tensor(name, shape), p.tensor(&format!("d.{name}"), shape))
}

fn site(p: f32) -> DropoutSite {
    DropoutSite { p, site: Site(99), first: 0 }
}

/// A large ε keeps the curvature of a norm of a few channels within reach of finite differences.
const EPSILON: f32 = 0.5;

/// With a bias or without; the gain trained or frozen.
fn check_layernorm(rows: usize, channels: usize, has_bias: bool, frozen: bool) {
    let mut p = program();
    let (x, dx) = pair(&mut p, "x", &[rows, channels]);
    let (weight, dweight) = pair(&mut p, "weight", &[channels]);
    let bias = has_bias.then(|| pair(&mut p, "bias", &[channels]));
    let (y, dy) = pair(&mut p, "y", &[rows, channels]);
    let stats = p.tensor("stats", &[rows, 2]);
    let partials = p.tensor("partials", &[rows.div_ceil(ROWS_PER_PARTIAL), 1 + usize::from(has_bias), channels]);
    p.push(Pass::Forward, LayerNorm { x, weight, bias: bias.map(|(b, _)| b), y, stats, epsilon: EPSILON });
    let (beta, wanted, dbias) = (Beta::Accumulate, (!frozen).then_some(dweight), bias.map(|(_, db)| db));
    let op = LayerNormBackward { dy, x, stats, weight, dx, beta, dweight: wanted, dbias, partials };
    p.push(Pass::Backward, op);
    let mut inputs = vec![(x, dx)];
    inputs.extend(wanted.map(|dweight| (weight, dweight)));
    inputs.extend(bias);
    OpCase {
        name: format!("layernorm [{rows}, {channels}], bias {has_bias}, frozen {frozen}"),
        program: p,
        inputs,
        output: y,
        doutput: Some(dy),
        constants: if frozen { vec![(weight, noise(channels, 11))] } else { Vec::new() },
        ids: Vec::new(),
    }
    .check();
}

#[test]
fn layernorm() {
    for (rows, channels) in [(1, 2), (3, 17), (130, 5), (4, 64)] {
        for has_bias in [true, false] {
            for frozen in [false, true] {
                check_layernorm(rows, channels, has_bias, frozen);
            }
        }
    }
}

#[test]
fn rmsnorm() {
    for (rows, channels) in [(1, 1), (1, 2), (3, 17), (130, 5), (4, 64)] {
        for frozen in [false, true] {
            let mut p = program();
            let (x, dx) = pair(&mut p, "x", &[rows, channels]);
            let (weight, dweight) = pair(&mut p, "weight", &[channels]);
            let (y, dy) = pair(&mut p, "y", &[rows, channels]);
            let stats = p.tensor("stats", &[rows]);
            let partials = p.tensor("partials", &[rows.div_ceil(ROWS_PER_PARTIAL), 1, channels]);
            p.push(Pass::Forward, RmsNorm { x, weight, y, stats, epsilon: EPSILON });
            let (beta, wanted) = (Beta::Accumulate, (!frozen).then_some(dweight));
            p.push(Pass::Backward, RmsNormBackward { dy, x, stats, weight, dx, beta, dweight: wanted, partials });
            let mut inputs = vec![(x, dx)];
            inputs.extend(wanted.map(|dweight| (weight, dweight)));
            OpCase {
                name: format!("rmsnorm [{rows}, {channels}], frozen {frozen}"),
                program: p,
                inputs,
                output: y,
                doutput: Some(dy),
                constants: if frozen { vec![(weight, noise(channels, 11))] } else { Vec::new() },
                ids: Vec::new(),
            }
            .check();
        }
    }
}

#[test]
fn query_and_key_norm() {
    for (rows, heads, kv_heads, head_dim) in [(1, 1, 1, 1), (3, 4, 2, 5), (130, 2, 1, 3), (2, 3, 3, 64)] {
        for [q_frozen, k_frozen] in [[false, false], [true, false], [false, true], [true, true]] {
            let mut p = program();
            let heads = Heads { batch: 1, context: rows, heads, kv_heads, head_dim, mask: Mask::Causal };
            let (x, dx) = pair(&mut p, "x", &[rows, heads.qkv_channels()]);
            let (q_weight, dq) = pair(&mut p, "q_weight", &[head_dim]);
            let (k_weight, dk) = pair(&mut p, "k_weight", &[head_dim]);
            let (y, dy) = pair(&mut p, "y", &[rows, heads.qkv_channels()]);
            let normed = heads.heads + kv_heads;
            let stats = p.tensor("stats", &[rows, normed]);
            let partials = p.tensor("partials", &[rows.div_ceil(ROWS_PER_PARTIAL), normed, head_dim]);
            p.push(Pass::Forward, QkNorm { x, q_weight, k_weight, y, stats, heads, epsilon: EPSILON });
            let (dq_weight, dk_weight) = ((!q_frozen).then_some(dq), (!k_frozen).then_some(dk));
            p.push(
                Pass::Backward,
                QkNormBackward { dy, x, stats, q_weight, k_weight, dx, dq_weight, dk_weight, partials, heads },
            );
            let (mut inputs, mut constants) = (vec![(x, dx)], Vec::new());
            for (weight, dweight) in [(q_weight, dq_weight), (k_weight, dk_weight)] {
                match dweight {
                    Some(dweight) => inputs.push((weight, dweight)),
                    None => constants.push((weight, noise(head_dim, 11))),
                }
            }
            OpCase {
                name: format!("query and key norm {heads:?}, frozen {q_frozen} {k_frozen}"),
                program: p,
                inputs,
                output: y,
                doutput: Some(dy),
                constants,
                ids: Vec::new(),
            }
            .check();
        }
    }
}

#[test]
fn linear() {
    for (rows, outputs, inputs) in [(2, 1, 1), (5, 33, 17), (70, 49, 8), (3, 8, 70)] {
        let mut p = program();
        let sizes = Sizes { rows, outputs, inputs };
        let (x, dx) = pair(&mut p, "x", &[rows, inputs]);
        let (weight, dweight) = pair(&mut p, "weight", &[outputs, inputs]);
        let (bias, dbias) = pair(&mut p, "bias", &[outputs]);
        let (y, dy) = pair(&mut p, "y", &[rows, outputs]);
        p.push(Pass::Forward, Linear { x, weight, bias: Some(bias), y, epilogue: Epilogue::None, sizes });
        p.push(Pass::Backward, LinearBackwardWeight { dy, x, dweight, dbias: Some(dbias), sizes });
        p.push(Pass::Backward, LinearBackwardInput { dy, weight, dx, slope: None, sizes });
        OpCase {
            name: format!("linear {sizes:?}"),
            program: p,
            inputs: vec![(x, dx), (weight, dweight), (bias, dbias)],
            output: y,
            doutput: Some(dy),
            constants: Vec::new(),
            ids: Vec::new(),
        }
        .check();
    }
}

#[test]
fn linear_with_residual_and_dropout() {
    let mut p = program();
    let sizes = Sizes { rows: 9, outputs: 21, inputs: 13 };
    let (x, dx) = pair(&mut p, "x", &[9, 13]);
    let (weight, dweight) = pair(&mut p, "weight", &[21, 13]);
    let residual = p.tensor("residual", &[9, 21]);
    let (y, dy) = pair(&mut p, "y", &[9, 21]);
    let masked = p.tensor("masked", &[9, 21]);
    let epilogue = Epilogue::Residual { residual, dropout: site(0.4) };
    p.push(Pass::Forward, Linear { x, weight, bias: None, y, epilogue, sizes });
    p.push(Pass::Backward, DropoutBackward { dy, dx: masked, width: 21, dropout: site(0.4) });
    p.push(Pass::Backward, LinearBackwardWeight { dy: masked, x, dweight, dbias: None, sizes });
    p.push(Pass::Backward, LinearBackwardInput { dy: masked, weight, dx, slope: None, sizes });
    OpCase {
        name: "linear + residual".into(),
        program: p,
        // The residual passes its gradient through unchanged.
        inputs: vec![(x, dx), (weight, dweight), (residual, dy)],
        output: y,
        doutput: Some(dy),
        constants: Vec::new(),
        ids: Vec::new(),
    }
    .check();
}

#[test]
fn the_two_layers_around_each_activation() {
    for kind in [Pointwise::Relu, Pointwise::Gelu, Pointwise::GeluNew] {
        let mut p = program();
        let (rows, inputs, hidden, outputs) = (6, 5, 35, 7);
        let (x, dx) = pair(&mut p, "x", &[rows, inputs]);
        let (fc, dfc) = pair(&mut p, "fc", &[hidden, inputs]);
        let (proj, dproj) = pair(&mut p, "proj", &[outputs, hidden]);
        let (slope, dpre) = pair(&mut p, "slope", &[rows, hidden]);
        let act = p.tensor("act", &[rows, hidden]);
        let (y, dy) = pair(&mut p, "y", &[rows, outputs]);
        let first = Sizes { rows, outputs: hidden, inputs };
        let second = Sizes { rows, outputs, inputs: hidden };
        let epilogue = Epilogue::Activation { kind, slope: Some(slope) };
        let bias = p.tensor("bias", &[hidden]);
        p.push(Pass::Forward, Linear { x, weight: fc, bias: Some(bias), y: act, epilogue, sizes: first });
        p.push(Pass::Forward, Linear { x: act, weight: proj, bias: None, y, epilogue: Epilogue::None, sizes: second });
        p.push(Pass::Backward, LinearBackwardWeight { dy, x: act, dweight: dproj, dbias: None, sizes: second });
        p.push(Pass::Backward, LinearBackwardInput { dy, weight: proj, dx: dpre, slope: Some(slope), sizes: second });
        p.push(Pass::Backward, LinearBackwardWeight { dy: dpre, x, dweight: dfc, dbias: None, sizes: first });
        p.push(Pass::Backward, LinearBackwardInput { dy: dpre, weight: fc, dx, slope: None, sizes: first });
        let name = format!("{kind:?}");
        let inputs = vec![(x, dx), (fc, dfc), (proj, dproj)];
        // ReLU's kink is no place for finite differences: its units are held well to one side or the other.
        let far = if kind == Pointwise::Relu { 30.0 } else { 0.5 };
        let constants = vec![(bias, (0..hidden).map(|i| if i % 3 == 0 { -far } else { far }).collect())];
        OpCase { name, program: p, inputs, constants, output: y, doutput: Some(dy), ids: Vec::new() }.check();
    }
}

fn check_attention(heads: Heads) {
    let Heads { batch, context, .. } = heads;
    for dropout in [0.0, 0.3] {
        let mut p = program();
        let rows = batch * context;
        let (qkv, dqkv) = pair(&mut p, "qkv", &[rows, heads.qkv_channels()]);
        let (out, dout) = pair(&mut p, "out", &[rows, heads.channels()]);
        let lse = p.tensor("lse", &[batch, heads.heads, context]);
        p.push(Pass::Forward, Attention { qkv, out, lse, heads, dropout: site(dropout) });
        p.push(Pass::Backward, AttentionBackward { dout, qkv, out, lse, dqkv, heads, dropout: site(dropout) });
        OpCase {
            name: format!("attention {heads:?} dropout {dropout}"),
            program: p,
            inputs: vec![(qkv, dqkv)],
            output: out,
            doutput: Some(dout),
            constants: Vec::new(),
            ids: Vec::new(),
        }
        .check();
    }
}

#[test]
fn attention() {
    for (batch, context, heads, head_dim) in [(1, 1, 1, 3), (2, 5, 3, 4), (1, 65, 2, 8), (2, 130, 1, 17)] {
        check_attention(Heads { batch, context, heads, kv_heads: heads, head_dim, mask: Mask::Causal });
    }
}

#[test]
fn attention_with_shared_keys_and_windows() {
    for (heads, kv_heads) in [(2, 1), (3, 3), (6, 3), (3, 1)] {
        // Of 70 and 150 queries the last blocks begin at 64 and 128. A window of 1 leaves queries and keys no gradient.
        for (context, window) in
            [(70, None), (9, Some(1)), (70, Some(2)), (150, Some(64)), (150, Some(91)), (9, Some(99))]
        {
            check_attention(Heads { batch: 2, context, heads, kv_heads, head_dim: 4, mask: Mask::causal(window) });
        }
        check_attention(Heads { batch: 2, context: 70, heads, kv_heads, head_dim: 4, mask: Mask::Open });
    }
}

#[test]
fn embedding_with_dropout() {
    let mut p = program();
    let (wte, dwte) = pair(&mut p, "wte", &[5, 19]);
    let (wpe, dwpe) = pair(&mut p, "wpe", &[4, 19]);
    let (x, dx) = pair(&mut p, "x", &[8, 19]);
    let tokens = p.tensor("tokens", &[8]);
    let layout = |wte, wpe| Tables { wte, wpe: Some(wpe) };
    p.push(
        Pass::Forward,
        Embedding { tokens, tables: layout(wte, wpe), x, channels: 19, scale: 1.0, context: 4, dropout: site(0.2) },
    );
    p.push(
        Pass::Backward,
        EmbeddingBackward {
            tokens,
            dx,
            dtables: layout(dwte, dwpe),
            channels: 19,
            scale: 1.0,
            context: 4,
            dropout: site(0.2),
        },
    );
    OpCase {
        name: "embedding".into(),
        program: p,
        inputs: vec![(wte, dwte), (wpe, dwpe)],
        output: x,
        doutput: Some(dx),
        constants: Vec::new(),
        ids: vec![(tokens, vec![0, 1, 1, 4, 2, 2, 2, 0])],
    }
    .check();
}

#[test]
fn embedding_times_a_factor_on_fixed_positions() {
    let mut p = program();
    let (channels, context, scale) = (7, 4, 2.65);
    let (wte, dwte) = pair(&mut p, "wte", &[5, channels]);
    let wpe = p.constant("wpe", &[9, channels], move || sinusoids(9, channels));
    let (x, dx) = pair(&mut p, "x", &[8, channels]);
    let tokens = p.tensor("tokens", &[8]);
    let (tables, dtables) = (Tables { wte, wpe: Some(wpe) }, Tables { wte: dwte, wpe: None });
    p.push(Pass::Forward, Embedding { tokens, tables, x, channels, scale, context, dropout: site(0.2) });
    p.push(Pass::Backward, EmbeddingBackward { tokens, dx, dtables, channels, scale, context, dropout: site(0.2) });
    OpCase {
        name: "embedding times a factor".into(),
        program: p,
        inputs: vec![(wte, dwte)],
        output: x,
        doutput: Some(dx),
        constants: Vec::new(),
        ids: vec![(tokens, vec![0, 1, 1, 4, 2, 2, 2, 0])],
    }
    .check();
}

/// It works in place: a matrix product before it and none after it keeps input and output apart.
#[test]
fn rope() {
    for (batch, context, heads, kv_heads, head_dim) in [(1, 1, 1, 1, 2), (2, 5, 4, 2, 6), (1, 9, 3, 1, 38)] {
        let mut p = program();
        let heads = Heads { batch, context, heads, kv_heads, head_dim, mask: Mask::Causal };
        let (rows, channels) = (batch * context, heads.qkv_channels());
        let sizes = Sizes { rows, outputs: channels, inputs: 3 };
        let (x, dx) = pair(&mut p, "x", &[rows, 3]);
        let (weight, dweight) = pair(&mut p, "weight", &[channels, 3]);
        let (qkv, dqkv) = pair(&mut p, "qkv", &[rows, channels]);
        let angles = p.constant("rope", &[20, head_dim], move || table(20, head_dim, 100.0));
        let rope = |qkv, direction| Rope { qkv, table: angles, heads, direction };
        p.push(Pass::Forward, Linear { x, weight, bias: None, y: qkv, epilogue: Epilogue::None, sizes });
        p.push(Pass::Forward, rope(qkv, Direction::Forward));
        p.push(Pass::Backward, rope(dqkv, Direction::Backward));
        p.push(Pass::Backward, LinearBackwardWeight { dy: dqkv, x, dweight, dbias: None, sizes });
        p.push(Pass::Backward, LinearBackwardInput { dy: dqkv, weight, dx, slope: None, sizes });
        OpCase {
            name: format!("rope {heads:?}"),
            program: p,
            inputs: vec![(x, dx), (weight, dweight)],
            output: qkv,
            doutput: Some(dqkv),
            constants: Vec::new(),
            ids: Vec::new(),
        }
        .check();
    }
}

#[test]
fn swiglu() {
    for (rows, width) in [(1, 1), (3, 17), (70, 3), (2, 64)] {
        let mut p = program();
        let (pre, dpre) = pair(&mut p, "pre", &[rows, 2 * width]);
        let (hidden, dhidden) = pair(&mut p, "hidden", &[rows, width]);
        p.push(Pass::Forward, Swiglu { pre, hidden, width });
        p.push(Pass::Backward, SwigluBackward { dhidden, pre, dpre, width });
        OpCase {
            name: format!("swiglu [{rows}, {width}]"),
            program: p,
            inputs: vec![(pre, dpre)],
            output: hidden,
            doutput: Some(dhidden),
            constants: Vec::new(),
            ids: Vec::new(),
        }
        .check();
    }
}

#[test]
fn cross_entropy() {
    for (rows, vocab) in [(1, 2), (7, 65), (40, 3)] {
        let mut p = program();
        let (logits, dlogits) = pair(&mut p, "logits", &[rows, vocab]);
        let targets = p.tensor("targets", &[rows]);
        let [losses, lse] = ["losses", "lse"].map(|name| p.tensor(name, &[rows]));
        let loss = p.tensor("loss", &[1]);
        p.push(Pass::Forward, CrossEntropy { logits, targets, losses, lse, vocab });
        p.push(Pass::Forward, MeanLoss { losses, loss });
        let backward = CrossEntropyBackward { logits, targets, lse, dlogits, grad_scale: None, vocab, batch: rows };
        p.push(Pass::Backward, backward);
        OpCase {
            name: format!("cross-entropy [{rows}, {vocab}]"),
            program: p,
            inputs: vec![(logits, dlogits)],
            output: loss,
            doutput: None,
            constants: Vec::new(),
            ids: vec![(targets, (0..rows as u32).map(|i| i % vocab as u32).collect())],
        }
        .check();
    }
}

#[test]
fn head() {
    for (rows, vocab, channels) in [(1, 2, 1), (7, 65, 9), (40, 128, 17)] {
        let mut p = program();
        let sizes = Sizes { rows, outputs: vocab, inputs: channels };
        let (x, dx) = pair(&mut p, "x", &[rows, channels]);
        let (weight, dweight) = pair(&mut p, "weight", &[vocab, channels]);
        let (bias, dbias) = pair(&mut p, "bias", &[vocab]);
        let (logits, dlogits) = pair(&mut p, "logits", &[rows, vocab]);
        let targets = p.tensor("targets", &[rows]);
        let [losses, lse] = ["losses", "lse"].map(|name| p.tensor(name, &[rows]));
        let loss = p.tensor("loss", &[1]);
        let linear = Linear { x, weight, bias: Some(bias), y: logits, epilogue: Epilogue::None, sizes };
        let cross_entropy = CrossEntropy { logits, targets, losses, lse, vocab };
        let backward = CrossEntropyBackward { logits, targets, lse, dlogits, grad_scale: None, vocab, batch: rows };
        p.push(Pass::Forward, Head { linear, cross_entropy, backward: Some(backward) });
        p.push(Pass::Forward, MeanLoss { losses, loss });
        p.push(Pass::Backward, HeadBackward(backward));
        p.push(Pass::Backward, LinearBackwardWeight { dy: dlogits, x, dweight, dbias: Some(dbias), sizes });
        p.push(Pass::Backward, LinearBackwardInput { dy: dlogits, weight, dx, slope: None, sizes });
        OpCase {
            name: format!("head {sizes:?}"),
            program: p,
            inputs: vec![(x, dx), (weight, dweight), (bias, dbias)],
            output: loss,
            doutput: None,
            constants: Vec::new(),
            ids: vec![(targets, (0..rows as u32).map(|i| i * 31 % vocab as u32).collect())],
        }
        .check();
    }
}

fn recording(batch: usize, context: usize) -> Recording {
    let (training, probs, activations) = (Training::Yes, Probs::Skip, DType::F32);
    Recording { batch, context, training, probs, activations, recompute: false }
}

/// Every parameter of a whole model.
fn check_model(config: &ModelConfig, batch: usize, context: usize) {
    let (program, graph) = recording(batch, context).record(config).unwrap();
    let mut engine = Engine::cpu(program, Pool::new(2));
    let start = start(&mut engine);
    check_parameters(config, engine, &graph, &start);
}

/// Every adapter of a frozen model.
fn check_adapters(config: &ModelConfig, lora: &LoraConfig) {
    let (program, _) = recording(2, 9).record(config).unwrap();
    let base = start(&mut Engine::cpu(program, Pool::new(2)));
    let (program, graph) = recording(2, 9).record_adapted(config, lora).unwrap();
    let mut engine = Engine::cpu(program, Pool::new(2));
    engine.load_frozen(&base).unwrap();
    let start = start(&mut engine);
    assert_eq!(start.len(), lora.parameters(config).len());
    check_parameters(config, engine, &graph, &start);
}

/// Weights far enough from the initial ones that every parameter matters.
fn start(engine: &mut Engine) -> Weights {
    engine.initialize(1);
    let mut start = wait(engine.save(Field::Value)).unwrap();
    for (i, tensor) in start.values_mut().enumerate() {
        let size = tensor.data.len();
        tensor.data.iter_mut().zip(noise(size, i as u32)).for_each(|(x, n)| *x += 0.15 * n);
    }
    engine.load(Field::Value, &start).unwrap();
    start
}

fn check_parameters(config: &ModelConfig, mut engine: Engine, graph: &Graph, start: &Weights) {
    let (batch, context) = (graph.batch, graph.context);
    let stream = Stream::new(3, 0, Site::BATCH);
    let vocab = config.vocab_size as u32;
    let ids = |offset: u32| (0..(batch * context) as u32).map(|i| stream.below(i + offset, vocab)).collect::<Vec<_>>();
    engine.write_ids(graph.tokens, &ids(0));
    engine.write_ids(graph.targets, &ids(9999));
    engine.replay(Pass::Forward, &DROPOUT);
    engine.replay(Pass::Backward, &DROPOUT);
    let gradients = wait(engine.save(Field::Grad)).unwrap();
    for (name, gradient) in gradients {
        let tensor = engine.program().parameter(&name).value;
        let x = start[&name].data.clone();
        // Gains of query and key norm have small gradients, and little curvature.
        let h = if name.contains("_norm") { 0.04 } else { 0.01 };
        check(&name, &x, &gradient.data, h, |x| {
            engine.write(tensor, x);
            engine.replay(Pass::Forward, &DROPOUT);
            let losses = wait(engine.read(graph.losses)).unwrap();
            losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len() as f64
        });
        engine.write(tensor, &x);
    }
}

#[test]
fn whole_models() {
    let base = ModelConfig {
        vocab_size: 11,
        n_positions: 9,
        n_embd: 12,
        n_layer: 2,
        n_head: 6,
        n_kv_head: 6,
        n_inner: 20,
        ..ModelConfig::default()
    };
    check_model(&base, 3, 9);
    check_model(&base, 2, 5);
    check_model(&ModelConfig { dropout: 0.3, ..base.clone() }, 3, 9);
    // An ε of the order of the rows' variance: sharper curves and smaller gradients are both beyond finite differences.
    let base = ModelConfig { layer_norm_epsilon: 0.02, ..base };
    // ReLU's kink is where differences are no derivatives; its own layer is checked away from there.
    for (name, config) in variants(&base).into_iter().filter(|(name, _)| *name != "relu") {
        println!("{name}");
        check_model(&config, 2, 9);
    }
    check_model(&ModelConfig { architecture: Architecture::Bigram, tie_word_embeddings: false, ..base }, 2, 7);
}

#[test]
fn adapters_of_whole_models() {
    let base = ModelConfig {
        vocab_size: 11,
        n_positions: 9,
        n_embd: 12,
        n_layer: 2,
        n_head: 6,
        n_kv_head: 6,
        n_inner: 20,
        dropout: 0.2,
        ..ModelConfig::default()
    };
    let all = variants(&base);
    // Not with query and key norm, which two channels a head bend too much for finite differences along one rank.
    let (_, llama) = all.iter().find(|(name, _)| *name == "llama").expect("one of the variants");
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    for (model, target_modules) in [
        (&base, names(&["c_attn", "c_proj", "c_fc"])),
        (llama, names(&["c_attn", "c_proj", "c_fc"])),
        (&base, names(&["attn.c_proj"])),
        (llama, names(&["mlp.c_fc"])),
    ] {
        for (base, r, lora_alpha) in [(BaseFormat::F16, 3, 3.6), (BaseFormat::Q4, 1, 0.7)] {
            check_adapters(model, &LoraConfig { r, lora_alpha, target_modules: target_modules.clone(), base });
        }
    }
}
