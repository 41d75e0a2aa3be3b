//! Matrix product `C = A · B` or `C += A · B`, float32, row-major C.
//!
//! The loop nest of Goto and van de Geijn (2008), cut down to what a transformer needs:
//!
//! ```text
//! for each block of rows of C              a task of the pool
//!   for each KC of the inner dimension     B's panel [KC, NR] stays in the L1 cache
//!     for each panel of NR columns
//!       for each MR rows                   MR × NR accumulators in registers
//! ```
//!
//! B is packed into panels `[k][NR]`, padded with zeros. A is read in place, one broadcast per element, where its rows are contiguous;
//! where its columns are, it is packed into strips `[k][8]` (read in place, each `k` would touch another page). Every element of C sums its
//! products in the order of `k` whatever the split into tasks, so the result does not depend on the thread count.
//!
//! A linear layer `Y[M,N] = X[M,K] Wᵀ` and its two backward products are `gemm(X, W.t())`, `gemm(dY, W)` and `gemm(dY.t(), X)`.

use std::cell::RefCell;
use std::ops::Range;

use super::aligned::AlignedVec;
use super::pool::Pool;
use super::simd::Simd;
use crate::simd_dispatch;

/// Inner-dimension block: a panel of `KC × 3·16` floats takes 36 of the 48 KiB of a level 1 cache with AVX-512, half of that otherwise. On
/// a two-core machine 256 and 384 were no faster.
const KC: usize = 192;

/// Rows of C per task where A is the tall operand: with K up to 512 its block of A stays in a 512 KiB level 2 cache. 64 and 256 were
/// as fast within noise.
const ROW_BLOCK: usize = 128;

/// A matrix in memory: element `(i, j)` is `data[i * row_stride + j * col_stride]`, one of the strides being 1.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Row-major, rows one after the other.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Row-major, rows `stride` apart: a block of columns of a wider matrix.
    ///
    /// # Panics
    /// When `data` is too short.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(
            cols <= stride && (rows == 0 || data.len() >= (rows - 1) * stride + cols),
            "matrix larger than its data"
        );
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The transpose, as a view.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Some of the rows.
    pub fn row_range(self, range: Range<usize>) -> Self {
        assert!(range.end <= self.rows);
        let start = (range.start * self.row_stride).min(self.data.len());
        Self { data: &self.data[start..], rows: range.len(), ..self }
    }
}

/// A right operand packed as a whole, for several products that use the first of its rows and columns.
#[derive(Clone, Copy, Debug)]
pub struct PackedMat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    /// Floats from panel to panel.
    length: usize,
}

impl<'a> PackedMat<'a> {
    /// Packs a matrix into scratch memory.
    pub fn pack(b: Mat<'_>, scratch: &'a mut AlignedVec) -> Self {
        let nr = panel_width();
        let length = (b.rows * nr).max(1);
        scratch.grow(b.cols.div_ceil(nr) * length);
        for (panel, out) in scratch.chunks_exact_mut(length).take(b.cols.div_ceil(nr)).enumerate() {
            pack_panel(b, 0..b.rows, panel * nr, &mut out[..b.rows * nr]);
        }
        Self { data: &scratch[..b.cols.div_ceil(nr) * length], rows: b.rows, cols: b.cols, length }
    }

    /// The first column of the panel that holds a column.
    pub fn panel_start(column: usize) -> usize {
        column / panel_width() * panel_width()
    }

    /// The matrix from a row and a column on, without packing it again.
    ///
    /// # Panics
    /// When they are beyond the last, or no panel begins at the column.
    pub fn part(self, row: usize, column: usize) -> Self {
        let nr = panel_width();
        assert!(
            row <= self.rows && column <= self.cols && column.is_multiple_of(nr),
            "[{row}.., {column}..]: {self:?}"
        );
        let start = column / nr * self.length + row * nr;
        Self { data: &self.data[start..], rows: self.rows - row, cols: self.cols - column, ..self }
    }
}

