//! Matrix times vector, the weights float32, float16 or codes of 8 or 4 bits.

use std::ops::Range;

use half::f16;

use super::pool::Pool;
use super::simd::Simd;
use crate::quantize::q4;
use crate::simd_dispatch;

/// A task below this many weights (about 5 µs) costs more to hand over than to do.
const WEIGHTS_PER_TASK: usize = 1 << 16;

/// `y[n] = W[n, :] · x`.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec(pool: &Pool, w: &[f32], x: &[f32], y: &mut [f32]) {
    assert_eq!(w.len(), x.len() * y.len(), "matvec: {} weights for {} x {}", w.len(), y.len(), x.len());
    by_rows(pool, x.len(), y, |range, y| rows_full(&w[range.start * x.len()..range.end * x.len()], x, y));
}

/// [`matvec`] with weights that are float16, widened as they are read.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec_half(pool: &Pool, w: &[u16], x: &[f32], y: &mut [f32]) {
    assert_eq!(w.len(), x.len() * y.len(), "matvec: {} weights for {} x {}", w.len(), y.len(), x.len());
    by_rows(pool, x.len(), y, |range, y| rows_half(&w[range.start * x.len()..range.end * x.len()], x, y));
}

/// [`matvec`] with [`q8`](crate::quantize::q8): `y[n] = scales[n] · (codes[n, :] · x)`. Rows of codes may be longer than `x`.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec_q8(pool: &Pool, codes: &[i8], scales: &[f32], x: &[f32], y: &mut [f32]) {
    let stride = codes.len() / y.len().max(1);
    let fits = codes.len() == stride * y.len() && stride >= x.len() && scales.len() == y.len();
    assert!(fits, "matvec: {} codes and {} scales for {} x {}", codes.len(), scales.len(), y.len(), x.len());
    by_rows(pool, x.len(), y, |range, y| {
        rows_q8(&codes[range.start * stride..range.end * stride], stride, x, y);
        y.iter_mut().zip(&scales[range]).for_each(|(y, scale)| *y *= scale);
    });
}

/// [`matvec`] with [`q4`]: `y[n] = Σ scales[n, block] · (codes[n, block] · x[block])`.
///
/// # Panics
/// When the shapes do not fit.
pub fn matvec_q4(pool: &Pool, codes: &[u8], scales: &[f32], x: &[f32], y: &mut [f32]) {
    let blocks = q4::blocks(x.len());
    let fits = codes.len() == q4::BLOCK_BYTES * blocks * y.len() && scales.len() == blocks * y.len();
    assert!(fits, "matvec: {} codes and {} scales for {} x {}", codes.len(), scales.len(), y.len(), x.len());
    let (codes, _) = codes.as_chunks();
    let (whole, rest) = x.as_chunks();
    // What the last block has beyond the row counts as zero.
    let mut last = [[0.0; q4::BLOCK]];
    last[0][..rest.len()].copy_from_slice(rest);
    let last = &last[..usize::from(!rest.is_empty())];
    by_rows(pool, x.len(), y, |range, y| {
        let blocks = range.start * blocks..range.end * blocks;
        rows_q4(&codes[blocks.clone()], &scales[blocks], whole, last, y);
    });
}

/// Rounds to the nearest float16; finite values beyond its range become its largest.
pub fn to_half(x: &[f32], y: &mut [u16]) {
    for (y, &x) in y.iter_mut().zip(x) {
        let largest = f16::MAX.to_f32();
        *y = f16::from_f32(if x.is_finite() { x.clamp(-largest, largest) } else { x }).to_bits();
    }
}

fn by_rows(pool: &Pool, k: usize, y: &mut [f32], rows: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    let rows_per_task = pool.share(y.len(), 1).max(WEIGHTS_PER_TASK / k.max(1)).next_multiple_of(ROWS);
    pool.rows([(y, 1)], rows_per_task, |range, [y]| rows(range, y));
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
        x.len(),
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
        x.len(),
        x,
        y,
        #[inline(always)]
        |w| s.load_half(w),
        |w| f16::from_bits(w).to_f32(),
    );
}

