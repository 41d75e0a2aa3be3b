//! Linear layer, `W` stored `[N, K]` as in PyTorch's `nn.Linear`, and what is fused onto it:
//!
//! ```text
//! forward          Y = X Wᵀ + b                          then  f(Y)  or  residual + dropout(Y)
//! backward input   dX = dY W                             then  dX ∘ f'(pre)
//! backward weight  dW += dYᵀ X,   db += Σ_rows dY
//! ```

use std::ops::Range;

use crate::config::Activation;
use crate::cpu::gemm::{Beta, Mat, gemm, gemm_with_row_sums};
use crate::memory::Memory;
use crate::ops::activation::{activate, activate_with_slope};
use crate::ops::dropout::{DropoutSite, drop_slice};
use crate::ops::elementwise::{add, add_to_rows, multiply};
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
    /// `y = f(pre)`. Where there is a backward pass, `f'(pre)` is kept for it: both need the same exponential, and nothing needs
    /// `pre` again.
    Activation {
        /// `f`.
        kind: Activation,
        /// `f'(pre)`, `[M, N]`, assigned.
        slope: Option<Tensor>,
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
            Epilogue::None => gemm(&mem.pool, a, b, Beta::Assign, [(&mut y, n)], |_, [y]| add_bias(bias, y)),
            Epilogue::Activation { kind, slope: Some(slope) } => {
                let mut slope = mem.write(slope);
                gemm(&mem.pool, a, b, Beta::Assign, [(&mut y, n), (&mut slope, n)], |_, [y, slope]| {
                    add_bias(bias, y);
                    activate_with_slope(kind, y, slope);
                });
            }
            Epilogue::Activation { kind, slope: None } => {
                gemm(&mem.pool, a, b, Beta::Assign, [(&mut y, n)], |_, [y]| {
                    add_bias(bias, y);
                    activate(kind, y);
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
        add_to_rows(y, bias);
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
    /// `f'(pre)` of the activation that made X.
    pub slope: Option<Tensor>,
    /// Sizes of the layer.
    pub sizes: Sizes,
}

impl Op for LinearBackwardInput {
    fn name(&self) -> &'static str {
        if self.slope.is_some() { "linear backward dX + activation" } else { "linear backward dX" }
    }

    fn flops(&self) -> u64 {
        self.sizes.flops()
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let Sizes { rows: m, outputs: n, inputs: k } = self.sizes;
        let (dy, weight) = (mem.read(self.dy), mem.read(self.weight));
        let slope = self.slope.map(|slope| mem.read(slope));
        let slope = slope.as_deref();
        let (a, b) = (Mat::new(&dy, m, n), Mat::new(&weight, n, k));
        gemm(&mem.pool, a, b, Beta::Assign, [(&mut mem.write(self.dx), k)], |rows, [dx]| {
            if let Some(slope) = slope {
                multiply(dx, &slope[rows.start * k..rows.end * k]);
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
        match self.dbias {
            Some(dbias) => gemm_with_row_sums(&mem.pool, a, b, &mut dweight, &mut mem.write(dbias)),
            None => gemm(&mem.pool, a, b, Beta::Accumulate, [(&mut dweight, k)], |_, _| {}),
        }
    }
}
