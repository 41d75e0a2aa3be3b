//! Plain Rust lanes: the reference of the other instruction sets, and the fallback where there is none.

use super::Simd;

/// Eight lanes in an array.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

const LANES: usize = 8;

#[inline(always)]
fn zip<T: Copy, R>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> R) -> [R; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Scalar {
    const LANES: usize = LANES;
    const GEMM_ROWS: usize = 4;
    type F = [f32; LANES];
    type U = [u32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::F {
        std::array::from_fn(|i| x[i])
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: Self::F) {
        x[..LANES].copy_from_slice(&v);
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // Not `f32::mul_add`: without the instruction that is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn exp2_biased(self, a: Self::F) -> Self::F {
        a.map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(1.0_f32.to_bits())))
    }
    #[inline(always)]
    fn reduce_add(self, a: Self::F) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn reduce_max(self, a: Self::F) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    fn iota(self, start: u32) -> Self::U {
        std::array::from_fn(|i| start.wrapping_add(i as u32))
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> Self::U {
        [x; LANES]
    }
    #[inline(always)]
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U {
        zip(a, b, u32::wrapping_add)
    }
    #[inline(always)]
    fn mul_u(self, a: Self::U, b: Self::U) -> Self::U {
        zip(a, b, u32::wrapping_mul)
    }
    #[inline(always)]
    fn xor_u(self, a: Self::U, b: Self::U) -> Self::U {
        zip(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn shr_u<const N: u32>(self, a: Self::U) -> Self::U {
        a.map(|a| a >> N)
    }
    #[inline(always)]
    fn keep_if_ge(self, bits: Self::U, threshold: u32, v: Self::F) -> Self::F {
        std::array::from_fn(|i| if bits[i] >= threshold { v[i] } else { 0.0 })
    }
}
