//! Matrix times vector, the weights float32 or float16.

use half::f16;

use super::pool::Pool;
use super::simd::Simd;
use crate::simd_dispatch;

/// A task below this many weights (about 5 µs) costs more to hand over than to do.
const WEIGHTS_PER_TASK: usize = 1 << 16;

/// `y[n] = W[n, :] · x`.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec(pool: &Pool, w: &[f32], x: &[f32], y: &mut [f32]) {
    by_rows(pool, w, x, y, rows_full);
}

/// [`matvec`] with weights that are float16, widened as they are read.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec_half(pool: &Pool, w: &[u16], x: &[f32], y: &mut [f32]) {
    by_rows(pool, w, x, y, rows_half);
}

/// Rounds to the nearest float16; finite values beyond its range become its largest.
pub fn to_half(x: &[f32], y: &mut [u16]) {
    for (y, &x) in y.iter_mut().zip(x) {
        let largest = f16::MAX.to_f32();
        *y = f16::from_f32(if x.is_finite() { x.clamp(-largest, largest) } else { x }).to_bits();
    }
}

fn by_rows<W: Sync>(pool: &Pool, w: &[W], x: &[f32], y: &mut [f32], rows: fn(&[W], &[f32], &mut [f32])) {
    let k = x.len();
    assert_eq!(w.len(), k * y.len(), "matvec: {} weights for {} x {k}", w.len(), y.len());
    let rows_per_task = pool.share(y.len(), 1).max(WEIGHTS_PER_TASK / k.max(1)).next_multiple_of(ROWS);
    pool.rows([(y, 1)], rows_per_task, |range, [y]| rows(&w[range.start * k..range.end * k], x, y));
}

/// Rows that share each load of x, and hide the latency of one another's sums.
const ROWS: usize = 4;

simd_dispatch! {
    fn rows_full<'a>(w: &'a [f32], x: &'a [f32], y: &'a mut [f32]) => rows_full_imp
}

#[inline(always)]
fn rows_full_imp<S: Simd>(s: S, w: &[f32], x: &[f32], y: &mut [f32]) {
    rows(
        s,
        w,
        x,
        y,
        #[inline(always)]
        |w| s.load(w),
        |w| w,
    );
}

simd_dispatch! {
    fn rows_half<'a>(w: &'a [u16], x: &'a [f32], y: &'a mut [f32]) => rows_half_imp
}

#[inline(always)]
fn rows_half_imp<S: Simd>(s: S, w: &[u16], x: &[f32], y: &mut [f32]) {
    rows(
        s,
        w,
        x,
        y,
        #[inline(always)]
        |w| s.load_half(w),
        |w| f16::from_bits(w).to_f32(),
    );
}

#[inline(always)]
fn rows<S: Simd, W: Copy>(
    s: S,
    w: &[W],
    x: &[f32],
    y: &mut [f32],
    load: impl Fn(&[W]) -> S::F,
    scalar: impl Fn(W) -> f32,
) {
    let k = x.len();
    let whole = k / S::LANES * S::LANES;
    let mut groups = y.chunks_exact_mut(ROWS);
    let mut row = 0;
    for y in &mut groups {
        let mut acc = [s.splat(0.0); ROWS];
        let w: [&[W]; ROWS] = std::array::from_fn(
            #[inline(always)]
            |r| &w[(row + r) * k..(row + r + 1) * k],
        );
        for at in (0..whole).step_by(S::LANES) {
            let x = s.load(&x[at..at + S::LANES]);
            for r in 0..ROWS {
                acc[r] = s.mul_add(load(&w[r][at..at + S::LANES]), x, acc[r]);
            }
        }
        for r in 0..ROWS {
            y[r] = s.reduce_add(acc[r]) + tail(&w[r][whole..], &x[whole..], &scalar);
        }
        row += ROWS;
    }
    for y in groups.into_remainder() {
        let w = &w[row * k..(row + 1) * k];
        let mut acc = s.splat(0.0);
        for at in (0..whole).step_by(S::LANES) {
            acc = s.mul_add(load(&w[at..at + S::LANES]), s.load(&x[at..at + S::LANES]), acc);
        }
        *y = s.reduce_add(acc) + tail(&w[whole..], &x[whole..], &scalar);
        row += 1;
    }
}

#[inline(always)]
fn tail<W: Copy>(w: &[W], x: &[f32], scalar: impl Fn(W) -> f32) -> f32 {
    let mut sum = 0.0;
    for (&w, &x) in w.iter().zip(x) {
        sum += scalar(w) * x;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Site, Stream};

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let stream = Stream::new(seed, 0, Site(1));
        (0..n as u32).map(|i| stream.normal(i)).collect()
    }

    #[test]
    fn both_match_float64() {
        let pool = Pool::new(2);
        for (n, k) in [(1, 1), (3, 5), (4, 16), (65, 128), (129, 63), (700, 300)] {
            let (w, x) = (noise(n * k, 9), noise(k, 10));
            let mut half = vec![0; n * k];
            to_half(&w, &mut half);
            let (mut full_y, mut half_y) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            matvec(&pool, &w, &x, &mut full_y);
            matvec_half(&pool, &half, &x, &mut half_y);
            for i in 0..n {
                let dot = |weight: &dyn Fn(usize) -> f32| -> f64 {
                    (0..k).map(|j| f64::from(weight(i * k + j)) * f64::from(x[j])).sum()
                };
                let bound = 4e-7 * (k as f64 + 1.0);
                assert!((f64::from(full_y[i]) - dot(&|at| w[at])).abs() < bound);
                // Against the rounded weights: the widening is exact.
                assert!((f64::from(half_y[i]) - dot(&|at| f16::from_bits(half[at]).to_f32())).abs() < bound);
            }
        }
    }

    #[test]
    fn rounding_saturates_and_keeps_small_numbers() {
        let x = [1e6, -1e6, 65504.0, 1e-7, 0.1, -0.0];
        let mut y = [0; 6];
        to_half(&x, &mut y);
        let back = y.map(|bits| f16::from_bits(bits).to_f32());
        assert_eq!(back[..3], [65504.0, -65504.0, 65504.0]);
        assert!((back[3] - 1e-7).abs() < 3e-8 && (back[4] - 0.1).abs() < 5e-5 && back[5] == 0.0);
    }
}
