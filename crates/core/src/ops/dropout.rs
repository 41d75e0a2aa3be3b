//! Dropout: `y = x · mask / (1 - p)`. The mask is drawn from the counter-based generator, so the backward pass draws the same
//! one again instead of storing it. Source: Srivastava et al. 2014; scaling as in PyTorch.

pub use inkling_kernels::lanes::dropout::drop_slice;

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::rng::{Dropout, Site};
use crate::step::Step;

/// Which dropout: its probability and its stream of random bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutSite {
    /// Probability of dropping an element; 0 pushes no op and costs nothing.
    pub p: f32,
    /// The stream.
    pub site: Site,
    /// Where in it the first element is, modulo 2³²: 0 but where others have the elements before.
    pub first: u32,
}

impl DropoutSite {
    /// Drops nothing.
    pub const NONE: Self = Self { p: 0.0, site: Site(0), first: 0 };

    /// The mask at this step; `None` when nothing is dropped.
    pub fn mask(self, step: &Step) -> Option<Dropout> {
        Some(step.dropout(self.p, self.site)?.from_index(self.first))
    }

    /// The parameters `site`, `first`, `threshold` and `scale` by which a shader draws the same mask.
    pub fn params(self, dispatch: Dispatch) -> Dispatch {
        let (threshold, scale) = Dropout::threshold_and_scale(self.p);
        dispatch
            .param("site", self.site.0)
            .param("first", self.first)
            .param("threshold", threshold)
            .param("scale", scale)
    }
}

/// `dx = dy · mask / (1 - p)` into another tensor: the residual's gradient, which must stay as it is, seen from inside the branch.
#[derive(Debug)]
pub struct DropoutBackward {
    /// Gradient after the dropout, `[M, C]`.
    pub dy: Tensor,
    /// Gradient before it, `[M, C]`, assigned.
    pub dx: Tensor,
    /// Elements per row.
    pub width: usize,
    /// Which dropout.
    pub dropout: DropoutSite,
}

impl Op for DropoutBackward {
    fn name(&self) -> &'static str {
        "dropout backward"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        backward(&mem.pool, &mem.read(self.dy), &mut mem.write(self.dx), self.width, self.dropout.mask(step));
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let quads = kernels.len(self.dx).div_ceil(4);
        let dispatch = Dispatch::new(shader::DROPOUT, "backward").bind("dy", self.dy).assign("dx", self.dx);
        kernels.push(
            self.dropout
                .params(dispatch.param("quads", quads))
                .linear(quads.div_ceil(shader::DROPOUT.constant("WORKGROUP"))),
        );
    }
}

/// See [`DropoutBackward`].
pub fn backward(pool: &Pool, dy: &[f32], dx: &mut [f32], width: usize, dropout: Option<Dropout>) {
    let rows = dx.len() / width;
    pool.rows([(dx, width)], pool.share(rows, 4), |rows, [dx]| {
        dx.copy_from_slice(&dy[rows.start * width..rows.end * width]);
        if let Some(dropout) = dropout {
            drop_slice(dropout, (rows.start * width) as u32, dx);
        }
    });
}
