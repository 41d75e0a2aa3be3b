//! Linear layer, `W` stored `[N, K]` as in PyTorch's `nn.Linear`, and what is fused onto it:
//!
//! ```text
//! forward          Y = X Wᵀ + b                          then  f(Y)  or  residual + dropout(Y)
//! backward input   dX = dY W                             then  dX · f'(pre)
//! backward weight  dW += dYᵀ X,   db += Σ_rows dY
//! ```

use std::ops::Range;

use crate::config::Activation;
use crate::cpu::gemm::{Beta, Mat, gemm, matvec};
use crate::memory::Memory;
use crate::ops::activation::{activate, activate_backward};
use crate::ops::dropout::{DropoutSite, drop_slice};
use crate::ops::embedding::add;
use crate::program::{Op, Tensor};
use crate::rng::Dropout;
use crate::step::Step;

/// Sizes of a linear layer: `rows` tokens, from `inputs` to `outputs` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `M`.
    pub rows: usize,
    /// `N`.
    pub outputs: usize,
    /// `K`.
    pub inputs: usize,
}

impl Sizes {
    fn flops(self) -> u64 {
        2 * self.rows as u64 * self.outputs as u64 * self.inputs as u64
    }
}

/// What follows the product and the bias.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// `y = f(pre)`; `pre` is kept for the backward pass where there is one.
    Activation {
        /// `f`.
        kind: Activation,
        /// `[M, N]`, assigned.
        pre: Option<Tensor>,
    },
    /// `y = residual + dropout(product + bias)`.
    Residual {
        /// `[M, N]`.
        residual: Tensor,
        /// Applied to the branch.
        dropout: DropoutSite,
    },
}

/// The forward pass.
#[derive(Debug)]
pub struct Linear {
    /// Input, `[M, K]`.
    pub x: Tensor,
    /// `[N, K]`.
    pub weight: Tensor,
    /// `[N]`.
    pub bias: Option<Tensor>,
    /// Output, `[M, N]`, assigned.
    pub y: Tensor,
    /// What follows.
    pub epilogue: Epilogue,
    /// Sizes.
    pub sizes: Sizes,
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        match self.epilogue {
            Epilogue::None => "linear",
            Epilogue::Activation { .. } => "linear + activation",
            Epilogue::Residual { .. } => "linear + residual",
        }
    }

    fn flops(&self) -> u64 {
        self.sizes.flops()
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let Sizes { rows: m, outputs: n, inputs: k } = self.sizes;
        let (x, weight) = (mem.read(self.x), mem.read(self.weight));
        let bias = self.bias.map(|b| mem.read(b));
        let bias = bias.as_deref();
        let mut y = mem.write(self.y);
        let (a, b) = (Mat::new(&x, m, k), Mat::new(&weight, n, k).t());
        match self.epilogue {
            // One token: no product of matrices, but of a matrix and a vector.
            _ if m == 1 => {
                matvec(&mem.pool, &weight, &x, &mut y);
                add_bias(bias, &mut y);
                match self.epilogue {
                    Epilogue::None => {}
                    Epilogue::Activation { kind, .. } => {
                        let pre = y.to_vec();
                        activate(kind, &pre, &mut y);
                    }
                    Epilogue::Residual { residual, .. } => add(&mut y, &mem.read(residual)),
                }
            }
            Epilogue::None => gemm(&mem.pool, a, b, Beta::Assign, [(&mut y, n)], |_, [y]| add_bias(bias, y)),
            Epilogue::Activation { kind, pre: Some(pre) } => {
                let mut pre = mem.write(pre);
                gemm(&mem.pool, a, b, Beta::Assign, [(&mut pre, n), (&mut y, n)], |_, [pre, y]| {
                    add_bias(bias, pre);
                    activate(kind, pre, y);
                });
            }
            Epilogue::Activation { kind, pre: None } => {
                gemm(&mem.pool, a, b, Beta::Assign, [(&mut y, n)], |_, [y]| {
                    add_bias(bias, y);
                    let pre = y.to_vec();
                    activate(kind, &pre, y);
                });
            }
            Epilogue::Residual { residual, dropout } => {
                let residual = mem.read(residual);
                let (residual, mask) = (&*residual, dropout.mask(step));
                gemm(&mem.pool, a, b, Beta::Assign, [(&mut y, n)], |rows, [y]| {
                    add_bias(bias, y);
                    add_residual(residual, mask, n, rows, y);
                });
            }
        }
    }
}

