use inkling_core::gpu::product::{Choice, Tile};
use inkling_core::gpu::tuning::Forced;
use inkling_core::ops::activation::Pointwise;
use inkling_core::ops::dropout::DropoutSite;
use inkling_core::ops::linear::{Epilogue, Linear, LinearBackwardInput, LinearBackwardWeight, Sizes};
use inkling_core::program::{DType, Op, Pass, Program, Tensor, Training};
use inkling_core::rng::Site;
use inkling_core::step::{Mode, Step};

use crate::{Case, F16, Tolerance};

/// Sums of `depth` products in two orders: each addition rounds a partial sum by 2⁻²⁵ of itself on average, and the partial sums grow
/// like a random walk, so the standard deviation of the difference is some 2⁻²⁵ √depth of the sums' root mean square. Six of those,
/// and the few roundings of an epilogue.
fn sums_of(depth: usize) -> Tolerance {
    Tolerance { relative: 2e-6, of_rms: 5e-7 + 6.0 * 3e-8 * (depth as f32).sqrt() }
}

/// One, odd, and one more and less than the sizes of tiles: lines that are whole quads, and that are not.
const SIZES: [Sizes; 7] = [
    Sizes { rows: 1, outputs: 1, inputs: 1 },
    Sizes { rows: 3, outputs: 7, inputs: 5 },
    Sizes { rows: 33, outputs: 65, inputs: 31 },
    Sizes { rows: 64, outputs: 32, inputs: 64 },
    Sizes { rows: 65, outputs: 132, inputs: 68 },
    Sizes { rows: 129, outputs: 33, inputs: 36 },
    // More than one group of tiles, the last smaller, with several tiles across.
    Sizes { rows: 300, outputs: 70, inputs: 40 },
];

/// Element types of a layer's tensors.
#[derive(Clone, Copy, Default)]
struct Types {
    /// x and dx.
    x: DType,
    weight: DType,
    /// y and dy.
    y: DType,
    /// Slopes and residuals.
    other: DType,
}

/// A case under construction: ops of several sizes share its pipelines.
struct Layers {
    program: Program,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    choice: Option<Choice>,
    types: Types,
    depth: usize,
}

impl Layers {
    fn new(choice: Option<Choice>, types: Types) -> Self {
        let program = Program::new(vec![], Training::No);
        Self { program, inputs: vec![], outputs: vec![], choice, types, depth: 0 }
    }

    fn tensor(&mut self, dtype: DType, name: &str, shape: &[usize]) -> Tensor {
        let number = self.inputs.len() + self.outputs.len();
        self.program.tensor_of(dtype, &format!("{name} {number} {shape:?}"), shape)
    }

    fn input(&mut self, dtype: DType, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.tensor(dtype, name, shape);
        self.inputs.push(tensor);
        tensor
    }

    fn output(&mut self, dtype: DType, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.tensor(dtype, name, shape);
        self.outputs.push(tensor);
        tensor
    }

    fn push(&mut self, depth: usize, op: impl Op + 'static) {
        self.depth = self.depth.max(depth);
        match self.choice {
            Some(choice) => self.program.push(Pass::Forward, Forced { op, choice }),
            None => self.program.push(Pass::Forward, op),
        }
    }

    /// A forward pass; the epilogue is made of tensors that this makes.
    fn forward(&mut self, sizes: Sizes, bias: bool, epilogue: impl Fn(&mut Self, [usize; 2]) -> Epilogue) {
        let Sizes { rows, outputs, inputs } = sizes;
        let types = self.types;
        let x = self.input(types.x, "x", &[rows, inputs]);
        let weight = self.input(types.weight, "weight", &[outputs, inputs]);
        let bias = bias.then(|| self.input(types.weight, "bias", &[outputs]));
        let epilogue = epilogue(self, [rows, outputs]);
        let y = self.output(types.y, "y", &[rows, outputs]);
        self.push(inputs, Linear { x, weight, bias, y, epilogue, sizes });
    }

