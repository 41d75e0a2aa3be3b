//! WebAssembly simd128: four lanes, no fused multiply-add.

use std::arch::wasm32::*;

use super::Simd;

/// Present wherever the crate was built with `target-feature=+simd128`.
#[derive(Clone, Copy, Debug)]
pub struct Simd128;

impl Simd for Simd128 {
    const LANES: usize = 4;
    const GEMM_ROWS: usize = 4;
    // Without fused operations each product needs a register of its own on its way: of 4 × 3 accumulators x86-64 has to spill some. Chromium
    // multiplies 5 to 10 % faster so.
    const GEMM_VECTORS: usize = 2;
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
    // The pseudo-minimum and -maximum are one instruction; those that care for every NaN and for the sign of 0 are seven.
    #[inline(always)]
    fn max(self, a: v128, b: v128) -> v128 {
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    fn min(self, a: v128, b: v128) -> v128 {
        f32x4_pmin(b, a)
    }
    #[inline(always)]
    fn transpose_8x8(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        for (x, y) in [(0, 0), (4, 0), (0, 4), (4, 4)] {
            let [a, b, c, d] = std::array::from_fn(
                #[inline(always)]
                |i| self.load(&src[(x + i) * src_stride + y..]),
            );
            // Pairs of rows, then pairs of pairs.
            let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
            let (ab_high, cd_high) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
            let rows = [
                i64x2_shuffle::<0, 2>(ab, cd),
                i64x2_shuffle::<1, 3>(ab, cd),
                i64x2_shuffle::<0, 2>(ab_high, cd_high),
                i64x2_shuffle::<1, 3>(ab_high, cd_high),
            ];
            for (i, row) in rows.into_iter().enumerate() {
                self.store(&mut dst[(y + i) * dst_stride + x..], row);
            }
        }
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