/// `y[m] += bias`.
fn add_bias(bias: Option<&[f32]>, y: &mut [f32]) {
    if let Some(bias) = bias {
        y.chunks_exact_mut(bias.len()).for_each(|y| add(y, bias));
    }
}

fn add_residual(residual: &[f32], mask: Option<Dropout>, n: usize, rows: Range<usize>, y: &mut [f32]) {
    if let Some(mask) = mask {
        drop_slice(mask, (rows.start * n) as u32, y);
    }
    add(y, &residual[rows.start * n..rows.end * n]);
}

/// `dX = dY W`, times `f'(pre)` where X was an activation's output: then `dX` is the gradient of `pre`.
#[derive(Debug)]
pub struct LinearBackwardInput {
    /// `[M, N]`.
    pub dy: Tensor,
    /// `[N, K]`.
    pub weight: Tensor,
    /// `[M, K]`, assigned.
    pub dx: Tensor,
    /// The activation that made X, and its input.
    pub activation: Option<(Activation, Tensor)>,
    /// Sizes of the layer.
    pub sizes: Sizes,
}

impl Op for LinearBackwardInput {
    fn name(&self) -> &'static str {
        if self.activation.is_some() { "linear backward dX + activation" } else { "linear backward dX" }
    }

    fn flops(&self) -> u64 {
        self.sizes.flops()
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let Sizes { rows: m, outputs: n, inputs: k } = self.sizes;
        let (dy, weight) = (mem.read(self.dy), mem.read(self.weight));
        let pre = self.activation.map(|(kind, pre)| (kind, mem.read(pre)));
        let pre = pre.as_ref().map(|(kind, pre)| (*kind, &**pre));
        let (a, b) = (Mat::new(&dy, m, n), Mat::new(&weight, n, k));
        gemm(&mem.pool, a, b, Beta::Assign, [(&mut mem.write(self.dx), k)], |rows, [dx]| {
            if let Some((kind, pre)) = pre {
                activate_backward(kind, &pre[rows.start * k..rows.end * k], dx);
            }
        });
    }
}

/// `dW += dYᵀ X` and `db += Σ_rows dY`.
#[derive(Debug)]
pub struct LinearBackwardWeight {
    /// `[M, N]`.
    pub dy: Tensor,
    /// `[M, K]`.
    pub x: Tensor,
    /// `[N, K]`, accumulated.
    pub dweight: Tensor,
    /// `[N]`, accumulated.
    pub dbias: Option<Tensor>,
    /// Sizes of the layer.
    pub sizes: Sizes,
}

impl Op for LinearBackwardWeight {
    fn name(&self) -> &'static str {
        "linear backward dW"
    }

    fn flops(&self) -> u64 {
        self.sizes.flops()
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let Sizes { rows: m, outputs: n, inputs: k } = self.sizes;
        let (dy, x) = (mem.read(self.dy), mem.read(self.x));
        let (a, b) = (Mat::new(&dy, m, n).t(), Mat::new(&x, m, k));
        let mut dweight = mem.write(self.dweight);
        let Some(dbias) = self.dbias else {
            gemm(&mem.pool, a, b, Beta::Accumulate, [(&mut dweight, k)], |_, _| {});
            return;
        };
        let (dy, mut dbias) = (&*dy, mem.write(dbias));
        // Each task owns rows of dW, which are columns of dY: the bias's share is the sum of those columns.
        gemm(&mem.pool, a, b, Beta::Accumulate, [(&mut dweight, k), (&mut dbias, 1)], |rows, [_, dbias]| {
            for dy in dy.chunks_exact(n) {
                add(dbias, &dy[rows.clone()]);
            }
        });
    }
}
