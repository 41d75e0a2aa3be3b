//! Layer normalisation as a module.

use crate::cpu::gemm::Beta;
use crate::ops::layernorm::{LayerNorm, LayerNormBackward, ROWS_PER_PARTIAL};
use crate::program::{Parameter, Pass, Program, Tensor};

/// Gain and bias of a norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    weight: Parameter,
    bias: Parameter,
    epsilon: f32,
}

/// What the backward pass needs.
#[derive(Clone, Copy, Debug)]
pub struct NormSaved {
    x: Tensor,
    stats: Tensor,
    /// The output.
    pub y: Tensor,
}

impl Norm {
    /// The norm whose parameters are `{name}.weight` and `{name}.bias`.
    pub fn new(p: &Program, name: &str, epsilon: f32) -> Self {
        Self { weight: p.parameter(&format!("{name}.weight")), bias: p.parameter(&format!("{name}.bias")), epsilon }
    }

    /// `y = norm(x)`, both `[M, C]`.
    pub fn forward(&self, p: &mut Program, pass: Pass, name: &str, x: Tensor) -> NormSaved {
        let (rows, channels) = p.matrix(x);
        p.expect("layernorm", self.weight.value, &[channels]);
        let y = p.activation(name, &[rows, channels]);
        let stats = p.tensor(&format!("{name}.stats"), &[rows, 2]);
        p.push(
            pass,
            LayerNorm { x, weight: self.weight.value, bias: self.bias.value, y, stats, epsilon: self.epsilon },
        );
        NormSaved { x, stats, y }
    }

    /// Adds to (or starts) the residual stream's gradient `dx`.
    pub fn backward(&self, p: &mut Program, saved: &NormSaved, dy: Tensor, dx: Tensor, beta: Beta) {
        let (rows, channels) = p.matrix(saved.x);
        p.expect("layernorm backward", dy, &[rows, channels]);
        p.expect("layernorm backward", dx, &[rows, channels]);
        let partials = p.shared("layernorm.partials", &[rows.div_ceil(ROWS_PER_PARTIAL), 2, channels]);
        p.push(
            Pass::Backward,
            LayerNormBackward {
                dy,
                x: saved.x,
                stats: saved.stats,
                weight: self.weight.value,
                dx,
                beta,
                dweight: self.weight.grad,
                dbias: self.bias.grad,
                partials,
            },
        );
    }
}
