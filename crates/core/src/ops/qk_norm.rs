//! Each head's queries and keys normalised on their own (Henry et al. 2020; Qwen 3's `q_norm`, `k_norm`): scores stay bounded however
//! large the weights grow. Values pass unchanged.
//!
//! ```text
//! y = x · rstd · weight over the D channels of a head,     rstd = 1/√(mean(x²) + ε)
//! ```
//!
//! One gain for all query heads and one for all key heads, `[D]` each. The row of a head is that of [`rmsnorm`](super::rmsnorm).

use inkling_kernels::lanes::qk_norm::{Row, backward_rows, forward_rows};

use crate::cpu::Pool;
use crate::cpu::gemm::Beta;
use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::ops::attention::Heads;
use crate::ops::norm::{self, Center, Groups, ROWS_PER_PARTIAL, add_partials};
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The forward pass.
#[derive(Debug)]
pub struct QkNorm {
    /// Queries, keys and values, `[M, (NH + 2 NKV) D]`.
    pub x: Tensor,
    /// Gain of queries, `[D]`.
    pub q_weight: Tensor,
    /// Gain of keys, `[D]`.
    pub k_weight: Tensor,
    /// The same shape as `x`, assigned.
    pub y: Tensor,
    /// rstd of each head's queries and keys, `[M, NH + NKV]`, assigned.
    pub stats: Tensor,
    /// Sizes.
    pub heads: Heads,
    /// ε.
    pub epsilon: f32,
}

fn groups(heads: Heads) -> Groups {
    Groups { queries: heads.heads, keys: heads.kv_heads, values: heads.kv_heads }
}

fn row(heads: Heads) -> Row {
    Row { queries: heads.heads, normed: groups(heads).normed(), width: heads.qkv_channels() }
}

impl Op for QkNorm {
    fn name(&self) -> &'static str {
        "query and key norm"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        forward(
            &mem.pool,
            &mem.read(self.x),
            [&mem.read(self.q_weight), &mem.read(self.k_weight)],
            &mut mem.write(self.y),
            &mut mem.write(self.stats),
            self.heads,
            self.epsilon,
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let &Self { x, q_weight: weight, k_weight, y, stats, heads, epsilon } = self;
        let (center, groups, k_weight) = (Center::Zero, groups(heads), Some(k_weight));
        norm::Forward { center, groups, x, weight, k_weight, bias: None, y, stats, epsilon }.push(kernels);
    }
}

/// See the module; `weights` are the gains of queries and of keys.
pub fn forward(
    pool: &Pool,
    x: &[f32],
    weights: [&[f32]; 2],
    y: &mut [f32],
    stats: &mut [f32],
    heads: Heads,
    epsilon: f32,
) {
    let width = heads.qkv_channels();
    let outputs = [(y, width), (stats, groups(heads).normed())];
    pool.rows(outputs, pool.share(x.len() / width, 4).max(16), |rows, [y, stats]| {
        forward_rows(&x[rows.start * width..rows.end * width], weights, y, stats, row(heads), epsilon);
    });
}

/// The backward pass.
#[derive(Debug)]
pub struct QkNormBackward {
    /// Gradient of `y`.
    pub dy: Tensor,
    /// Input of the forward pass.
    pub x: Tensor,
    /// rstd, `[M, NH + NKV]`.
    pub stats: Tensor,
    /// Gain of queries, `[D]`.
    pub q_weight: Tensor,
    /// Gain of keys, `[D]`.
    pub k_weight: Tensor,
    /// Gradient of `x`, assigned.
    pub dx: Tensor,
    /// Gradient of the queries' gain, accumulated; `None` where the gain is frozen.
    pub dq_weight: Option<Tensor>,
    /// Gradient of the keys' gain, accumulated; `None` where the gain is frozen.
    pub dk_weight: Option<Tensor>,
    /// Scratch, `[⌈M / 64⌉, NH + NKV, D]`.
    pub partials: Tensor,
    /// Sizes.
    pub heads: Heads,
}

impl Op for QkNormBackward {
    fn name(&self) -> &'static str {
        "query and key norm backward"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let (stats, mut partials) = (mem.read(self.stats), mem.write(self.partials));
        backward(
            &mem.pool,
            &mem.read(self.dy),
            &mem.read(self.x),
            &stats,
            [&mem.read(self.q_weight), &mem.read(self.k_weight)],
            &mut mem.write(self.dx),
            [self.dq_weight.is_some(), self.dk_weight.is_some()],
            &mut partials,
            self.heads,
        );
        let (queries, normed) = (self.heads.heads, groups(self.heads).normed());
        let gradients = [(self.dq_weight, 0..queries), (self.dk_weight, queries..normed)];
        add_partials(mem, &partials, stats.len() / normed, gradients);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let &Self { dy, x, stats, q_weight, k_weight, dx, dq_weight, dk_weight, partials, heads } = self;
        norm::Backward {
            center: Center::Zero,
            groups: groups(heads),
            dy,
            x,
            stats,
            weight: q_weight,
            k_weight: Some(k_weight),
            dx,
            beta: Beta::Assign,
            dweight: dq_weight,
            dk_weight,
            dbias: None,
            partials,
        }
        .push(kernels);
    }
}

/// `dx`, and the partial sums of the gradients of gains as far as they are wanted. See the module; `weights` and `wanted` are of queries and
/// of keys.
#[allow(clippy::too_many_arguments, reason = "the tensors of the formula")]
pub fn backward(
    pool: &Pool,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weights: [&[f32]; 2],
    dx: &mut [f32],
    wanted: [bool; 2],
    partials: &mut [f32],
    heads: Heads,
) {
    let (width, normed) = (heads.qkv_channels(), groups(heads).normed());
    pool.pieces([(dx, ROWS_PER_PARTIAL * width), (partials, normed * heads.head_dim)], |i, [dx, partial]| {
        let first = i * ROWS_PER_PARTIAL;
        let rows = dx.len() / width;
        backward_rows(
            &dy[first * width..(first + rows) * width],
            &x[first * width..(first + rows) * width],
            &stats[first * normed..(first + rows) * normed],
            weights,
            dx,
            partial,
            wanted,
            row(heads),
        );
    });
}