simd_dispatch! {
    fn rows_q8<'a>(w: &'a [i8], stride: usize, x: &'a [f32], y: &'a mut [f32]) => rows_q8_imp
}

#[inline(always)]
fn rows_q8_imp<S: Simd>(s: S, w: &[i8], stride: usize, x: &[f32], y: &mut [f32]) {
    rows(
        s,
        w,
        stride,
        x,
        y,
        #[inline(always)]
        |w| s.load_i8(w),
        f32::from,
    );
}

type Codes = [u8; q4::BLOCK_BYTES];
type Inputs = [f32; q4::BLOCK];

simd_dispatch! {
    fn rows_q4<'a>(
        codes: &'a [Codes],
        scales: &'a [f32],
        whole: &'a [Inputs],
        last: &'a [Inputs],
        y: &'a mut [f32],
    ) => rows_q4_imp
}

#[inline(always)]
fn rows_q4_imp<S: Simd>(s: S, codes: &[Codes], scales: &[f32], whole: &[Inputs], last: &[Inputs], y: &mut [f32]) {
    let blocks = whole.len() + last.len();
    let (mut codes, mut scales) = (codes.chunks_exact(ROWS * blocks), scales.chunks_exact(ROWS * blocks));
    let mut groups = y.chunks_exact_mut(ROWS);
    for ((y, codes), scales) in (&mut groups).zip(&mut codes).zip(&mut scales) {
        let acc = add_blocks::<S, ROWS>(s, codes, scales, blocks, 0, whole, [s.splat(0.0); ROWS]);
        let acc = add_blocks(s, codes, scales, blocks, whole.len(), last, acc);
        for r in 0..ROWS {
            y[r] = s.reduce_add(acc[r]);
        }
    }
    let codes = codes.remainder().chunks_exact(blocks);
    let scales = scales.remainder().chunks_exact(blocks);
    for ((y, codes), scales) in groups.into_remainder().iter_mut().zip(codes).zip(scales) {
        let acc = add_blocks::<S, 1>(s, codes, scales, blocks, 0, whole, [s.splat(0.0)]);
        let [acc] = add_blocks(s, codes, scales, blocks, whole.len(), last, acc);
        *y = s.reduce_add(acc);
    }
}

/// `acc[r] + Σ scale · (codes · x)` over the blocks of `x`, which are those of the `R` rows from `first` on.
#[inline(always)]
fn add_blocks<S: Simd, const R: usize>(
    s: S,
    codes: &[Codes],
    scales: &[f32],
    blocks: usize,
    first: usize,
    x: &[Inputs],
    mut acc: [S::F; R],
) -> [S::F; R] {
    let codes: [&[Codes]; R] = std::array::from_fn(
        #[inline(always)]
        |r| &codes[r * blocks + first..][..x.len()],
    );
    let scales: [&[f32]; R] = std::array::from_fn(
        #[inline(always)]
        |r| &scales[r * blocks + first..][..x.len()],
    );
    for (block, x) in x.iter().enumerate() {
        for r in 0..R {
            let mut sum = s.splat(0.0);
            for at in (0..q4::BLOCK_BYTES).step_by(S::LANES) {
                let (low, high) = s.load_nibbles(&codes[r][block][at..]);
                sum = s.mul_add(low, s.load(&x[at..]), sum);
                sum = s.mul_add(high, s.load(&x[q4::BLOCK_BYTES + at..]), sum);
            }
            acc[r] = s.mul_add(sum, s.splat(scales[r][block]), acc[r]);
        }
    }
    acc
}