    fn backward_input(&mut self, sizes: Sizes, slope: bool) {
        let Sizes { rows, outputs, inputs } = sizes;
        let types = self.types;
        let dy = self.input(types.y, "dy", &[rows, outputs]);
        let weight = self.input(types.weight, "weight", &[outputs, inputs]);
        let slope = slope.then(|| self.input(types.other, "slope", &[rows, inputs]));
        let dx = self.output(types.x, "dx", &[rows, inputs]);
        self.push(outputs, LinearBackwardInput { dy, weight, dx, slope, sizes });
    }

    fn backward_weight(&mut self, sizes: Sizes, dbias: bool) {
        let Sizes { rows, outputs, inputs } = sizes;
        let types = self.types;
        let dy = self.input(types.y, "dy", &[rows, outputs]);
        let x = self.input(types.x, "x", &[rows, inputs]);
        // Gradients accumulate: they are inputs and outputs.
        let dweight = self.input(DType::F32, "dweight", &[outputs, inputs]);
        let dbias = dbias.then(|| self.input(DType::F32, "dbias", &[outputs]));
        self.outputs.push(dweight);
        self.outputs.extend(dbias);
        self.push(rows, LinearBackwardWeight { dy, x, dweight, dbias, sizes });
    }

    fn check(self, name: &str, step: Step) {
        let half = self.outputs.iter().any(|&t| self.program.dtype(t) == DType::F16);
        let mut case = Case::new(name, self.program).step(step);
        for tensor in self.inputs {
            case = case.noise(tensor);
        }
        for tensor in self.outputs {
            case = case.output(tensor);
        }
        case.tolerance(if half { F16 } else { sums_of(self.depth) }).check();
    }
}

fn plain(_: &mut Layers, _: [usize; 2]) -> Epilogue {
    Epilogue::None
}

fn activation(kind: Pointwise) -> impl Fn(&mut Layers, [usize; 2]) -> Epilogue {
    move |_, _| Epilogue::Activation { kind, slope: None }
}

fn activation_with_slope(kind: Pointwise) -> impl Fn(&mut Layers, [usize; 2]) -> Epilogue {
    move |layers, shape| {
        let slope = layers.output(layers.types.other, "slope", &shape);
        Epilogue::Activation { kind, slope: Some(slope) }
    }
}

fn residual(p: f32) -> impl Fn(&mut Layers, [usize; 2]) -> Epilogue {
    move |layers, shape| {
        let residual = layers.input(layers.types.other, "residual", &shape);
        Epilogue::Residual { residual, dropout: DropoutSite { p, site: Site::block_dropout(2, 1), first: 129 } }
    }
}

fn train() -> Step {
    Step { mode: Mode::Train, seed: 1 << 40 | 7, counter: 5, ..Step::default() }
}

/// Every layout made of this tile, plain and with all that needs the tile's threads.
fn check_tile(tile: Tile) {
    let mut forward = Layers::new(Some(Choice { tile, splits: 1 }), Types::default());
    let mut backward = Layers::new(Some(Choice { tile, splits: 1 }), Types::default());
    for sizes in SIZES {
        forward.forward(sizes, true, residual(0.2));
        backward.backward_input(sizes, true);
        backward.backward_weight(sizes, true);
    }
    forward.check(&format!("forward {tile:?}"), train());
    backward.check(&format!("backward {tile:?}"), Step::default());
}

#[test]
fn tiles_of_32_by_32_by_4() {
    check_tile(Tile::T32x32By4);
}

#[test]
fn tiles_of_64_by_64_by_4() {
    check_tile(Tile::T64x64By4);
}

#[test]
fn tiles_of_64_by_64_by_8() {
    check_tile(Tile::T64x64By8);
}

#[test]
fn tiles_of_128_by_64_by_8() {
    check_tile(Tile::T128x64By8);
}

#[test]
fn tiles_of_128_by_128_by_8() {
    check_tile(Tile::T128x128By8);
}

