use inkling_core::ops::attention::{Attention, AttentionBackward, AttentionProbs, Heads};
use inkling_core::ops::dropout::DropoutSite;
use inkling_core::program::{DType, Pass, Program, Tensor, Training};
use inkling_core::rng::Site;
use inkling_core::step::{Mode, Step};

use crate::{Case, F16, F32, Tolerance, noise};

/// A recorded layer's tensors.
struct Layer {
    program: Program,
    heads: Heads,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
}

impl Layer {
    fn new(dtype: DType, heads: Heads, dropout: DropoutSite) -> Self {
        let mut program = Program::new(vec![], Training::No);
        let (rows, channels) = (heads.batch * heads.context, heads.channels());
        let qkv = program.tensor_of(dtype, "qkv", &[rows, 3 * channels]);
        let out = program.tensor_of(dtype, "out", &[rows, channels]);
        let lse = program.tensor("lse", &[heads.batch, heads.heads, heads.context]);
        program.push(Pass::Forward, Attention { qkv, out, lse, heads, dropout });
        Self { program, heads, qkv, out, lse }
    }

    fn case(self, name: &str, tolerance: Tolerance) -> Case {
        let Heads { batch, context, heads, head_dim, .. } = self.heads;
        let dtype = self.program.dtype(self.qkv);
        let name = format!("{name} B {batch}, T {context}, NH {heads}, D {head_dim}, {dtype:?}");
        Case::new(name, self.program).noise(self.qkv).output(self.out).output(self.lse).tolerance(tolerance)
    }
}

const fn heads(batch: usize, context: usize, heads: usize, head_dim: usize) -> Heads {
    Heads { batch, context, heads, kv_heads: heads, head_dim, window: None }
}

const DROPOUT: DropoutSite = DropoutSite { p: 0.3, site: Site(2000) };
const NO_DROPOUT: DropoutSite = DropoutSite { p: 0.0, ..DROPOUT };

fn step(mode: Mode) -> Step {
    Step { mode, seed: 1 << 40 | 7, counter: 5, ..Step::default() }
}

/// Sizes around those of tiles, and head dimensions of every path: parts of a vec4, one to four of them to a row, more than a tile.
const SIZES: [Heads; 14] = [
    heads(1, 1, 1, 1),
    heads(2, 2, 3, 3),
    heads(1, 31, 2, 8),
    heads(2, 17, 2, 16),
    heads(1, 32, 1, 17),
    heads(2, 33, 2, 32),
    heads(1, 63, 3, 33),
    heads(2, 64, 1, 64),
    heads(1, 65, 2, 64),
    heads(1, 100, 2, 5),
    heads(1, 129, 1, 48),
    heads(1, 66, 1, 80),
    heads(1, 20, 2, 128),
    heads(1, 9, 1, 257),
];

#[test]
fn the_forward_pass_repeats_the_cpu() {
    // Float16 changes how memory is read, not what is done: every third size has it.
    for (dtype, tolerance, every) in [(DType::F32, F32, 1), (DType::F16, F16, 3)] {
        for sizes in SIZES.into_iter().step_by(every) {
            for mode in [Mode::Train, Mode::Eval] {
                Layer::new(dtype, sizes, DROPOUT).case("attention", tolerance).step(step(mode)).check();
            }
        }
    }
}

#[test]
fn without_dropout_training_changes_nothing() {
    Layer::new(DType::F32, heads(1, 40, 2, 16), NO_DROPOUT).case("attention", F32).step(step(Mode::Train)).check();
}

#[test]
fn more_workgroups_than_a_dimension_holds_are_folded() {
    // The kernel with the fewest barriers, which are what costs time on a software adapter: all locate their tile alike.
    let sizes = heads(33_000, 1, 2, 1);
    let mut program = Program::new(vec![], Training::No);
    let qkv = program.tensor("qkv", &[33_000, 6]);
    let lse = program.tensor("lse", &[33_000, 2, 1]);
    let probs = program.tensor("probs", &[33_000, 2, 1, 1]);
    program.push(Pass::Forward, AttentionProbs { qkv, lse, probs, heads: sizes });
    Case::new("folded grid", program).noise(qkv).noise(lse).output(probs).check();
}

