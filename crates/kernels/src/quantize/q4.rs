//! q4: rows in blocks of 32 weights, each 16 bytes of codes and a scale.
//!
//! ```text
//! byte j of a block    (code of weight j) + 8 in the low four bits, (code of weight 16 + j) + 8 in the high ones
//! ```
//!
//! So 16 bytes widen to two vectors of neighbouring weights. A row that is not a multiple of 32 long is filled up with zeros.

use half::bf16;

use super::{MIN_SCALE, largest, round, scale_of};

/// Weights of a block.
pub const BLOCK: usize = 32;
/// Bytes of a block's codes.
pub const BLOCK_BYTES: usize = BLOCK / 2;
/// What is added to codes, to store them without a sign; also the magnitude of the smallest.
pub const OFFSET: u8 = 8;
/// The largest code.
pub const MAX_CODE: i8 = 7;

/// Blocks of a row of `k` weights.
pub const fn blocks(k: usize) -> usize {
    k.div_ceil(BLOCK)
}

/// 32-bit words that hold the scales of `[n, k]`, two to each.
pub fn scale_words(n: usize, k: usize) -> usize {
    (n * blocks(k)).div_ceil(2)
}

/// Bytes of the codes of a row of `k` weights.
pub const fn row_bytes(k: usize) -> usize {
    BLOCK_BYTES * blocks(k)
}

/// Assigns the codes and scales of a row.
///
/// # Panics
/// When there are not [`row_bytes`] and [`blocks`] of them.
pub fn quantize_row(w: &[f32], codes: &mut [u8], scales: &mut [bf16]) {
    check_lengths(w.len(), codes.len(), scales.len());
    let (codes, _) = codes.as_chunks_mut();
    for ((w, codes), scale) in w.chunks(BLOCK).zip(codes).zip(scales) {
        *scale = quantize_block(w, codes);
    }
}

fn quantize_block(w: &[f32], codes: &mut [u8; BLOCK_BYTES]) -> bf16 {
    let largest = largest(w);
    let exact = largest / f32::from(OFFSET);
    let scale = scale_of(if exact < MIN_SCALE {
        MIN_SCALE
    } else if w.contains(&-largest) {
        // Also where both signs reach it: the order of weights does not count.
        exact
    } else {
        -exact
    });
    let step = scale.to_f32();
    // The place of a weight that the row does not have holds the code 0.
    let code = |at: usize| w.get(at).map_or(0, |&w| round(w, step).min(MAX_CODE.into())) + i32::from(OFFSET);
    for (j, byte) in codes.iter_mut().enumerate() {
        *byte = (code(j) | code(BLOCK_BYTES + j) << 4) as u8;
    }
    scale
}

/// Assigns the weights that a row's codes stand for.
///
/// # Panics
/// As [`quantize_row`].
pub fn dequantize_row(codes: &[u8], scales: &[bf16], w: &mut [f32]) {
    check_lengths(w.len(), codes.len(), scales.len());
    let (codes, _) = codes.as_chunks::<BLOCK_BYTES>();
    for ((w, codes), scale) in w.chunks_mut(BLOCK).zip(codes).zip(scales) {
        let scale = scale.to_f32();
        for (at, w) in w.iter_mut().enumerate() {
            *w = f32::from(code(codes, at)) * scale;
        }
    }
}

/// The code of a block's weight number `at`.
fn code(codes: &[u8; BLOCK_BYTES], at: usize) -> i8 {
    let nibble = codes[at % BLOCK_BYTES] >> (4 * (at / BLOCK_BYTES)) & 0xf;
    nibble as i8 - OFFSET as i8
}

/// Whether the places beyond the `k` weights of a row hold the code 0, as in what [`quantize_row`] writes.
pub fn is_padded(codes: &[u8], k: usize) -> bool {
    let (codes, _) = codes.as_chunks();
    codes.last().is_none_or(|last| (k - BLOCK * (codes.len() - 1)..BLOCK).all(|at| code(last, at) == 0))
}

