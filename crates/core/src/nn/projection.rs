//! Linear layer as a module.

use crate::ops::linear::{Epilogue, Linear, LinearBackwardInput, LinearBackwardWeight, Sizes};
use crate::ops::matvec::{Matvec, StoredWeight};
use crate::ops::quantize::{Format, Quantize, ToHalf};
use crate::program::{DType, Parameter, Pass, Precision, Program, Tensor};

/// `y = x Wᵀ + b`, `W` `[N, K]`.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Projection {
    /// The layer whose parameters are `{name}.weight` and, if it has one, `{name}.bias`.
    pub fn new(p: &Program, name: &str, has_bias: bool) -> Self {
        let bias = has_bias.then(|| p.parameter(&format!("{name}.bias")));
        Self { weight: p.parameter(&format!("{name}.weight")), bias }
    }

    /// A layer on given parameters: a tied head shares the token table.
    pub fn with(weight: Parameter, bias: Option<Parameter>) -> Self {
        Self { weight, bias }
    }

    /// `N`.
    pub fn outputs(&self, p: &Program) -> usize {
        p.matrix(self.weight.value).0
    }

    fn sizes(&self, p: &Program, op: &str, x: Tensor, y: Tensor) -> Sizes {
        let (outputs, inputs) = p.matrix(self.weight.value);
        let (rows, _) = p.matrix(x);
        p.expect(op, x, &[rows, inputs]);
        p.expect(op, y, &[rows, outputs]);
        Sizes { rows, outputs, inputs }
    }

    /// A tensor `name` of `x`'s rows, which may be one that there is: an activation, or the residual stream, which float32 alone sums up
    /// well.
    pub fn forward(&self, p: &mut Program, pass: Pass, name: &str, x: Tensor, epilogue: Epilogue) -> Tensor {
        let dtype = match epilogue {
            Epilogue::Residual { .. } => DType::F32,
            Epilogue::None | Epilogue::Activation { .. } => p.activations(),
        };
        let (rows, _) = p.matrix(x);
        let y = p.shared_of(dtype, name, &[rows, self.outputs(p)]);
        let op = self.op(p, x, y, epilogue);
        p.push(pass, op);
        y
    }

    /// The op of [`Self::forward`] into a given tensor.
    pub fn op(&self, p: &Program, x: Tensor, y: Tensor, epilogue: Epilogue) -> Linear {
        let sizes = self.sizes(p, "linear", x, y);
        Linear { x, weight: self.weight.operand, bias: self.bias.map(|b| b.value), y, epilogue, sizes }
    }

    /// [`Self::forward`] on one token, for generation; `name` may be a tensor that there is, for passes that write the same one.
    pub fn decode(
        &self,
        p: &mut Program,
        pass: Pass,
        name: &str,
        x: Tensor,
        epilogue: Epilogue,
        precision: Precision,
    ) -> Tensor {
        let y = p.shared(name, &[1, self.outputs(p)]);
        let Sizes { outputs, inputs, .. } = self.sizes(p, "matrix-vector", x, y);
        let weight = match precision {
            Precision::Full => StoredWeight::Full(self.weight.value),
            Precision::Half => StoredWeight::Half(self.half(p)),
            Precision::Q8 => self.quantized(p, Format::Q8),
            Precision::Q4 => self.quantized(p, Format::Q4),
        };
        let bias = self.bias.map(|b| b.value);
        p.push(pass, Matvec { x, weight, bias, y, epilogue, weights: outputs * inputs });
        y
    }

    /// The weight as float16, made once however often it is used.
    fn half(&self, p: &mut Program) -> Tensor {
        let weight = self.weight.value;
        let name = format!("{}.f16", p.name(weight));
        p.find(&name).unwrap_or_else(|| {
            let half = p.tensor(&name, &[p.shape(weight).iter().product::<usize>().div_ceil(2)]);
            p.push(Pass::Load, ToHalf { weight, half });
            half
        })
    }

    /// The weight as codes and scales, made once however often it is used.
    fn quantized(&self, p: &mut Program, format: Format) -> StoredWeight {
        let weight = self.weight.value;
        let (rows, inputs) = p.matrix(weight);
        let [codes_name, scales_name] =
            ["codes", "scales"].map(|of| format!("{}.{}.{of}", p.name(weight), format.name()));
        if let Some((codes, scales)) = p.find(&codes_name).zip(p.find(&scales_name)) {
            return StoredWeight::Quantized { format, codes, scales };
        }
        let codes = p.tensor(&codes_name, &[rows, format.row_bytes(inputs) / 4]);
        let scales = p.tensor(&scales_name, &[rows, format.row_scales(inputs)]);
        p.push(Pass::Load, Quantize { format, weight, codes, scales, rows, inputs });
        StoredWeight::Quantized { format, codes, scales }
    }

    /// Parameter gradients from `dy`, and `dx`; with the slope of the activation that made `x`, the gradient of that activation's input.
    pub fn backward(&self, p: &mut Program, dy: Tensor, x: Tensor, dx: Tensor, slope: Option<Tensor>) {
        let sizes = self.sizes(p, "linear backward", x, dy);
        p.expect("linear backward", dx, &[sizes.rows, sizes.inputs]);
        p.push(
            Pass::Backward,
            LinearBackwardWeight { dy, x, dweight: self.weight.grad, dbias: self.bias.map(|b| b.grad), sizes },
        );
        p.push(Pass::Backward, LinearBackwardInput { dy, weight: self.weight.operand, dx, slope, sizes });
    }
}