/// `C = A·B[..k, ..n]` on the calling thread, `k` being A's columns; rows of C `stride` apart.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_packed(a: Mat<'_>, b: PackedMat<'_>, n: usize, c: &mut [f32], stride: usize) {
    assert!(a.cols <= b.rows && n <= b.cols && n <= stride, "gemm_packed: [{}, {}] · {b:?}", a.rows, a.cols);
    assert!(a.rows == 0 || c.len() >= (a.rows - 1) * stride + n, "gemm_packed: C is too small");
    assert!(a.col_stride == 1, "gemm_packed: A's rows must be contiguous");
    block_packed(a, b, Beta::Assign, c, stride, n);
}

/// Rows per strip of a packed A: the tallest register tile.
const STRIP: usize = 8;

/// Most rows per task where A is packed: a block of `KC` columns takes 384 KiB of a level 2 cache.
const PACKED_ROWS: usize = 512;

/// A as the register tiles read it: contiguous rows in place, or packed strips `[k][STRIP]`.
#[derive(Clone, Copy)]
struct Lhs<'a> {
    data: &'a [f32],
    rows: usize,
    /// Floats between rows in place.
    row_stride: usize,
    /// Floats per packed strip.
    strip: usize,
}

impl<'a> Lhs<'a> {
    /// Columns `k` of a matrix with contiguous rows.
    fn in_place(a: Mat<'a>, k: &Range<usize>) -> Self {
        debug_assert_eq!(a.col_stride, 1);
        Self { data: &a.data[k.start.min(a.data.len())..], rows: a.rows, row_stride: a.row_stride, strip: 0 }
    }
}

/// What happens to the old value of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beta {
    /// `C = A·B`.
    Assign,
    /// `C += A·B`.
    Accumulate,
}

thread_local! {
    /// B packed as a whole, on the thread that calls [`gemm`].
    static PACKED: RefCell<AlignedVec> = RefCell::default();
    /// One panel of B and a block of A, on the thread that needs them.
    static BLOCKS: RefCell<[AlignedVec; 2]> = RefCell::default();
}

/// `C = A·B` (or `+=`) on all threads. `outputs[0]` is `(C, its columns)`; further outputs are matrices of as many rows that the epilogue
/// also writes. `epilogue(rows, blocks)` runs on each finished block of whole rows while it is in cache: a bias, an
/// activation, a residual.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm<const N: usize>(
    pool: &Pool,
    a: Mat<'_>,
    b: Mat<'_>,
    beta: Beta,
    outputs: [(&mut [f32], usize); N],
    epilogue: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let (c, columns) = (outputs[0].0.len(), outputs[0].1);
    assert!(
        b.rows == k && columns == n && c == m * n,
        "gemm: [{m}, {k}] · [{}, {n}] into {c} elements, {columns} per row",
        b.rows
    );
    if m == 0 || n == 0 {
        return;
    }
    let nr = panel_width();
    if m < k || a.row_stride == 1 {
        // B is the large operand, or A must be packed too: few, high row blocks, each packing the panels it needs.
        pool.rows(outputs, packed_rows(pool, m), |range, blocks| {
            block_packing_scratch(a.row_range(range.clone()), b, beta, blocks[0], n, None);
            epilogue(range, blocks);
        });
        return;
    }
    // B is small (a weight): pack it once for all.
    PACKED.with_borrow_mut(|packed| {
        let panels = n.div_ceil(nr);
        let length = (k * nr).max(1);
        packed.grow(panels * length);
        let packed = &mut packed[..panels * length];
        pool.pieces([(packed, length)], |panel, [out]| pack_panel(b, 0..k, panel * nr, &mut out[..k * nr]));
        let packed = PackedMat { data: packed, rows: k, cols: n, length };
        pool.rows(outputs, ROW_BLOCK.min(pool.share(m, 1).next_multiple_of(8)), |range, blocks| {
            block_packed(a.row_range(range.clone()), packed, beta, blocks[0], n, n);
            epilogue(range, blocks);
        });
    });
}

