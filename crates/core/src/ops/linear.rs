//! Linear layer, `W` stored `[N, K]` as in PyTorch's `nn.Linear`, and what is fused onto it:
//!
//! ```text
//! forward          Y = X Wᵀ + b                          then  f(Y)  or  residual + dropout(Y)
//! backward input   dX = dY W                             then  dX ∘ f'(pre)
//! backward weight  dW += dYᵀ X,   db += Σ_rows dY
//! ```

use std::ops::Range;

use crate::cpu::gemm::{Beta, Mat, gemm, gemm_with_row_sums};
use crate::gpu::dispatch::Source;
use crate::gpu::product::{Layout, Product};
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::activation::{Pointwise, activate, activate_with_slope};
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
        kind: Pointwise,
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

impl Epilogue {
    /// The parts that a shader may have to do without, as the constants and bindings that all share.
    pub(crate) fn bind(self, dispatch: Dispatch) -> Dispatch {
        let kind = match self {
            Self::Activation { kind, .. } => match kind {
                // The numbers of common.wgsl.
                Pointwise::Relu => 1,
                Pointwise::Gelu => 2,
                Pointwise::GeluNew => 3,
            },
            _ => 0,
        };
        let residual = if let Self::Residual { residual, .. } = self { Some(residual) } else { None };
        dispatch.constant("ACTIVATION", kind).constant("HAS_RESIDUAL", residual.is_some()).bind("residual", residual)
    }
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

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let product = product(kernels, Layout::Forward, self.sizes, [self.x, self.weight, self.y]);
        let (mut dispatch, _) = product.dispatch(kernels.choose(&product));
        let (mut kept, mut dropout) = (None, DropoutSite::NONE);
        match self.epilogue {
            Epilogue::None => {}
            Epilogue::Activation { slope, .. } => kept = slope,
            Epilogue::Residual { dropout: of_branch, .. } => dropout = of_branch,
        }
        dispatch = dropout
            .params(dispatch)
            .bind("a", self.x)
            .bind("b", self.weight)
            .bind("bias", self.bias)
            .constant("HAS_BIAS", self.bias.is_some())
            .constant("KEEPS_SLOPE", kept.is_some())
            .constant("DROPS", dropout.p > 0.0);
        dispatch = product.assign_output(dispatch, ["c", "c_scalars"], self.y);
        dispatch = product.assign_output(dispatch, ["slope", "slope_scalars"], kept);
        kernels.push(self.epilogue.bind(dispatch));
    }
}

/// The product of a layer of these sizes, with the tensors' element types.
fn product(kernels: &Kernels<'_>, layout: Layout, sizes: Sizes, tensors: [Tensor; 3]) -> Product {
    Product { layout, sizes, types: tensors.map(|tensor| kernels.dtype(tensor)) }
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

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let product = product(kernels, Layout::BackwardInput, self.sizes, [self.dy, self.weight, self.dx]);
        let (dispatch, _) = product.dispatch(kernels.choose(&product));
        let dispatch = dispatch
            .bind("a", self.dy)
            .bind("b", self.weight)
            .bind("factor", self.slope)
            .constant("HAS_FACTOR", self.slope.is_some());
        kernels.push(product.assign_output(dispatch, ["c", "c_scalars"], self.dx));
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
    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Sizes { outputs: n, inputs: k, .. } = self.sizes;
        let product = product(kernels, Layout::BackwardWeight, self.sizes, [self.dy, self.x, self.dweight]);
        let (dispatch, splits) = product.dispatch(kernels.choose(&product));
        let dispatch = dispatch.bind("a", self.dy).bind("b", self.x).constant("SUMS_ROWS", self.dbias.is_some());
        if splits == 1 {
            let dispatch = dispatch.constant("ACCUMULATES", true).bind("dbias", self.dbias);
            kernels.push(product.bind_output(dispatch, ["c", "c_scalars"], self.dweight));
            return;
        }
        let partial = kernels.scratch(splits * n * k);
        let partial_dbias = if self.dbias.is_some() { kernels.scratch(splits * n) } else { Source::Nothing };
        let dispatch = dispatch.constant("ACCUMULATES", false).assign("dbias", partial_dbias);
        kernels.push(product.assign_output(dispatch, ["c", "c_scalars"], partial));
        let reduce = Dispatch::new(shader::LINEAR, "reduce")
            .bind("partial", partial)
            .bind("partial_dbias", partial_dbias)
            .bind("c_scalars", self.dweight)
            .bind("dbias", self.dbias)
            .constant("SUMS_ROWS", self.dbias.is_some())
            .param("rows", n)
            .param("cols", k)
            .param("splits", splits)
            .linear((n * k + n).div_ceil(shader::LINEAR.constant("REDUCE_WORKGROUP")));
        kernels.push(reduce);
    }
}
