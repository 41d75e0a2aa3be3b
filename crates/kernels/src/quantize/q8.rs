//! q8: a row of int8 codes and one scale.

use half::bf16;

use super::{MIN_SCALE, largest, round, scale_of};

/// The largest code; -128 is not used.
pub const MAX_CODE: i8 = 127;

/// Assigns the codes of a row and returns its scale.
///
/// # Panics
/// When there are not as many codes as weights.
pub fn quantize_row(w: &[f32], codes: &mut [i8]) -> bf16 {
    assert_eq!(w.len(), codes.len(), "a code for each weight");
    let exact = largest(w) / f32::from(MAX_CODE);
    // NaN stays.
    let scale = scale_of(if exact < MIN_SCALE { MIN_SCALE } else { exact });
    let step = scale.to_f32();
    for (code, &w) in codes.iter_mut().zip(w) {
        *code = round(w, step) as i8;
    }
    scale
}

/// Assigns the weights that a row's codes stand for.
///
/// # Panics
/// When there are not as many codes as weights.
pub fn dequantize_row(codes: &[i8], scale: bf16, w: &mut [f32]) {
    assert_eq!(w.len(), codes.len(), "a code for each weight");
    let scale = scale.to_f32();
    for (w, &code) in w.iter_mut().zip(codes) {
        *w = f32::from(code) * scale;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantize(w: &[f32]) -> (Vec<i8>, bf16) {
        let mut codes = vec![-128; w.len()];
        let scale = quantize_row(w, &mut codes);
        (codes, scale)
    }

    fn dequantize((codes, scale): &(Vec<i8>, bf16)) -> Vec<f32> {
        let mut w = vec![f32::NAN; codes.len()];
        dequantize_row(codes, *scale, &mut w);
        w
    }

    proptest! {
        #[test]
        fn a_weight_comes_back_within_half_a_scale(w in super::super::tests::rows()) {
            let quantized = quantize(&w);
            let scale = f64::from(quantized.1.to_f32());
            for (&w, back) in w.iter().zip(dequantize(&quantized)) {
                let error = (f64::from(back) - f64::from(w)).abs();
                prop_assert!(error <= 0.5 * scale, "{w} came back as {back}, scale {scale}");
            }
        }

        #[test]
        fn what_was_quantised_is_quantised_to_itself(w in super::super::tests::rows()) {
            let once = quantize(&w);
            prop_assert_eq!(&once, &quantize(&dequantize(&once)));
            prop_assert!(!once.0.contains(&-128));
        }
    }

    #[test]
    fn the_largest_weight_has_the_largest_code_and_halves_go_outwards() {
        let w = [127.0, -127.0, 0.5, -0.5, 0.49, 1.5, -2.5, 0.0];
        assert_eq!(quantize(&w), (vec![127, -127, 1, -1, 0, 2, -3, 0], bf16::ONE));
        assert_eq!(quantize(&[0.0, -0.0]), (vec![0, 0], bf16::from_f32(MIN_SCALE)));
        assert_eq!(quantize(&[]).0, [0_i8; 0]);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            assert!(dequantize(&quantize(&[1.0, bad, 2.0])).iter().all(|w| w.is_nan()));
        }
    }
}
