//! The MLP of a block: `c_proj(f(c_fc(x)))`, position by position.

use super::projection::Projection;
use crate::config::{Activation, ModelConfig};
use crate::ops::activation::Pointwise;
use crate::ops::linear::Epilogue;
use crate::ops::swiglu::{Swiglu, SwigluBackward};
use crate::program::{Pass, Precision, Program, Tensor, Training};

/// Both matrices and what is between them.
#[derive(Clone, Copy, Debug)]
pub struct Mlp {
    c_fc: Projection,
    c_proj: Projection,
    between: Between,
}

/// What is between the matrices.
#[derive(Clone, Copy, Debug)]
enum Between {
    Pointwise(Pointwise),
    /// `c_fc` makes gate and up side by side.
    Swiglu,
}

/// What the backward pass needs.
#[derive(Clone, Copy, Debug)]
pub struct MlpSaved {
    x: Tensor,
    /// `[M, F]`.
    hidden: Tensor,
    /// `f'` of a pointwise activation, `[M, F]`, where there is a backward pass; of a gated one its input, `[M, 2F]`.
    kept: Option<Tensor>,
}

impl Mlp {
    /// The MLP of the block `name`.
    pub fn new(p: &Program, config: &ModelConfig, name: &str) -> Self {
        let projection = |which| Projection::new(p, &format!("{name}.mlp.{which}"), config.bias);
        let between = match config.activation_function {
            Activation::Relu => Between::Pointwise(Pointwise::Relu),
            Activation::Gelu => Between::Pointwise(Pointwise::Gelu),
            Activation::GeluNew => Between::Pointwise(Pointwise::GeluNew),
            Activation::Swiglu => Between::Swiglu,
        };
        Self { c_fc: projection("c_fc"), c_proj: projection("c_proj"), between }
    }

    /// Records everything but the last matrix, whose output the backward pass does not need.
    pub fn hidden(&self, p: &mut Program, pass: Pass, name: &str, x: Tensor) -> MlpSaved {
        let (rows, _) = p.matrix(x);
        let hidden = format!("{name}.mlp.hidden");
        let (hidden, kept) = match self.between {
            Between::Pointwise(kind) => {
                let shape = [rows, self.c_fc.outputs(p)];
                let trains = p.training() != Training::No;
                let slope = trains.then(|| p.shared_activation(&format!("{name}.mlp.slope"), &shape));
                (self.c_fc.forward(p, pass, &hidden, x, Epilogue::Activation { kind, slope }), slope)
            }
            Between::Swiglu => {
                let pre = self.c_fc.forward(p, pass, &format!("{name}.mlp.pre"), x, Epilogue::None);
                let width = self.c_fc.outputs(p) / 2;
                let hidden = p.shared_activation(&hidden, &[rows, width]);
                p.push(pass, Swiglu { pre, hidden, width });
                (hidden, Some(pre))
            }
        };
        MlpSaved { x, hidden, kept }
    }

    /// Records the last matrix into a tensor `name`.
    pub fn project(&self, p: &mut Program, pass: Pass, name: &str, saved: &MlpSaved, epilogue: Epilogue) -> Tensor {
        self.c_proj.forward(p, pass, name, saved.hidden, epilogue)
    }

    /// Assigns the gradient of the input to `dx`, from that of the output.
    pub fn backward(&self, p: &mut Program, saved: &MlpSaved, dy: Tensor, dx: Tensor) {
        let (rows, width) = p.matrix(saved.hidden);
        let dpre = p.shared_activation("d.mlp.pre", &[rows, self.c_fc.outputs(p)]);
        match self.between {
            Between::Pointwise(_) => self.c_proj.backward(p, dy, saved.hidden, dpre, saved.kept),
            Between::Swiglu => {
                let dhidden = p.shared_activation("d.mlp.hidden", &[rows, width]);
                self.c_proj.backward(p, dy, saved.hidden, dhidden, None);
                let pre = saved.kept.expect("a gated unit keeps its input");
                p.push(Pass::Backward, SwigluBackward { dhidden, pre, dpre, width });
            }
        }
        self.c_fc.backward(p, dpre, saved.x, dx, None);
    }

    /// Records both matrices for one token, into a tensor `out`.
    pub fn decode(
        &self,
        p: &mut Program,
        name: &str,
        out: &str,
        x: Tensor,
        epilogue: Epilogue,
        precision: Precision,
    ) -> Tensor {
        let pass = Pass::Decode;
        let hidden = format!("{name}.mlp.hidden");
        let hidden = match self.between {
            Between::Pointwise(kind) => {
                self.c_fc.decode(p, pass, &hidden, x, Epilogue::Activation { kind, slope: None }, precision)
            }
            Between::Swiglu => {
                let pre = self.c_fc.decode(p, pass, &format!("{name}.mlp.pre"), x, Epilogue::None, precision);
                let width = self.c_fc.outputs(p) / 2;
                let hidden = p.shared(&hidden, &[1, width]);
                p.push(pass, Swiglu { pre, hidden, width });
                hidden
            }
        };
        self.c_proj.decode(p, pass, out, hidden, epilogue, precision)
    }
}