/// `C += A·B` and `sums[i] += Σ_k A[i,k]`: with `A = dYᵀ` and `B = X` the gradients of a linear layer's weight and bias. The sums ride
/// along with the packing of A.
///
/// # Panics
/// When the shapes do not fit, or A's rows are contiguous (then there is no packing to ride on).
pub fn gemm_with_row_sums(pool: &Pool, a: Mat<'_>, b: Mat<'_>, c: &mut [f32], sums: &mut [f32]) {
    let (m, n) = (a.rows, b.cols);
    assert!(b.rows == a.cols && c.len() == m * n && sums.len() == m, "gemm_with_row_sums: shapes");
    assert!(a.row_stride == 1, "gemm_with_row_sums: A must be a transposed view");
    pool.rows([(c, n), (sums, 1)], packed_rows(pool, m), |range, [c, sums]| {
        block_packing_scratch(a.row_range(range), b, Beta::Accumulate, c, n, Some(sums));
    });
}

/// Rows per task where each task packs for itself: as many as [`PACKED_ROWS`] allows, the same for every thread.
fn packed_rows(pool: &Pool, m: usize) -> usize {
    let rounds = m.div_ceil(pool.threads() * PACKED_ROWS).max(1);
    pool.share(m, rounds).next_multiple_of(STRIP)
}

/// `C = A·B` (or `+=`) on the calling thread, rows of C `stride` apart.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_serial(a: Mat<'_>, b: Mat<'_>, beta: Beta, c: &mut [f32], stride: usize) {
    assert!(a.cols == b.rows && b.cols <= stride, "gemm_serial: [{}, {}] · [{}, {}]", a.rows, a.cols, b.rows, b.cols);
    assert!(a.rows == 0 || c.len() >= (a.rows - 1) * stride + b.cols, "gemm_serial: C is too small");
    block_packing_scratch(a, b, beta, c, stride, None);
}

/// [`block_packing`] with this thread's scratch memory.
fn block_packing_scratch(a: Mat<'_>, b: Mat<'_>, beta: Beta, c: &mut [f32], stride: usize, sums: Option<&mut [f32]>) {
    BLOCKS.with_borrow_mut(|[panel, strips]| {
        panel.grow(KC * panel_width());
        if a.row_stride == 1 {
            strips.grow(KC * a.rows.next_multiple_of(STRIP));
        }
        block_packing(a, b, beta, c, stride, panel, strips, sums);
    });
}

#[inline(always)]
fn panel_width_imp<S: Simd>(_: S) -> usize {
    S::GEMM_VECTORS * S::LANES
}
simd_dispatch! {
    /// Columns per panel, `NR`.
    fn panel_width() -> usize => panel_width_imp
}

/// The inner dimension in equal parts of at most `KC`.
fn k_blocks(k: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = k.div_ceil(KC).max(1);
    let step = k.div_ceil(parts);
    (0..parts).map(move |i| (i * step).min(k)..((i + 1) * step).min(k))
}

fn beta_of(k: &Range<usize>, beta: Beta) -> Beta {
    if k.start == 0 { beta } else { Beta::Accumulate }
}

simd_dispatch! {
    /// A block of rows of C from A in place and B packed as a whole.
    fn block_packed<'a>(a: Mat<'a>, b: PackedMat<'a>, beta: Beta, c: &'a mut [f32], stride: usize, n: usize) => block_packed_imp
}

#[inline(always)]
fn block_packed_imp<S: Simd>(s: S, a: Mat<'_>, b: PackedMat<'_>, beta: Beta, c: &mut [f32], stride: usize, n: usize) {
    if a.rows == 0 {
        return;
    }
    let nr = panel_width_imp(s);
    for k in k_blocks(a.cols) {
        let lhs = Lhs::in_place(a, &k);
        for (panel, j) in (0..n).step_by(nr).enumerate() {
            let start = panel * b.length;
            let panel = &b.data[start + k.start * nr..start + k.end * nr];
            tiles::<S, false>(s, lhs, k.len(), panel, beta_of(&k, beta), &mut c[j..], stride, nr.min(n - j));
        }
    }
}

