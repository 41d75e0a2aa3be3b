//! Matrices in 8 or 4 bits a weight: codes, small integers, and scales that a run of neighbouring weights shares.
//!
//! ```text
//! w ≈ code · scale,    code = round(w / scale), halves away from zero
//!
//! format    a scale for                 scale                   codes      bits per weight    error at most
//! q8        a row of K weights          max|w| / 127            ±127       8 + 16 / K         scale / 2
//! q4        32 neighbours of a row      the extreme / -8        -8 … 7     4.5                scale / 2; 1.04 scales where it is cut off
//! ```
//!
//! A row is what makes one output of a layer: its weights meet the same sum, so one scale serves the whole row. The extreme of a block is
//! its weight of largest magnitude, with its sign: it becomes the code -8, and the scale is negative where it is positive. So no code is
//! lost to symmetry and steps are an eighth smaller than those of ±7; what lies close to the extreme on the other side is cut off at 7
//! (llama.cpp's `q4_0`). Measured on the preset `tiny`, all its matrices but the positions in q4: the loss rises by 0.0124, with codes of ±7 by
//! 0.0197; scales that minimise the squared error of their block make that a tenth smaller and the loss no better.
//!
//! Scales are bfloat16: they have float32's range, where float16 would lose rows of small weights and overflow on large ones, and
//! `code · scale` has so few bits that float32 holds it exactly. Hence weights that were quantised are quantised to themselves.
//! Rounding a scale moves the extreme's quotient by a quarter of a step at most, so its code is the same.
//!
//! Every step is exact: quotients are compared with the middles between codes as if they had all their digits. So a GPU that does the same
//! with integers (`quantize.wgsl`) finds the same codes, whatever its divisions are worth.
//!
//! The scale of weights that are not finite (or beyond 10³⁷) is NaN, and so is all that is computed with it: a diverged model must not
//! look healthy.

pub mod q4;
pub mod q8;

use half::bf16;

/// 2⁻⁶⁴, the smallest scale, also of zeros: far below any weight that matters, far above what devices may take for 0.
const MIN_SCALE: f32 = f32::from_bits((127 - 64) << 23);
/// 2¹²⁰, the largest: no code makes it overflow.
const MAX_SCALE: f32 = f32::from_bits((127 + 120) << 23);

/// A scale in bfloat16; NaN where weights are too large, infinite or NaN.
fn scale_of(exact: f32) -> bf16 {
    if exact.abs() <= MAX_SCALE { bf16::from_f32(exact) } else { bf16::NAN }
}

/// `round(w / scale)`. `f64` divides two floats closely enough: a quotient that is not halfway between two codes is at least 2⁻²⁶ from
/// there: their difference is a multiple of the last place of `w`, divided by `scale`.
fn round(w: f32, scale: f32) -> i32 {
    let quotient = f64::from(w) / f64::from(scale);
    // Conversion cuts off towards zero; NaN becomes 0.
    (quotient + 0.5_f64.copysign(quotient)) as i32
}

/// The largest magnitude, NaN if there is one.
fn largest(w: &[f32]) -> f32 {
    // Magnitudes are ordered as their bits are, with NaN above all.
    f32::from_bits(w.iter().map(|w| w.abs().to_bits()).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Rows of all lengths around blocks, their weights of one size or of any.
    pub fn rows() -> impl Strategy<Value = Vec<f32>> {
        let sizes = prop_oneof![Just(1.0_f32), Just(1e-3), Just(1e-18), Just(1e-30), Just(1e37)];
        let alike = (prop::collection::vec(-1.0_f32..=1.0, 0..100), sizes)
            .prop_map(|(row, size)| row.into_iter().map(|w| w * size).collect());
        let any = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
        let any = prop::collection::vec(any.prop_map(|w| w.clamp(-1e37, 1e37)), 0..70);
        prop_oneof![alike, any]
    }
}
