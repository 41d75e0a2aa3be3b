//! Linear layer as a module.

use crate::ops::linear::{Epilogue, Linear, LinearBackwardInput, LinearBackwardWeight, Sizes};
use crate::ops::matvec::{Matvec, StoredWeight};
use crate::ops::quantize::{Format, Quantize, ToHalf};
use crate::program::{DType, PackedMatrix, Parameter, Pass, Precision, Program, Tensor};

/// `y = x Wᵀ + b`, `W` `[N, K]`.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    weight: Weight,
    bias: Option<Parameter>,
}

/// `W`.
#[derive(Clone, Copy, Debug)]
enum Weight {
    Parameter(Parameter),
    /// Frozen, with what is learnt in its place.
    Packed(PackedMatrix),
}

impl Projection {
    /// The layer whose parameters are `{name}.weight` and, if it has one, `{name}.bias`.
    pub fn new(p: &Program, name: &str, has_bias: bool) -> Self {
        let bias = has_bias.then(|| p.parameter(&format!("{name}.bias")));
        let name = format!("{name}.weight");
        let weight = p.packed(&name).map_or_else(|| Weight::Parameter(p.parameter(&name)), Weight::Packed);
        Self { weight, bias }
    }

    /// A layer on given parameters: a tied head shares the token table.
    pub fn with(weight: Parameter, bias: Option<Parameter>) -> Self {
        Self { weight: Weight::Parameter(weight), bias }
    }

    /// `[N, K]`.
    fn shape(&self, p: &Program) -> (usize, usize) {
        match self.weight {
            Weight::Parameter(weight) => p.matrix(weight.value),
            Weight::Packed(matrix) => (matrix.rows, matrix.inputs),
        }
    }

    /// `N`.
    pub fn outputs(&self, p: &Program) -> usize {
        self.shape(p).0
    }

    /// What the next product reads.
    fn operand(&self, p: &mut Program, pass: Pass) -> Tensor {
        match self.weight {
            Weight::Parameter(weight) => weight.operand,
            Weight::Packed(matrix) => matrix.unpack(p, pass),
        }
    }

    /// The weight of decoding, whose programs have no frozen parameters.
    fn value(&self) -> Tensor {
        match self.weight {
            Weight::Parameter(weight) => weight.value,
            Weight::Packed(_) => panic!("decoding: adapters are merged before"),
        }
    }

    fn sizes(&self, p: &Program, op: &str, x: Tensor, y: Tensor) -> Sizes {
        let (outputs, inputs) = self.shape(p);
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
        let op = self.op(p, pass, x, y, epilogue);
        p.push(pass, op);
        y
    }

    /// The op of [`Self::forward`] into a given tensor, to be pushed next.
    pub fn op(&self, p: &mut Program, pass: Pass, x: Tensor, y: Tensor, epilogue: Epilogue) -> Linear {
        let sizes = self.sizes(p, "linear", x, y);
        Linear { x, weight: self.operand(p, pass), bias: self.bias.map(|b| b.value), y, epilogue, sizes }
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
            Precision::Full => StoredWeight::Full(self.value()),
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
        let weight = self.value();
        let name = format!("{}.f16", p.name(weight));
        p.find(&name).unwrap_or_else(|| {
            let half = p.tensor(&name, &[p.shape(weight).iter().product::<usize>().div_ceil(2)]);
            p.push(Pass::Load, ToHalf { weight, half });
            half
        })
    }

    /// The weight as codes and scales, made once however often it is used.
    fn quantized(&self, p: &mut Program, format: Format) -> StoredWeight {
        let weight = self.value();
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
        match self.weight {
            Weight::Parameter(Parameter { grad: Some(dweight), .. }) => {
                let dbias = self.bias.and_then(|bias| bias.grad);
                p.push(Pass::Backward, LinearBackwardWeight { dy, x, dweight, dbias, sizes });
            }
            Weight::Parameter(_) => {}
            Weight::Packed(matrix) => matrix.backward(p, dy, x),
        }
        let weight = self.operand(p, Pass::Backward);
        p.push(Pass::Backward, LinearBackwardInput { dy, weight, dx, slope, sizes });
    }
}