simd_dispatch! {
    /// A block of rows of C; B is packed panel by panel into `panel`, and A into `strips` where its columns are contiguous.
    fn block_packing<'a>(a: Mat<'a>, b: Mat<'a>, beta: Beta, c: &'a mut [f32], stride: usize, panel: &'a mut [f32], strips: &'a mut [f32], sums: Option<&'a mut [f32]>) => block_packing_imp
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "operands and scratch of one product")]
fn block_packing_imp<S: Simd>(
    s: S,
    a: Mat<'_>,
    b: Mat<'_>,
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    panel: &mut [f32],
    strips: &mut [f32],
    mut sums: Option<&mut [f32]>,
) {
    if a.rows == 0 {
        return;
    }
    let nr = panel_width_imp(s);
    for k in k_blocks(a.cols) {
        let in_strips = a.row_stride == 1;
        let lhs =
            if in_strips { pack_strips(s, a, k.clone(), strips, sums.as_deref_mut()) } else { Lhs::in_place(a, &k) };
        for j in (0..b.cols).step_by(nr) {
            let panel = &mut panel[..k.len() * nr];
            pack_panel_imp(s, b, k.clone(), j, panel);
            let (c, width) = (&mut c[j..], nr.min(b.cols - j));
            if in_strips {
                tiles::<S, true>(s, lhs, k.len(), panel, beta_of(&k, beta), c, stride, width);
            } else {
                tiles::<S, false>(s, lhs, k.len(), panel, beta_of(&k, beta), c, stride, width);
            }
        }
    }
}

/// `strips[row / 8][k][row % 8] = A[row, k]`, and `sums[row] += Σ_k A[row, k]`.
#[inline(always)]
fn pack_strips<'s, S: Simd>(
    _: S,
    a: Mat<'_>,
    k: Range<usize>,
    strips: &'s mut [f32],
    sums: Option<&mut [f32]>,
) -> Lhs<'s> {
    let strip = k.len() * STRIP;
    for (k0, k) in k.clone().enumerate() {
        let column = &a.data[k * a.col_stride..][..a.rows];
        let mut whole = column.chunks_exact(STRIP);
        let mut at = k0 * STRIP;
        for x in &mut whole {
            strips[at..at + STRIP].copy_from_slice(x);
            at += strip;
        }
        let tail = whole.remainder();
        if !tail.is_empty() {
            strips[at..at + tail.len()].copy_from_slice(tail);
        }
    }
    if let Some(sums) = sums {
        for (strip, sums) in strips.chunks(strip.max(1)).zip(sums.chunks_mut(STRIP)) {
            let mut acc = [0.0; STRIP];
            for x in strip.chunks_exact(STRIP) {
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc += x;
                }
            }
            sums.iter_mut().zip(acc).for_each(|(sum, acc)| *sum += acc);
        }
    }
    Lhs { data: strips, rows: a.rows, row_stride: 0, strip }
}

simd_dispatch! {
    /// `out[k][NR] = B[k, j..j + NR]`, zeros past the last column.
    fn pack_panel<'a>(b: Mat<'a>, k: Range<usize>, j: usize, out: &'a mut [f32]) => pack_panel_imp
}

#[inline(always)]
fn pack_panel_imp<S: Simd>(s: S, b: Mat<'_>, k: Range<usize>, j: usize, out: &mut [f32]) {
    let nr = panel_width_imp(s);
    let width = nr.min(b.cols - j);
    if b.col_stride == 1 {
        for (out, k) in out.chunks_exact_mut(nr).zip(k) {
            let row = &b.data[k * b.row_stride + j..][..width];
            if width == nr {
                // A copy of so few floats is dear where their number is not known here.
                for v in (0..nr).step_by(S::LANES) {
                    s.store(&mut out[v..], s.load(&row[v..]));
                }
            } else {
                out[..width].copy_from_slice(row);
                out[width..].fill(0.0);
            }
        }
        return;
    }
    // Columns of B lie contiguously: transpose in squares of 8.
    const SQUARE: usize = 8;
    for j0 in (0..nr).step_by(SQUARE) {
        for k0 in (0..k.len()).step_by(SQUARE) {
            let depth = SQUARE.min(k.len() - k0);
            if depth == SQUARE && j0 + SQUARE <= width {
                let from = (j + j0) * b.col_stride + k.start + k0;
                s.transpose_8x8(&b.data[from..], b.col_stride, &mut out[k0 * nr + j0..], nr);
                continue;
            }
            for x in 0..SQUARE.min(nr - j0) {
                for y in 0..depth {
                    let inside = j0 + x < width;
                    out[(k0 + y) * nr + j0 + x] =
                        if inside { b.data[(j + j0 + x) * b.col_stride + k.start + k0 + y] } else { 0.0 };
                }
            }
        }
    }
}

