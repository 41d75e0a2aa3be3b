//! Vectorised elementary functions and activations, each with its error against the exact function (see the tests).
//!
//! Source of `exp`: Cephes' `expf`.

use super::simd::Simd;

/// `eˣ`, clamped to `[-87.3, 88]` so that the result stays normal and finite; NaN stays NaN. 2 ulp.
///
/// `x = n ln 2 + r`, `eˣ = 2ⁿ eʳ`, `|r| <= ln 2 / 2`.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low mantissa bits.
    let magic = s.splat(12_582_912.0);
    let x = s.min(s.splat(88.0), s.max(s.splat(-87.3), x));
    let biased = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), magic);
    let n = s.sub(biased, magic);
    // ln 2 in two parts: the first has few bits, so that n times it is exact.
    let r = s.mul_add(n, s.splat(-0.693_359_4), x);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = s.mul_add(p, r, s.splat(c));
    }
    let p = s.add(s.mul_add(s.mul(r, r), p, r), s.splat(1.0));
    s.mul(p, s.exp2_biased(biased))
}

/// `2√(2/π)`: GPT-2's GELU is `x/2 · (1 + tanh u) = x · σ(2u)`, `u = √(2/π)(x + 0.044715 x³)`. The sigmoid keeps its relative accuracy where
/// `1 + tanh u` cancels.
const TWO_SQRT_2_OVER_PI: f32 = 1.595_769;

/// `x · σ(2u)` and its derivative, `σ + x · σ(1 - σ) · 2u'`: they share the exponential and the division.
#[inline(always)]
pub fn gelu_new<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let x2 = s.mul(x, x);
    let two_u = s.mul(x, s.mul_add(x2, s.splat(TWO_SQRT_2_OVER_PI * 0.044_715), s.splat(TWO_SQRT_2_OVER_PI)));
    let two_du = s.mul_add(x2, s.splat(3.0 * TWO_SQRT_2_OVER_PI * 0.044_715), s.splat(TWO_SQRT_2_OVER_PI));
    let one = s.splat(1.0);
    let e = exp(s, s.sub(s.splat(0.0), two_u));
    let sigma = s.div(one, s.add(one, e));
    let y = s.mul(x, sigma);
    // 1 - σ = e σ, without the cancellation.
    (y, s.mul_add(s.mul(y, s.mul(e, sigma)), two_du, sigma))
}

/// `x σ(x)` and its derivative, `σ (1 + x (1 - σ)) = σ + x · σ(1 - σ)`: they share the exponential and the division.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let one = s.splat(1.0);
    let e = exp(s, s.sub(s.splat(0.0), x));
    let sigma = s.div(one, s.add(one, e));
    let y = s.mul(x, sigma);
    // 1 - σ = e σ, without the cancellation.
    (y, s.mul_add(y, s.mul(e, sigma), sigma))
}

/// `max(x, 0)` and its derivative, 0 or 1 (0 at 0, as in PyTorch).
#[inline(always)]
pub fn relu<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let y = s.max(s.splat(0.0), x);
    // The smallest positive float times 2¹²⁶ twice is above 1.
    let large = s.splat(8.507_059e37);
    (y, s.min(s.splat(1.0), s.mul(s.mul(y, large), large)))
}

/// `1 - Φ(|x|) = erfc(|x|/√2) / 2`, relative error below 1e-6 for `|x| < 5`.
///
/// `erfc(z) = t · exp(-z² + P(t))`, `t = 1/(1 + z/2)`: Press et al., Numerical Recipes, 6.2.
#[inline(always)]
fn upper_tail<S: Simd>(s: S, x: S::F) -> S::F {
    let z = s.mul(s.max(x, s.sub(s.splat(0.0), x)), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let one = s.splat(1.0);
    let t = s.div(one, s.mul_add(z, s.splat(0.5), one));
    let mut p = s.splat(0.170_872_77);
    for c in [
        -0.822_152_2,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ] {
        p = s.mul_add(p, t, s.splat(c));
    }
    let minus_z = s.sub(s.splat(0.0), z);
    s.mul(s.mul(t, s.splat(0.5)), exp(s, s.mul_add(minus_z, z, p)))
}

/// `x · Φ(x) = max(x, 0) - |x| (1 - Φ(|x|))`: the exact GELU.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    let magnitude = s.max(x, s.sub(zero, x));
    s.sub(s.max(zero, x), s.mul(magnitude, upper_tail(s, x)))
}

