use inkling_core::Engine;
use inkling_core::cpu::Pool;
use inkling_core::ops::attention::{Attention, AttentionBackward, AttentionProbs, Heads, Mask};
use inkling_core::ops::dropout::DropoutSite;
use inkling_core::program::{DType, Pass, Program, Tensor, Training};
use inkling_core::rng::Site;
use inkling_core::step::{Mode, Step};

use crate::{Case, F16, F32, Tolerance, device, noise, wait};

/// Recorded layers.
struct Layers {
    program: Program,
    layers: Vec<Layer>,
}

/// A layer's tensors.
struct Layer {
    heads: Heads,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
}

impl Layers {
    fn new(dtype: DType, sizes: &[Heads], dropout: DropoutSite) -> Self {
        let mut program = Program::new(vec![], Training::No);
        let layer = |&heads: &Heads| {
            let label = label(heads);
            let rows = heads.batch * heads.context;
            let qkv = program.tensor_of(dtype, &format!("qkv {label}"), &[rows, heads.qkv_channels()]);
            let out = program.tensor_of(dtype, &format!("out {label}"), &[rows, heads.channels()]);
            let lse = program.tensor(&format!("lse {label}"), &[heads.batch, heads.heads, heads.context]);
            program.push(Pass::Forward, Attention { qkv, out, lse, heads, dropout });
            Layer { heads, qkv, out, lse }
        };
        let layers = sizes.iter().map(layer).collect();
        Self { program, layers }
    }

    /// Compares `out` and `lse` of all layers.
    fn case(self, name: &str, tolerance: Tolerance) -> Case {
        let name = format!("{name}, {:?}", self.program.dtype(self.layers[0].qkv));
        let case = Case::new(name, self.program).tolerance(tolerance);
        self.layers.iter().fold(case, |case, layer| case.noise(layer.qkv).output(layer.out).output(layer.lse))
    }
}

fn label(heads: Heads) -> String {
    let Heads { batch, context, heads, kv_heads, head_dim, mask } = heads;
    format!("B {batch}, T {context}, NH {heads}, NKV {kv_heads}, D {head_dim}, {mask:?}")
}

const fn heads(batch: usize, context: usize, heads: usize, head_dim: usize) -> Heads {
    Heads { batch, context, heads, kv_heads: heads, head_dim, mask: Mask::Causal }
}

const fn shared(context: usize, (heads, kv_heads): (usize, usize), head_dim: usize, window: Option<usize>) -> Heads {
    Heads { batch: 2, context, heads, kv_heads, head_dim, mask: Mask::causal(window) }
}

const fn open(context: usize, (heads, kv_heads): (usize, usize), head_dim: usize) -> Heads {
    Heads { batch: 2, context, heads, kv_heads, head_dim, mask: Mask::Open }
}

const DROPOUT: DropoutSite = DropoutSite { p: 0.3, site: Site(2000), first: u32::MAX - 5 };
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

/// Shared keys and windows around the edges of tiles. Those with equal head dimensions share compiled kernels in one program.
const VARIANTS: [&[Heads]; 4] = [
    &[
        shared(65, (2, 1), 8, Some(1)),
        shared(130, (3, 3), 8, Some(1)),
        shared(64, (4, 2), 8, Some(2)),
        shared(129, (1, 1), 8, Some(2)),
        shared(130, (6, 3), 8, Some(63)),
        shared(200, (1, 1), 8, Some(63)),
        shared(128, (4, 2), 8, Some(64)),
        shared(129, (2, 1), 8, Some(64)),
        shared(130, (3, 3), 8, Some(65)),
        shared(193, (2, 1), 8, Some(65)),
        shared(65, (4, 2), 8, Some(1000)),
        shared(100, (6, 3), 8, None),
        shared(70, (4, 1), 8, None),
    ],
    // Rows and heads begin within a vec4.
    &[shared(67, (4, 2), 5, Some(10)), shared(130, (3, 1), 5, Some(65))],
    &[open(1, (2, 1), 8), open(63, (2, 1), 8), open(64, (1, 1), 8), open(65, (4, 2), 8), open(130, (3, 3), 8)],
    // Two tiles of channels to a head.
    &[shared(66, (2, 1), 80, Some(3))],
];

