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
//! B is packed into panels `[k][NR]`, padded with zeros; A is read in place, one broadcast per element. Every element of C sums its products
//! in the order of `k` whatever the split into tasks, so the result does not depend on the thread count.
//!
//! A linear layer `Y[M,N] = X[M,K] Wᵀ` and its two backward products are `gemm(X, W.t())`, `gemm(dY, W)` and `gemm(dY.t(), X)`.

use std::cell::RefCell;
use std::ops::Range;

use super::aligned::AlignedVec;
use super::pool::Pool;
use super::simd::Simd;
use crate::simd_dispatch;

/// Vectors per accumulator row: the register tile is `GEMM_ROWS × 3·LANES`.
pub const GEMM_VECTORS: usize = 3;

/// Inner-dimension block: a panel of `KC × 3·16` floats is the 48 KiB of a level 1 cache with AVX-512, half of it otherwise.
const KC: usize = 256;

/// Rows of C per task where A is the tall operand: with K up to 512 the rows of A and C stay in a 512 KiB level 2 cache.
const ROW_BLOCK: usize = 64;

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
    /// One panel, on the thread that needs it.
    static PANEL: RefCell<AlignedVec> = RefCell::default();
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
    if m < k {
        // B is the large operand (a weight gradient: K is the number of tokens): few, high row blocks, each packing the panel it needs.
        pool.rows(outputs, pool.share(m, 1).next_multiple_of(8), |range, blocks| {
            PANEL.with_borrow_mut(|panel| {
                panel.grow(KC * nr);
                block_packing(a.row_range(range.clone()), b, beta, blocks[0], n, panel);
            });
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
        let packed = &*packed;
        pool.rows(outputs, ROW_BLOCK.min(pool.share(m, 1).next_multiple_of(8)), |range, blocks| {
            block_packed(a.row_range(range.clone()), packed, beta, blocks[0], n);
            epilogue(range, blocks);
        });
    });
}

/// `C = A·B` (or `+=`) on the calling thread, rows of C `stride` apart.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_serial(a: Mat<'_>, b: Mat<'_>, beta: Beta, c: &mut [f32], stride: usize) {
    assert!(a.cols == b.rows && b.cols <= stride, "gemm_serial: [{}, {}] · [{}, {}]", a.rows, a.cols, b.rows, b.cols);
    assert!(a.rows == 0 || c.len() >= (a.rows - 1) * stride + b.cols, "gemm_serial: C is too small");
    PANEL.with_borrow_mut(|panel| {
        panel.grow(KC * panel_width());
        block_packing(a, b, beta, c, stride, panel);
    });
}

#[inline(always)]
fn panel_width_imp<S: Simd>(_: S) -> usize {
    GEMM_VECTORS * S::LANES
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
    fn block_packed<'a>(a: Mat<'a>, packed: &'a [f32], beta: Beta, c: &'a mut [f32], n: usize) => block_packed_imp
}

#[inline(always)]
fn block_packed_imp<S: Simd>(s: S, a: Mat<'_>, packed: &[f32], beta: Beta, c: &mut [f32], n: usize) {
    let nr = panel_width_imp(s);
    for k in k_blocks(a.cols) {
        for (panel, j) in (0..n).step_by(nr).enumerate() {
            let b = &packed[(panel * a.cols + k.start) * nr..(panel * a.cols + k.end) * nr];
            tiles(s, a, k.clone(), b, beta_of(&k, beta), &mut c[j..], n, nr.min(n - j));
        }
    }
}

simd_dispatch! {
    /// A block of rows of C from A in place and B packed panel by panel into `panel`.
    fn block_packing<'a>(a: Mat<'a>, b: Mat<'a>, beta: Beta, c: &'a mut [f32], stride: usize, panel: &'a mut [f32]) => block_packing_imp
}