/// `d gelu / dx = Φ(x) + x φ(x)`, `φ(x) = e^(-x²/2) / √(2π)`.
#[inline(always)]
pub fn gelu_grad<S: Simd>(s: S, x: S::F) -> S::F {
    let half = s.splat(0.5);
    // The sign of x; 0 at 0, where Φ is 1/2 anyway.
    let sign = s.min(s.splat(1.0), s.max(s.splat(-1.0), s.mul(x, s.splat(f32::MAX))));
    let cdf = s.mul_add(sign, s.sub(half, upper_tail(s, x)), half);
    let pdf = s.mul(s.splat(0.398_942_3), exp(s, s.mul(s.mul(x, x), s.splat(-0.5))));
    s.mul_add(x, pdf, cdf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd;
    use crate::simd_dispatch;

    macro_rules! unary {
        ($name:ident, $imp:ident, |$s:ident, $x:ident| $f:expr) => {
            #[inline(always)]
            fn $imp<S: Simd>($s: S, x: &[f32], y: &mut [f32]) {
                $s.map(
                    x,
                    y,
                    #[inline(always)]
                    |$x| $f,
                );
            }
            simd_dispatch! { fn $name(x: &[f32], y: &mut [f32]) => $imp }
        };
    }
    unary!(exps, exps_imp, |s, x| exp(s, x));
    unary!(gelu_news, gelu_news_imp, |s, x| gelu_new(s, x).0);
    unary!(gelu_new_grads, gelu_new_grads_imp, |s, x| gelu_new(s, x).1);
    unary!(gelus, gelus_imp, |s, x| gelu(s, x));
    unary!(gelu_grads, gelu_grads_imp, |s, x| gelu_grad(s, x));
    unary!(silus, silus_imp, |s, x| silu(s, x).0);
    unary!(silu_grads, silu_grads_imp, |s, x| silu(s, x).1);
    unary!(relus, relus_imp, |s, x| relu(s, x).0);
    unary!(relu_slopes, relu_slopes_imp, |s, x| relu(s, x).1);

    fn check(f: fn(&[f32], &mut [f32]), exact: fn(f64) -> f64, range: f64, absolute: f64, relative: f64) {
        let n = 200_003; // not a multiple of any lane count: tails are covered
        let x: Vec<f32> = (0..n).map(|i| (range * (2.0 * i as f64 / (n - 1) as f64 - 1.0)) as f32).collect();
        let mut y = vec![f32::NAN; n];
        f(&x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let want = exact(f64::from(x));
            let error = (f64::from(y) - want).abs();
            assert!(error <= absolute + relative * want.abs(), "f({x}) = {y}, exact {want}");
        }
    }

    fn gelu_new_exact(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
    }

    fn gelu_exact(x: f64) -> f64 {
        0.5 * x * libm::erfc(-x / 2f64.sqrt())
    }

    fn silu_exact(x: f64) -> f64 {
        x / (1.0 + (-x).exp())
    }

    #[test]
    fn exp_is_within_two_ulp() {
        check(exps, f64::exp, 87.0, 0.0, 2.4e-7);
    }

    #[test]
    fn exp_passes_nan_and_clamps_infinities() {
        let mut y = [0.0; 3];
        exps(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY], &mut y);
        assert!(y[0].is_nan());
        assert!(y[1] > 0.0 && y[1] < 1e-37);
        assert!(y[2].is_finite() && y[2] > 1e38);
    }

    #[test]
    fn relu_and_its_slope_are_exact() {
        let x = [f32::from_bits(1), 0.0, -0.0, -1.0, 3.0, f32::MAX, f32::MIN, 1e-40, -1e-40];
        let (mut y, mut slope) = ([f32::NAN; 9], [f32::NAN; 9]);
        relus(&x, &mut y);
        relu_slopes(&x, &mut slope);
        for i in 0..9 {
            assert_eq!(y[i], x[i].max(0.0));
            assert_eq!(slope[i], if x[i] > 0.0 { 1.0 } else { 0.0 }, "{}", x[i]);
        }
    }

    #[test]
    fn gelus_match_their_definitions() {
        // A multiply-add that rounds twice (portable Rust, simd128) has twice the error of a fused one.
        let fused = matches!(simd::level(), simd::Level::Avx2 | simd::Level::Avx512 | simd::Level::Neon);
        let relative = if fused { 4e-7 } else { 8e-7 };
        check(gelu_news, gelu_new_exact, 12.0, 2e-8, relative);
        check(gelus, gelu_exact, 12.0, 2e-8, relative);
    }

    #[test]
    fn gelu_gradients_match_central_differences() {
        check(gelu_new_grads, |x| (gelu_new_exact(x + 1e-5) - gelu_new_exact(x - 1e-5)) / 2e-5, 8.0, 6e-7, 0.0);
        check(gelu_grads, |x| (gelu_exact(x + 1e-5) - gelu_exact(x - 1e-5)) / 2e-5, 8.0, 6e-7, 0.0);
    }

    #[test]
    fn silu_and_its_derivative_match_their_definitions() {
        // Beyond -87 the exponential is bounded: of -88 e^-88 and less nobody asks more digits.
        check(silus, silu_exact, 86.0, 0.0, 5e-7);
        let derivative = |x: f64| {
            let sigma = 1.0 / (1.0 + (-x).exp());
            sigma * (1.0 + x * (1.0 - sigma))
        };
        check(silu_grads, derivative, 86.0, 2e-7, 0.0);
        let mut y = [0.0; 5];
        silus(&[f32::NAN, f32::INFINITY, 1e4, 0.0, -1e4], &mut y);
        assert!(y[0].is_nan() && y[4].abs() < 1e-33, "{y:?}");
        assert_eq!(y[1..4], [f32::INFINITY, 1e4, 0.0]);
    }
}