/// All register tiles of a block of rows and one panel of `width` columns.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a loop nest's inner level")]
fn tiles<S: Simd, const PACKED: bool>(
    s: S,
    a: Lhs<'_>,
    depth: usize,
    panel: &[f32],
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    width: usize,
) {
    match width.div_ceil(S::LANES) {
        1 => tiles_of::<S, PACKED, 1>(s, a, depth, panel, beta, c, stride, width),
        3 if S::GEMM_VECTORS == 3 => tiles_of::<S, PACKED, 3>(s, a, depth, panel, beta, c, stride, width),
        _ => tiles_of::<S, PACKED, 2>(s, a, depth, panel, beta, c, stride, width),
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a loop nest's inner level")]
fn tiles_of<S: Simd, const PACKED: bool, const NV: usize>(
    s: S,
    a: Lhs<'_>,
    depth: usize,
    panel: &[f32],
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    width: usize,
) {
    let mut row = 0;
    while row < a.rows {
        let left = a.rows - row;
        let c = &mut c[row * stride..];
        if S::GEMM_ROWS == 8 && left >= 8 {
            tile::<S, PACKED, 8, NV>(s, a, row, depth, panel, beta, c, stride, width);
            row += 8;
        } else if left >= 4 {
            tile::<S, PACKED, 4, NV>(s, a, row, depth, panel, beta, c, stride, width);
            row += 4;
        } else {
            tile::<S, PACKED, 1, NV>(s, a, row, depth, panel, beta, c, stride, width);
            row += 1;
        }
    }
}

/// `MR × NV·LANES` elements of C in registers.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a loop nest's inner level")]
fn tile<S: Simd, const PACKED: bool, const MR: usize, const NV: usize>(
    s: S,
    a: Lhs<'_>,
    row: usize,
    depth: usize,
    panel: &[f32],
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    width: usize,
) {
    let nr = panel_width_imp(s);
    assert!(panel.len() >= depth * nr && row + MR <= a.rows);
    if depth == 0 {
        if beta == Beta::Assign {
            (0..MR).for_each(|i| c[i * stride..][..width].fill(0.0));
        }
        return;
    }
    // One of the strides is known here, so that its offsets fold into addressing modes: with both unknown the address arithmetic takes
    // as many instructions as the products.
    let (row_stride, col_stride) = if PACKED { (1, STRIP) } else { (a.row_stride, 1) };
    let start = if PACKED { row / STRIP * a.strip + row % STRIP } else { row * a.row_stride };
    assert!(start + (MR - 1) * row_stride + (depth - 1) * col_stride < a.data.len());
    let mut acc = [[s.splat(0.0); NV]; MR];
    // The bounds checks of this loop cost a third of its speed, hence the raw pointers.
    // SAFETY: the largest index of A is checked just above, and the panel's length at the top.
    unsafe {
        let mut x = a.data.as_ptr().add(start);
        let mut b = panel.as_ptr();
        for _ in 0..depth {
            step::<S, MR, NV>(s, x, row_stride, b, &mut acc);
            // Not past the end of the last round: `wrapping_add` computes an address without claiming that it is inside.
            x = x.wrapping_add(col_stride);
            b = b.wrapping_add(nr);
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        let c = &mut c[i * stride..][..width];
        for (v, &acc) in acc.iter().enumerate() {
            let from = v * S::LANES;
            if from + S::LANES <= width {
                let c = &mut c[from..from + S::LANES];
                let sum = if beta == Beta::Assign { acc } else { s.add(s.load(c), acc) };
                s.store(c, sum);
            } else {
                let c = &mut c[from..];
                let sum = if beta == Beta::Assign { acc } else { s.add(s.load_partial(c, 0.0), acc) };
                s.store_partial(c, sum);
            }
        }
    }
}

/// One `k`: the outer product of MR elements of A and NV vectors of B.
///
/// # Safety
/// `a[i * stride]` for `i < MR` and `b[..NV * LANES]` must be readable.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    a: *const f32,
    stride: usize,
    b: *const f32,
    acc: &mut [[S::F; NV]; MR],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let b: [S::F; NV] = std::array::from_fn(
            #[inline(always)]
            |v| s.load(std::slice::from_raw_parts(b.add(v * S::LANES), S::LANES)),
        );
        for i in 0..MR {
            let x = s.splat(*a.add(i * stride));
            for v in 0..NV {
                acc[i][v] = s.mul_add(x, b[v], acc[i][v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn reference(a: Mat<'_>, b: Mat<'_>) -> Vec<f64> {
        let at = |m: Mat<'_>, i: usize, j: usize| f64::from(m.data[i * m.row_stride + j * m.col_stride]);
        let mut c = vec![0.0; a.rows * b.cols];
        for i in 0..a.rows {
            for j in 0..b.cols {
                c[i * b.cols + j] = (0..a.cols).map(|k| at(a, i, k) * at(b, k, j)).sum();
            }
        }
        c
    }

    fn check(pool: &Pool, a: Mat<'_>, b: Mat<'_>) {
        let want = reference(a, b);
        let n = b.cols;
        // Poison shows an element that was never written.
        let mut assigned = vec![f32::NAN; want.len()];
        gemm(pool, a, b, Beta::Assign, [(&mut assigned, n)], |_, _| {});
        let mut accumulated = vec![1.0; want.len()];
        gemm(pool, a, b, Beta::Accumulate, [(&mut accumulated, n)], |_, _| {});
        let stride = n + 3;
        let mut serial = vec![f32::NAN; a.rows.max(1) * stride];
        gemm_serial(a, b, Beta::Assign, &mut serial, stride);
        let bound = 1e-6 * (a.cols as f64 + 1.0);
        for (i, &want) in want.iter().enumerate() {
            for (got, want) in
                [(assigned[i], want), (accumulated[i], want + 1.0), (serial[i / n * stride + i % n], want)]
            {
                assert!(
                    (f64::from(got) - want).abs() <= bound,
                    "[{}, {}]·[{}, {n}] at {i}: {got}, not {want}",
                    a.rows,
                    a.cols,
                    b.rows
                );
            }
        }
    }

    #[test]
    fn every_layout_and_awkward_size_matches_float64() {
        let pool = Pool::new(2);
        let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 65, 97];
        for (x, &m) in sizes.iter().enumerate() {
            for (y, &n) in sizes.iter().enumerate() {
                let k = sizes[(x * 5 + y * 3) % sizes.len()];
                let (a, b) = (noise(m * k, 1), noise(k * n, 2));
                check(&pool, Mat::new(&a, m, k), Mat::new(&b, k, n));
                check(&pool, Mat::new(&a, k, m).t(), Mat::new(&b, k, n));
                check(&pool, Mat::new(&a, m, k), Mat::new(&b, n, k).t());
                check(&pool, Mat::new(&a, k, m).t(), Mat::new(&b, n, k).t());
            }
        }
    }

    #[test]
    fn long_inner_dimensions_cross_their_blocks() {
        let pool = Pool::new(2);
        for k in [KC - 1, KC, KC + 1, 2 * KC + 1] {
            let (a, b) = (noise(9 * k, 3), noise(k * 50, 4));
            check(&pool, Mat::new(&a, 9, k), Mat::new(&b, k, 50));
            check(&pool, Mat::new(&a, k, 9).t(), Mat::new(&b, 50, k).t());
        }
    }

    #[test]
    fn more_rows_than_a_gpu_grid_dimension() {
        let pool = Pool::new(2);
        let (a, b) = (noise(65_537 * 3, 5), noise(3 * 2, 6));
        check(&pool, Mat::new(&a, 65_537, 3), Mat::new(&b, 3, 2));
    }

    #[test]
    fn results_do_not_depend_on_the_thread_count() {
        let (a, b) = (noise(300 * 70, 7), noise(70 * 300, 8));
        let run = |threads, a: Mat<'_>, b: Mat<'_>| {
            let mut c = vec![0.0; a.rows * b.cols];
            gemm(&Pool::new(threads), a, b, Beta::Assign, [(&mut c, b.cols)], |_, _| {});
            c
        };
        let (tall, flat) = (Mat::new(&a, 300, 70), Mat::new(&b, 70, 300));
        for threads in [2, 3, 7] {
            assert_eq!(run(1, tall, flat), run(threads, tall, flat));
            assert_eq!(run(1, flat, tall), run(threads, flat, tall));
        }
    }

    #[test]
    fn the_epilogue_sees_every_finished_row_once() {
        let pool = Pool::new(3);
        for (m, k) in [(130, 5), (5, 130)] {
            let (a, b) = (vec![1.0; m * k], vec![1.0; k * 4]);
            let mut c = vec![f32::NAN; m * 4];
            gemm(&pool, Mat::new(&a, m, k), Mat::new(&b, k, 4), Beta::Assign, [(&mut c, 4)], |rows, [block]| {
                for (row, block) in rows.zip(block.chunks_exact_mut(4)) {
                    block.iter_mut().for_each(|x| *x += row as f32);
                }
            });
            for (i, &x) in c.iter().enumerate() {
                assert_eq!(x, (k + i / 4) as f32);
            }
        }
    }

    #[test]
    fn a_packed_operand_serves_products_with_its_first_rows_and_columns() {
        let (rows, cols) = (KC + 9, 101);
        let (b, a) = (noise(rows * cols, 13), noise(11 * rows, 14));
        let mut scratch = AlignedVec::default();
        for b in [Mat::new(&b, rows, cols), Mat::new(&b, cols, rows).t()] {
            let packed = PackedMat::pack(b, &mut scratch);
            for (k, n) in [(rows, cols), (rows, 1), (3, cols), (KC, 49), (1, 1)] {
                let part = Mat { rows: k, cols: n, ..b };
                let a = Mat::strided(&a, 11, k, rows);
                let mut c = vec![f32::NAN; 11 * cols];
                gemm_packed(a, packed, n, &mut c, cols);
                for (i, want) in reference(a, part).into_iter().enumerate() {
                    let got = c[i / n * cols + i % n];
                    assert!((f64::from(got) - want).abs() < 1e-6 * (k + 1) as f64, "{k} {n}");
                }
            }
        }
    }

    #[test]
    fn a_packed_operand_serves_products_with_its_last_rows_and_columns() {
        let (rows, cols) = (KC + 9, 3 * panel_width() + 5);
        let (b, a) = (noise(rows * cols, 15), noise(11 * rows, 16));
        let mut scratch = AlignedVec::default();
        for b in [Mat::new(&b, rows, cols), Mat::new(&b, cols, rows).t()] {
            let packed = PackedMat::pack(b, &mut scratch);
            for (row, column) in [(0, 0), (3, 10), (8, panel_width()), (rows - 1, cols - 1)] {
                let column = PackedMat::panel_start(column);
                let (k, n) = (rows - row, cols - column);
                let rest = Mat { data: &b.data[row * b.row_stride + column * b.col_stride..], rows: k, cols: n, ..b };
                let a = Mat::strided(&a, 11, k, rows);
                let mut c = vec![f32::NAN; 11 * n];
                gemm_packed(a, packed.part(row, column), n, &mut c, n);
                for (got, want) in c.iter().zip(reference(a, rest)) {
                    assert!((f64::from(*got) - want).abs() < 1e-6 * (k + 1) as f64, "{row} {column}");
                }
            }
        }
    }

    #[test]
    fn row_sums_ride_along() {
        let pool = Pool::new(2);
        for (m, n, k) in [(1, 1, 1), (7, 5, 9), (300, 3, 20), (17, 50, 2 * KC + 1)] {
            let (a, b) = (noise(k * m, 11), noise(k * n, 12));
            let (view, x) = (Mat::new(&a, k, m).t(), Mat::new(&b, k, n));
            let (mut c, mut sums) = (vec![1.0; m * n], vec![1.0; m]);
            gemm_with_row_sums(&pool, view, x, &mut c, &mut sums);
            for (c, want) in c.iter().zip(reference(view, x)) {
                assert!((f64::from(*c) - want - 1.0).abs() < 2e-6 * (k + 1) as f64);
            }
            for (sum, want) in sums.iter().zip(reference(view, Mat::new(&vec![1.0; k], k, 1))) {
                assert!((f64::from(*sum) - want - 1.0).abs() < 2e-6 * (k + 1) as f64);
            }
        }
    }
}