#[test]
fn the_forward_pass_repeats_the_cpu() {
    // Float16 changes how memory is read, not what is done: every third size has it.
    for (dtype, tolerance, every) in [(DType::F32, F32, 1), (DType::F16, F16, 3)] {
        for sizes in SIZES.into_iter().step_by(every) {
            for mode in [Mode::Train, Mode::Eval] {
                Layers::new(dtype, &[sizes], DROPOUT).case("attention", tolerance).step(step(mode)).check();
            }
        }
        for sizes in VARIANTS {
            Layers::new(dtype, sizes, DROPOUT).case("attention", tolerance).step(step(Mode::Train)).check();
        }
    }
}

#[test]
fn without_dropout_training_changes_nothing() {
    let layers = Layers::new(DType::F32, &[heads(1, 40, 2, 16)], NO_DROPOUT);
    layers.case("attention", F32).step(step(Mode::Train)).check();
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
    let Layers { program, layers } = Layers::new(DType::F32, &[heads(1, 70, 1, 16)], NO_DROPOUT);
    let Layer { qkv, out, lse, .. } = layers[0];
    let values = noise(70 * 48, 3).iter().map(|x| 30.0 * x).collect();
    Case::new("large scores", program).input(qkv, values).output(out).output(lse).tolerance(COARSE).check();
}

/// Weights computed again, exp(S - lse), take over the error of lse and twice that of exp (in WGSL 3 + 2 |x| units in the last place), and
/// dP - delta cancels digits: three times the error of a sum.
const BACKWARD: Tolerance = Tolerance { relative: 6e-6, of_rms: 6e-6 };

fn check_backward(dtype: DType, sizes: &[Heads], tolerance: Tolerance, mode: Mode) {
    let Layers { mut program, layers } = Layers::new(dtype, sizes, DROPOUT);
    let (mut given, mut gradients) = (vec![], vec![]);
    for &Layer { heads, qkv, out, lse } in &layers {
        let mut like = |name, tensor| {
            let (rows, channels) = program.matrix(tensor);
            program.tensor_of(dtype, &format!("{name} {}", label(heads)), &[rows, channels])
        };
        // Any output does, and a given one was rounded to float16 alike for both engines.
        let (out, dout, dqkv) = (like("given", out), like("dout", out), like("dqkv", qkv));
        program.push(Pass::Forward, AttentionBackward { dout, qkv, out, lse, dqkv, heads, dropout: DROPOUT });
        given.extend([out, dout]);
        gradients.push(dqkv);
    }
    let case = Layers { program, layers }.case("attention backward", tolerance).step(step(mode));
    let case = given.into_iter().fold(case, Case::noise);
    gradients.into_iter().fold(case, Case::output).check();
}

#[test]
fn the_backward_pass_repeats_the_cpu() {
    for (dtype, tolerance, every) in [(DType::F32, BACKWARD, 1), (DType::F16, F16, 3)] {
        for sizes in SIZES.into_iter().step_by(every) {
            for mode in [Mode::Train, Mode::Eval] {
                check_backward(dtype, &[sizes], tolerance, mode);
            }
        }
        for sizes in VARIANTS {
            check_backward(dtype, sizes, tolerance, Mode::Train);
        }
    }
}

#[test]
fn very_negative_scores_leave_no_infinities_behind() {
    // Every score is -3,600, so that exp(-lse), the weight of a query that is only there to fill the tile, would be infinite.
    let sizes = heads(1, 70, 1, 16);
    let Layers { mut program, layers } = Layers::new(DType::F32, &[sizes], NO_DROPOUT);
    let Layer { qkv, out, lse, .. } = layers[0];
    let dout = program.tensor("dout", &[70, 16]);
    let dqkv = program.tensor("dqkv", &[70, 48]);
    let op = AttentionBackward { dout, qkv, out, lse, dqkv, heads: sizes, dropout: NO_DROPOUT };
    program.push(Pass::Forward, op);
    let part = |(i, x): (usize, f32)| [30.0, -30.0, x][i % 48 / 16];
    let values = noise(70 * 48, 3).into_iter().enumerate().map(part).collect();
    let case = Case::new("negative scores", program).input(qkv, values).noise(dout);
    case.output(out).output(dqkv).tolerance(COARSE).check();
}