/// Scores of some 4,000 have errors of a few 1e-4, and weights as much.
const COARSE: Tolerance = Tolerance { relative: 2e-3, of_rms: 2e-3 };

#[test]
fn large_scores_keep_their_weights_finite() {
    let layer = Layer::new(DType::F32, heads(1, 70, 1, 16), NO_DROPOUT);
    let qkv = noise(70 * 48, 3).iter().map(|x| 30.0 * x).collect();
    let case = Case::new("large scores", layer.program).input(layer.qkv, qkv);
    case.output(layer.out).output(layer.lse).tolerance(COARSE).check();
}

/// Weights computed again, exp(S - lse), take over the error of lse and twice that of exp (in WGSL 3 + 2 |x| units in the last place), and
/// dP - delta cancels digits: three times the error of a sum.
const BACKWARD: Tolerance = Tolerance { relative: 6e-6, of_rms: 6e-6 };

#[test]
fn the_backward_pass_repeats_the_cpu() {
    for (dtype, tolerance, every) in [(DType::F32, BACKWARD, 1), (DType::F16, F16, 3)] {
        for sizes in SIZES.into_iter().step_by(every) {
            for mode in [Mode::Train, Mode::Eval] {
                let mut layer = Layer::new(dtype, sizes, DROPOUT);
                let (qkv, lse) = (layer.qkv, layer.lse);
                let (rows, channels) = layer.program.matrix(layer.out);
                // Any output does, and a given one was rounded to float16 alike for both engines.
                let out = layer.program.tensor_of(dtype, "given", &[rows, channels]);
                let dout = layer.program.tensor_of(dtype, "dout", &[rows, channels]);
                let dqkv = layer.program.tensor_of(dtype, "dqkv", &[rows, 3 * channels]);
                let op = AttentionBackward { dout, qkv, out, lse, dqkv, heads: sizes, dropout: DROPOUT };
                layer.program.push(Pass::Forward, op);
                let case = layer.case("attention backward", tolerance).noise(out).noise(dout).output(dqkv);
                case.step(step(mode)).check();
            }
        }
    }
}

#[test]
fn very_negative_scores_leave_no_infinities_behind() {
    // Every score is -3,600, so that exp(-lse), the weight of a query that is only there to fill the tile, would be infinite.
    let sizes = heads(1, 70, 1, 16);
    let mut layer = Layer::new(DType::F32, sizes, NO_DROPOUT);
    let (qkv, out, lse) = (layer.qkv, layer.out, layer.lse);
    let dout = layer.program.tensor("dout", &[70, 16]);
    let dqkv = layer.program.tensor("dqkv", &[70, 48]);
    let op = AttentionBackward { dout, qkv, out, lse, dqkv, heads: sizes, dropout: NO_DROPOUT };
    layer.program.push(Pass::Forward, op);
    let part = |(i, x): (usize, f32)| [30.0, -30.0, x][i % 48 / 16];
    let values = noise(70 * 48, 3).into_iter().enumerate().map(part).collect();
    let case = Case::new("negative scores", layer.program).input(qkv, values).noise(dout);
    case.output(out).output(dqkv).tolerance(COARSE).check();
}

#[test]
fn the_weights_are_shown_with_zeros_above_the_diagonal() {
    for sizes in SIZES {
        let mut layer = Layer::new(DType::F32, sizes, DROPOUT);
        let Heads { batch, context, heads, .. } = sizes;
        let probs = layer.program.tensor("probs", &[batch, heads, context, context]);
        layer.program.push(Pass::Forward, AttentionProbs { qkv: layer.qkv, lse: layer.lse, probs, heads: sizes });
        // An absolute error below the least positive number: zeros must be zeros.
        let tolerance = Tolerance { relative: 4e-6, of_rms: 0.0 };
        let (qkv, program) = (layer.qkv, layer.program);
        Case::new(format!("{sizes:?}"), program).noise(qkv).output(probs).tolerance(tolerance).check();
    }
}