#[inline(always)]
fn block_packing_imp<S: Simd>(
    s: S,
    a: Mat<'_>,
    b: Mat<'_>,
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    panel: &mut [f32],
) {
    if a.rows == 0 {
        return;
    }
    let nr = panel_width_imp(s);
    for k in k_blocks(a.cols) {
        for j in (0..b.cols).step_by(nr) {
            let panel = &mut panel[..k.len() * nr];
            pack_panel_imp(s, b, k.clone(), j, panel);
            tiles(s, a, k.clone(), panel, beta_of(&k, beta), &mut c[j..], stride, nr.min(b.cols - j));
        }
    }
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
            out[..width].copy_from_slice(&b.data[k * b.row_stride + j..][..width]);
            out[width..].fill(0.0);
        }
        return;
    }
    // Columns of B lie contiguously: transpose in squares of 8, which fit the registers and use whole cache lines.
    const SQUARE: usize = 8;
    for j0 in (0..nr).step_by(SQUARE) {
        for k0 in (0..k.len()).step_by(SQUARE) {
            let depth = SQUARE.min(k.len() - k0);
            if depth == SQUARE && j0 + SQUARE <= width {
                let mut square = [[0.0; SQUARE]; SQUARE];
                for (x, row) in square.iter_mut().enumerate() {
                    let start = (j + j0 + x) * b.col_stride + k.start + k0;
                    row.copy_from_slice(&b.data[start..start + SQUARE]);
                }
                for y in 0..SQUARE {
                    let column: [f32; SQUARE] = std::array::from_fn(|x| square[x][y]);
                    out[(k0 + y) * nr + j0..][..SQUARE].copy_from_slice(&column);
                }
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
fn tiles<S: Simd>(
    s: S,
    a: Mat<'_>,
    k: Range<usize>,
    panel: &[f32],
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    width: usize,
) {
    match width.div_ceil(S::LANES) {
        1 => tiles_of::<S, 1>(s, a, k, panel, beta, c, stride, width),
        2 => tiles_of::<S, 2>(s, a, k, panel, beta, c, stride, width),
        _ => tiles_of::<S, 3>(s, a, k, panel, beta, c, stride, width),
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a loop nest's inner level")]
fn tiles_of<S: Simd, const NV: usize>(
    s: S,
    a: Mat<'_>,
    k: Range<usize>,
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
            tile::<S, 8, NV>(s, a, row, k.clone(), panel, beta, c, stride, width);
            row += 8;
        } else if left >= 4 {
            tile::<S, 4, NV>(s, a, row, k.clone(), panel, beta, c, stride, width);
            row += 4;
        } else {
            tile::<S, 1, NV>(s, a, row, k.clone(), panel, beta, c, stride, width);
            row += 1;
        }
    }
}

/// `MR × NV·LANES` elements of C in registers.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a loop nest's inner level")]
fn tile<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    a: Mat<'_>,
    row: usize,
    k: Range<usize>,
    panel: &[f32],
    beta: Beta,
    c: &mut [f32],
    stride: usize,
    width: usize,
) {
    let nr = panel_width_imp(s);
    let depth = k.len();
    assert!(panel.len() >= depth * nr && row + MR <= a.rows && k.end <= a.cols);
    if depth == 0 {
        if beta == Beta::Assign {
            (0..MR).for_each(|i| c[i * stride..][..width].fill(0.0));
        }
        return;
    }
    assert!((row + MR - 1) * a.row_stride + (k.end - 1) * a.col_stride < a.data.len());
    let mut acc = [[s.splat(0.0); NV]; MR];
    let start = row * a.row_stride + k.start * a.col_stride;
    // The bounds checks of this loop cost a third of its speed, hence the raw pointers.
    // SAFETY: the largest index of A is checked just above, and the panel's length at the top.
    unsafe {
        let a_start = a.data.as_ptr().add(start);
        let b = panel.as_ptr();
        // Written twice so that the stride that is 1 is a constant: the row offsets then fold into addressing modes.
        if a.col_stride == 1 {
            for k in 0..depth {
                step::<S, MR, NV>(s, a_start.add(k), a.row_stride, b.add(k * nr), &mut acc);
            }
        } else {
            for k in 0..depth {
                step::<S, MR, NV>(s, a_start.add(k * a.col_stride), 1, b.add(k * nr), &mut acc);
            }
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

/// `y[n] = W[n, :] · x`, for one token: each weight is read once, so this runs at the speed of memory.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec(pool: &Pool, w: &[f32], x: &[f32], y: &mut [f32]) {
    assert_eq!(w.len(), x.len() * y.len(), "matvec: {} weights for {} x {}", w.len(), y.len(), x.len());
    // A task below this many weights (~10 µs) costs more to hand over than to do.
    const WEIGHTS_PER_TASK: usize = 1 << 16;
    let rows = pool.share(y.len(), 1).max(WEIGHTS_PER_TASK / x.len().max(1)).next_multiple_of(4);
    pool.rows([(y, 1)], rows, |range, [y]| {
        matvec_rows(&w[range.start * x.len()..range.end * x.len()], x, y);
    });
}

simd_dispatch! {
    fn matvec_rows<'a>(w: &'a [f32], x: &'a [f32], y: &'a mut [f32]) => matvec_rows_imp
}

#[inline(always)]
fn matvec_rows_imp<S: Simd>(s: S, w: &[f32], x: &[f32], y: &mut [f32]) {
    for (w, y) in w.chunks_exact(x.len().max(1)).zip(y) {
        *y = s.dot(w, x);
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
    fn matvec_matches_float64() {
        let pool = Pool::new(2);
        for (n, k) in [(1, 1), (3, 5), (65, 128), (129, 63), (700, 300)] {
            let (w, x) = (noise(n * k, 9), noise(k, 10));
            let mut y = vec![f32::NAN; n];
            matvec(&pool, &w, &x, &mut y);
            let want = reference(Mat::new(&w, n, k), Mat::new(&x, k, 1));
            for (y, want) in y.iter().zip(want) {
                assert!((f64::from(*y) - want).abs() < 1e-6 * (k + 1) as f64);
            }
        }
    }
}
