//! Normalisation as a module: layer norm or RMS norm.

use crate::config::{ModelConfig, Normalization};
use crate::cpu::gemm::Beta;
use crate::ops::layernorm::{LayerNorm, LayerNormBackward};
use crate::ops::norm::ROWS_PER_PARTIAL;
use crate::ops::rmsnorm::{RmsNorm, RmsNormBackward};
use crate::program::{Parameter, Pass, Program, Tensor};

/// Gain and bias of a norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    kind: Normalization,
    weight: Parameter,
    bias: Option<Parameter>,
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
    /// The norm whose parameters are `{name}.weight` and, if the model has biases, `{name}.bias`.
    pub fn new(p: &Program, config: &ModelConfig, name: &str) -> Self {
        let has_bias = config.bias && config.normalization == Normalization::LayerNorm;
        Self {
            kind: config.normalization,
            weight: p.parameter(&format!("{name}.weight")),
            bias: has_bias.then(|| p.parameter(&format!("{name}.bias"))),
            epsilon: config.layer_norm_epsilon,
        }
    }

    /// `y = norm(x)`, both `[M, C]`; `name` may be a tensor that there is.
    pub fn forward(&self, p: &mut Program, pass: Pass, name: &str, x: Tensor) -> NormSaved {
        let (rows, channels) = p.matrix(x);
        let Self { weight, bias, epsilon, .. } = *self;
        let (weight, bias) = (weight.value, bias.map(|bias| bias.value));
        p.expect("norm", weight, &[channels]);
        let y = p.shared_activation(name, &[rows, channels]);
        let stats_name = format!("{name}.stats");
        let stats = match self.kind {
            Normalization::LayerNorm => {
                let stats = p.shared(&stats_name, &[rows, 2]);
                p.push(pass, LayerNorm { x, weight, bias, y, stats, epsilon });
                stats
            }
            Normalization::RmsNorm => {
                let stats = p.shared(&stats_name, &[rows]);
                p.push(pass, RmsNorm { x, weight, y, stats, epsilon });
                stats
            }
        };
        NormSaved { x, stats, y }
    }

    /// Adds to (or starts) the residual stream's gradient `dx`.
    pub fn backward(&self, p: &mut Program, saved: &NormSaved, dy: Tensor, dx: Tensor, beta: Beta) {
        let (rows, channels) = p.matrix(saved.x);
        p.expect("norm backward", dy, &[rows, channels]);
        p.expect("norm backward", dx, &[rows, channels]);
        let NormSaved { x, stats, .. } = *saved;
        let (weight, dweight) = (self.weight.value, self.weight.grad);
        let dbias = self.bias.and_then(|bias| bias.grad);
        let sums = if self.bias.is_some() { 2 } else { 1 };
        let partials = p.shared("norm.partials", &[rows.div_ceil(ROWS_PER_PARTIAL), sums, channels]);
        match self.kind {
            Normalization::LayerNorm => {
                p.push(Pass::Backward, LayerNormBackward { dy, x, stats, weight, dx, beta, dweight, dbias, partials });
            }
            Normalization::RmsNorm => {
                p.push(Pass::Backward, RmsNormBackward { dy, x, stats, weight, dx, beta, dweight, partials });
            }
        }
    }
}
