//! A frozen matrix with its adapter as a module: see [`crate::lora`].

use crate::ops::linear::{Epilogue, Linear, LinearBackwardInput, LinearBackwardWeight, Sizes};
use crate::ops::lora::{EffectiveWeight, Scale};
use crate::program::{LowRank, PackedMatrix, Pass, Program, Tensor};

impl PackedMatrix {
    /// Records the effective weight, `[N, K]`: valid up to the next one.
    pub(super) fn unpack(&self, p: &mut Program, pass: Pass) -> Tensor {
        let out = p.unpacked([self.rows, self.inputs]);
        p.push(pass, EffectiveWeight { matrix: *self, out });
        out
    }

    /// Records the gradients of A and B from the layer's input `x` and the gradient `dy` of its output. `X Aᵀ` is computed here, from the
    /// input that the backward pass has anyway: the forward pass has no use for it.
    pub(super) fn backward(&self, p: &mut Program, dy: Tensor, x: Tensor) {
        let Some(LowRank { a, b, rank, scale }) = self.adapter else { return };
        let (Some(da), Some(db)) = (a.grad, b.grad) else { return };
        let (rows, _) = p.matrix(x);
        let narrow = p.shared("lora.narrow", &[rows, rank]);
        let pass = Pass::Backward;
        let down = Sizes { rows, outputs: rank, inputs: self.inputs };
        let up = Sizes { rows, outputs: self.rows, inputs: rank };
        let factor = scale;
        p.push(pass, Linear { x, weight: a.operand, bias: None, y: narrow, epilogue: Epilogue::None, sizes: down });
        p.push(pass, Scale { x: narrow, factor });
        p.push(pass, LinearBackwardWeight { dy, x: narrow, dweight: db, dbias: None, sizes: up });
        p.push(pass, LinearBackwardInput { dy, weight: b.operand, dx: narrow, slope: None, sizes: up });
        p.push(pass, Scale { x: narrow, factor });
        p.push(pass, LinearBackwardWeight { dy: narrow, x, dweight: da, dbias: None, sizes: down });
    }
}