#[test]
fn the_weights_are_shown_with_zeros_where_nothing_is_seen() {
    let alone: Vec<[Heads; 1]> = SIZES.into_iter().map(|sizes| [sizes]).collect();
    for sizes in alone.iter().map(|sizes| &sizes[..]).chain(VARIANTS) {
        let Layers { mut program, layers } = Layers::new(DType::F32, sizes, DROPOUT);
        let mut shown = vec![];
        for &Layer { heads, qkv, lse, .. } in &layers {
            let shape = [heads.batch, heads.heads, heads.context, heads.context];
            let probs = program.tensor(&format!("probs {}", label(heads)), &shape);
            program.push(Pass::Forward, AttentionProbs { qkv, lse, probs, heads });
            shown.push((qkv, probs));
        }
        // An absolute error below the least positive number: zeros must be zeros.
        let case = Case::new("weights", program).tolerance(Tolerance { relative: 4e-6, of_rms: 0.0 });
        shown.into_iter().fold(case, |case, (qkv, probs)| case.noise(qkv).output(probs)).check();
    }
}

#[test]
fn tiles_outside_of_the_window_are_not_visited() {
    let Some(device) = device() else { return };
    // What is not a number stays so with any weight, 0 too.
    let sizes = shared(200, (2, 1), 4, Some(65));
    let record = || {
        let Layers { mut program, layers } = Layers::new(DType::F32, &[sizes], NO_DROPOUT);
        let Layer { qkv, out, lse, .. } = layers[0];
        let (dout, dqkv) = (program.tensor("dout", &[400, 8]), program.tensor("dqkv", &[400, 16]));
        let op = AttentionBackward { dout, qkv, out, lse, dqkv, heads: sizes, dropout: NO_DROPOUT };
        program.push(Pass::Forward, op);
        (program, [qkv, out, dout, dqkv])
    };
    let (program, [qkv, out, dout, dqkv]) = record();
    let (cpu, gpu) = (Engine::cpu(program, Pool::new(1)), wait(Engine::gpu(record().0, &device)).unwrap());
    // On the CPU a block of queries begins with a panel of keys, which are up to 48.
    for (mut engine, hidden_value, hidden_keys) in [(cpu, 47, 96), (gpu, 63, 128)] {
        let mut run = |values: &[f32], gradients: &[f32]| {
            engine.write(qkv, values);
            engine.write(dout, gradients);
            engine.replay(Pass::Forward, &Step::default());
            [out, dqkv].map(|tensor| wait(engine.read(tensor)).unwrap())
        };
        let (values, gradients) = (noise(400 * 16, 1), noise(400 * 8, 2));
        let finite = |x: &[f32]| x.iter().all(|x| x.is_finite());

        // Queries from 128 on see keys from 64 on.
        let mut poisoned = values.clone();
        poisoned[hidden_value * 16 + 12..][..4].fill(f32::NAN);
        let [out, dqkv] = run(&poisoned, &gradients);
        assert!(!finite(&out[63 * 8..64 * 8]) && finite(&out[128 * 8..]));
        assert!(!finite(&dqkv[63 * 16..][..8]) && (128..400).all(|row| finite(&dqkv[row * 16..][..8])));

        // Keys up to 127 are seen by queries up to 191.
        let mut poisoned = gradients.clone();
        poisoned[199 * 8..200 * 8].fill(f32::NAN);
        let [_, dqkv] = run(&values, &poisoned);
        assert!(!finite(&dqkv[199 * 16..200 * 16]) && finite(&dqkv[..hidden_keys * 16]));
    }
}