fn check_lengths(weights: usize, codes: usize, scales: usize) {
    assert_eq!((codes, scales), (row_bytes(weights), blocks(weights)), "codes and scales of {weights} weights");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantize(w: &[f32]) -> (Vec<u8>, Vec<bf16>) {
        let (mut codes, mut scales) = (vec![0xff; row_bytes(w.len())], vec![bf16::NAN; blocks(w.len())]);
        quantize_row(w, &mut codes, &mut scales);
        (codes, scales)
    }

    fn dequantize((codes, scales): &(Vec<u8>, Vec<bf16>), k: usize) -> Vec<f32> {
        let mut w = vec![f32::NAN; k];
        dequantize_row(codes, scales, &mut w);
        w
    }

    proptest! {
        #[test]
        fn a_weight_comes_back_within_half_a_scale_or_cut_off_within_a_scale(w in super::super::tests::rows()) {
            let quantized = quantize(&w);
            for (i, (&w, back)) in w.iter().zip(dequantize(&quantized, w.len())).enumerate() {
                let scale = f64::from(quantized.1[i / BLOCK].to_f32());
                let error = (f64::from(back) - f64::from(w)).abs();
                // Rounded to 8 bits, the scale is off by 2⁻⁸ of itself: the extreme may be 8 + 2⁻⁵ scales.
                let allowed = if f64::from(w) / scale <= 7.5 { 0.5 } else { 1.0 + 1.0 / 32.0 };
                prop_assert!(error <= allowed * scale.abs(), "{w} came back as {back}, scale {scale}");
            }
        }

        #[test]
        fn what_was_quantised_is_quantised_to_itself(w in super::super::tests::rows()) {
            let once = quantize(&w);
            let back = dequantize(&once, w.len());
            let twice = quantize(&back);
            prop_assert_eq!(&once, &twice);
            prop_assert!(is_padded(&once.0, w.len()));
        }
    }

    #[test]
    fn the_extreme_is_exact_up_to_its_scale_whatever_its_sign() {
        for extreme in [-8.0, 8.0] {
            let mut w = vec![0.0; 40];
            (w[3], w[17], w[35]) = (extreme, -extreme * 7.0 / 8.0, extreme / 8.0);
            let (codes, scales) = quantize(&w);
            assert_eq!(scales[0].to_f32(), -extreme / 8.0);
            assert_eq!((codes[3], codes[1]), (0x80, 0xf8), "codes -8 and 7");
            // The second block has eight weights, the third of which is its extreme.
            assert_eq!((codes[16 + 3], codes[16 + 8], codes.len()), (0x80, 0x88, 32));
            assert_eq!(dequantize(&(codes, scales), 40), w);
        }
    }

    #[test]
    fn blocks_of_zeros_of_both_signs_and_of_nothing() {
        let (codes, scales) = quantize(&[0.0; 32]);
        assert_eq!((codes, scales[0].to_f32()), (vec![0x88; 16], MIN_SCALE));
        // Both signs have the largest magnitude: the negative one is the code -8.
        assert_eq!(quantize(&[1.0, -1.0]).0[..2], [0x8f, 0x80]);
        assert_eq!(quantize(&[]), (vec![], vec![]));
        assert!(is_padded(&[], 0));
    }

    #[test]
    fn codes_beyond_the_row_are_seen() {
        let mut codes = quantize(&[1.0; 33]).0;
        assert!(is_padded(&codes, 33));
        codes[16 + 15] ^= 0x10;
        assert!(!is_padded(&codes, 33));
    }

    #[test]
    fn what_is_not_finite_stays_so_in_its_block() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let mut w = [0.5; 64];
            w[40] = bad;
            let back = dequantize(&quantize(&w), 64);
            assert!(back[..32].iter().all(|&w| w == 0.5) && back[32..].iter().all(|w| w.is_nan()));
        }
    }
}
