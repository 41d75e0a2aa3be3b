//! WebAssembly simd128: four lanes, no fused multiply-add.

use std::arch::wasm32::*;

use super::Simd;

/// Present wherever the crate was built with `target-feature=+simd128`.
#[derive(Clone, Copy, Debug)]
pub struct Simd128;

impl Simd for Simd128 {
    const LANES: usize = 4;
    const GEMM_ROWS: usize = 4;
    type F = v128;
    type U = v128;

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> v128 {
        assert!(x.len() >= Self::LANES);
        // SAFETY: the slice holds the 16 bytes read.
        unsafe { v128_load(x.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> v128 {
        let (four, _) = x.split_first_chunk::<4>().expect("a vector of codes");
        let codes = i32x4_splat(i32::from_le_bytes(four.map(|code| code as u8)));
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(codes)))
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8]) -> (v128, v128) {
        let (four, _) = x.split_first_chunk::<4>().expect("a vector of codes");
        let bytes = u32x4_splat(u32::from_le_bytes(*four));
        let bytes = u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes));
        let offset = f32x4_splat(8.0);
        (
            f32x4_sub(f32x4_convert_u32x4(v128_and(bytes, u32x4_splat(0xf))), offset),
            f32x4_sub(f32x4_convert_u32x4(u32x4_shr(bytes, 4)), offset),
        )
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: v128) {
        assert!(x.len() >= Self::LANES);
        // SAFETY: the slice holds the 16 bytes written.
        unsafe { v128_store(x.as_mut_ptr().cast(), v) };
    }
    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    fn div(self, a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }
    #[inline(always)]
    fn max(self, a: v128, b: v128) -> v128 {
        f32x4_max(a, b)
    }
    #[inline(always)]
    fn min(self, a: v128, b: v128) -> v128 {
        f32x4_min(a, b)
    }
    #[inline(always)]
    fn sqrt(self, a: v128) -> v128 {
        f32x4_sqrt(a)
    }
    #[inline(always)]
    fn exp2_biased(self, a: v128) -> v128 {
        i32x4_add(i32x4_shl(a, 23), i32x4_splat(0x3f80_0000))
    }
    #[inline(always)]
    fn reduce_add(self, a: v128) -> f32 {
        (f32x4_extract_lane::<0>(a) + f32x4_extract_lane::<2>(a))
            + (f32x4_extract_lane::<1>(a) + f32x4_extract_lane::<3>(a))
    }
    #[inline(always)]
    fn reduce_max(self, a: v128) -> f32 {
        (f32x4_extract_lane::<0>(a).max(f32x4_extract_lane::<1>(a)))
            .max(f32x4_extract_lane::<2>(a).max(f32x4_extract_lane::<3>(a)))
    }
    #[inline(always)]
    fn iota(self, start: u32) -> v128 {
        u32x4_add(u32x4_splat(start), u32x4(0, 1, 2, 3))
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> v128 {
        u32x4_splat(x)
    }
    #[inline(always)]
    fn add_u(self, a: v128, b: v128) -> v128 {
        u32x4_add(a, b)
    }
    #[inline(always)]
    fn mul_u(self, a: v128, b: v128) -> v128 {
        u32x4_mul(a, b)
    }
    #[inline(always)]
    fn xor_u(self, a: v128, b: v128) -> v128 {
        v128_xor(a, b)
    }
    #[inline(always)]
    fn shr_u<const N: u32>(self, a: v128) -> v128 {
        u32x4_shr(a, N)
    }
    #[inline(always)]
    fn keep_if_ge(self, bits: v128, threshold: u32, v: v128) -> v128 {
        v128_and(v, u32x4_ge(bits, u32x4_splat(threshold)))
    }
}