#[inline(always)]
fn rows<S: Simd, W: Copy>(
    s: S,
    w: &[W],
    stride: usize,
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
            |r| &w[(row + r) * stride..][..k],
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
        let w = &w[row * stride..][..k];
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
    use half::bf16;

    use super::*;
    use crate::quantize::q8;
    use crate::rng::{Site, Stream};

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let stream = Stream::new(seed, 0, Site(1));
        (0..n as u32).map(|i| stream.normal(i)).collect()
    }

    /// Codes in rows of whole words, scales, and the weights that they stand for.
    fn quantize_q8(w: &[f32], k: usize) -> (Vec<i8>, Vec<f32>, Vec<f32>) {
        let stride = k.next_multiple_of(4);
        // What lies between the rows is not to be read.
        let (mut codes, mut scales, mut back) = (vec![99; w.len() / k * stride], Vec::new(), w.to_vec());
        for ((w, codes), back) in w.chunks(k).zip(codes.chunks_mut(stride)).zip(back.chunks_mut(k)) {
            let scale = q8::quantize_row(w, &mut codes[..k]);
            q8::dequantize_row(&codes[..k], scale, back);
            scales.push(scale.to_f32());
        }
        (codes, scales, back)
    }

    /// As [`quantize_q8`].
    fn quantize_q4(w: &[f32], k: usize) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
        let mut row = vec![bf16::ZERO; q4::blocks(k)];
        let (mut codes, mut scales, mut back) = (vec![0; w.len() / k * q4::row_bytes(k)], Vec::new(), w.to_vec());
        for ((w, codes), back) in w.chunks(k).zip(codes.chunks_mut(q4::row_bytes(k))).zip(back.chunks_mut(k)) {
            q4::quantize_row(w, codes, &mut row);
            q4::dequantize_row(codes, &row, back);
            scales.extend(row.iter().map(|scale| scale.to_f32()));
        }
        (codes, scales, back)
    }

    #[test]
    fn all_match_float64() {
        let pool = Pool::new(2);
        for (n, k) in [(1, 1), (3, 5), (4, 16), (65, 128), (129, 63), (700, 300)] {
            let (w, x) = (noise(n * k, 9), noise(k, 10));
            let mut half = vec![0; n * k];
            to_half(&w, &mut half);
            let (q8, q8_scales, q8_weights) = quantize_q8(&w, k);
            let (q4, q4_scales, q4_weights) = quantize_q4(&w, k);
            let [mut full_y, mut half_y, mut q8_y, mut q4_y] = [(); 4].map(|()| vec![f32::NAN; n]);
            matvec(&pool, &w, &x, &mut full_y);
            matvec_half(&pool, &half, &x, &mut half_y);
            matvec_q8(&pool, &q8, &q8_scales, &x, &mut q8_y);
            matvec_q4(&pool, &q4, &q4_scales, &x, &mut q4_y);
            for i in 0..n {
                let dot = |weight: &dyn Fn(usize) -> f32| -> f64 {
                    (0..k).map(|j| f64::from(weight(i * k + j)) * f64::from(x[j])).sum()
                };
                let bound = 4e-7 * (k as f64 + 1.0);
                assert!((f64::from(full_y[i]) - dot(&|at| w[at])).abs() < bound);
                // Against the rounded weights: widening and dequantising are exact.
                assert!((f64::from(half_y[i]) - dot(&|at| f16::from_bits(half[at]).to_f32())).abs() < bound);
                assert!((f64::from(q8_y[i]) - dot(&|at| q8_weights[at])).abs() < bound);
                assert!((f64::from(q4_y[i]) - dot(&|at| q4_weights[at])).abs() < bound);
            }
        }
    }

    #[test]
    fn codes_give_the_same_bits_on_any_number_of_threads() {
        for (n, k) in [(65, 128), (700, 300), (2051, 65)] {
            let (w, x) = (noise(n * k, 9), noise(k, 10));
            let (q8, q8_scales, _) = quantize_q8(&w, k);
            let (q4, q4_scales, _) = quantize_q4(&w, k);
            let products = |threads| {
                let pool = Pool::new(threads);
                let (mut a, mut b) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                matvec_q8(&pool, &q8, &q8_scales, &x, &mut a);
                matvec_q4(&pool, &q4, &q4_scales, &x, &mut b);
                (a, b)
            };
            assert_eq!(products(1), products(3));
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