#[test]
fn activations_and_their_slopes() {
    for kind in [Pointwise::Relu, Pointwise::Gelu, Pointwise::GeluNew] {
        let mut layers = Layers::new(None, Types::default());
        for (rows, outputs) in [(33, 36), (5, 65)] {
            let sizes = Sizes { rows, outputs, inputs: 12 };
            layers.forward(sizes, true, activation(kind));
            layers.forward(sizes, false, activation_with_slope(kind));
        }
        layers.check(&format!("{kind:?}"), Step::default());
    }
}

#[test]
fn activations_far_from_zero_stay_finite() {
    for kind in [Pointwise::Relu, Pointwise::Gelu, Pointwise::GeluNew] {
        let n = 256;
        let mut p = Program::new(vec![], Training::No);
        let (x, weight) = (p.tensor("x", &[1, 1]), p.tensor("weight", &[n, 1]));
        let (y, slope) = (p.tensor("y", &[1, n]), p.tensor("slope", &[1, n]));
        let epilogue = Epilogue::Activation { kind, slope: Some(slope) };
        let sizes = Sizes { rows: 1, outputs: n, inputs: 1 };
        p.push(Pass::Forward, Linear { x, weight, bias: None, y, epilogue, sizes });
        let values = (0..n).map(|i| i as f32 - 127.5).collect();
        let case = Case::new(format!("{kind:?} of large numbers"), p).input(x, vec![1.0]).input(weight, values);
        case.output(y).output(slope).check();
    }
}

#[test]
fn dropout_is_off_when_evaluating_and_absent_at_zero() {
    for (p, step) in [(0.2, Step::default()), (0.0, train())] {
        let mut layers = Layers::new(None, Types::default());
        layers.forward(Sizes { rows: 9, outputs: 20, inputs: 4 }, false, residual(p));
        layers.check(&format!("residual with dropout {p} in {:?}", step.mode), step);
    }
}

#[test]
fn tensors_may_be_float16() {
    use DType::{F16, F32};
    // The second is a branch's end in mixed precision, from activations into the residual stream.
    let mixes = [(F16, F16, F16, F16), (F16, F16, F32, F32), (F16, F32, F32, F16), (F32, F16, F32, F32)];
    for (x, weight, y, other) in mixes {
        let mut layers = Layers::new(None, Types { x, weight, y, other });
        for (rows, outputs) in [(34, 36), (7, 9)] {
            let sizes = Sizes { rows, outputs, inputs: 19 };
            layers.forward(sizes, true, residual(0.2));
            layers.forward(sizes, true, activation_with_slope(Pointwise::GeluNew));
            layers.backward_input(sizes, true);
            layers.backward_weight(sizes, true);
        }
        layers.check(&format!("x {x:?}, weight {weight:?}, y {y:?}"), train());
    }
}

#[test]
fn the_depth_of_a_weight_gradient_may_be_split() {
    for dbias in [false, true] {
        for (splits, rows) in [(2, 33), (4, 257), (16, 500)] {
            for (tile, outputs, inputs) in [(Tile::T32x32By4, 37, 8), (Tile::T64x64By8, 20, 67)] {
                let mut layers = Layers::new(Some(Choice { tile, splits }), Types::default());
                layers.backward_weight(Sizes { rows, outputs, inputs }, dbias);
                layers.check(&format!("dW, {rows} rows in {splits} parts, {tile:?}, dbias {dbias}"), Step::default());
            }
        }
    }
}

#[test]
fn more_rows_than_a_grid_has_workgroups() {
    // 65,538 workgroups in the second: the grid is folded.
    for (tile, rows) in [(Tile::T64x64By8, 70_000), (Tile::T32x32By4, 65_538 * 32 - 5)] {
        let mut layers = Layers::new(Some(Choice { tile, splits: 1 }), Types::default());
        layers.forward(Sizes { rows, outputs: 1, inputs: 1 }, true, plain);
        layers.check(&format!("forward, {rows} rows"), Step::default());
    }
    let mut layers = Layers::new(None, Types::default());
    layers.backward_input(Sizes { rows: 70_000, outputs: 1, inputs: 2 }, false);
    layers.backward_weight(Sizes { rows: 70_000, outputs: 2, inputs: 3 }, true);
    layers.check("backward, 70,000 rows", Step::default());
}
