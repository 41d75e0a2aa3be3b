//! AVX2 + FMA (eight lanes) and AVX-512 F (sixteen lanes).

use std::arch::x86_64::*;

use super::Simd;

/// Proof that the machine has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// Proof that the machine has AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU must have AVX-512 F.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// Calls an intrinsic inside a method of a proof type.
macro_rules! intrinsic {
    ($e:expr) => {
        // SAFETY: `self` exists only where the instruction set does, and memory operands were checked by the caller.
        unsafe { $e }
    };
}

/// Eight rows of eight in registers: interleave pairs of rows, then pairs of pairs, then swap halves.
#[inline(always)]
fn transpose_8x8(_: Avx2, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
    assert!(src.len() >= 7 * src_stride + 8 && dst.len() >= 7 * dst_stride + 8);
    // SAFETY: the proof type shows that the machine has AVX; all rows lie inside the slices, as just checked.
    unsafe {
        let r: [__m256; 8] = std::array::from_fn(
            #[inline(always)]
            |i| _mm256_loadu_ps(src.as_ptr().add(i * src_stride)),
        );
        let pair = [
            _mm256_unpacklo_ps(r[0], r[1]),
            _mm256_unpackhi_ps(r[0], r[1]),
            _mm256_unpacklo_ps(r[2], r[3]),
            _mm256_unpackhi_ps(r[2], r[3]),
            _mm256_unpacklo_ps(r[4], r[5]),
            _mm256_unpackhi_ps(r[4], r[5]),
            _mm256_unpacklo_ps(r[6], r[7]),
            _mm256_unpackhi_ps(r[6], r[7]),
        ];
        let quad = [
            _mm256_shuffle_ps::<0x44>(pair[0], pair[2]),
            _mm256_shuffle_ps::<0xee>(pair[0], pair[2]),
            _mm256_shuffle_ps::<0x44>(pair[1], pair[3]),
            _mm256_shuffle_ps::<0xee>(pair[1], pair[3]),
            _mm256_shuffle_ps::<0x44>(pair[4], pair[6]),
            _mm256_shuffle_ps::<0xee>(pair[4], pair[6]),
            _mm256_shuffle_ps::<0x44>(pair[5], pair[7]),
            _mm256_shuffle_ps::<0xee>(pair[5], pair[7]),
        ];
        for y in 0..4 {
            let out = dst.as_mut_ptr().add(y * dst_stride);
            _mm256_storeu_ps(out, _mm256_permute2f128_ps::<0x20>(quad[y], quad[y + 4]));
            _mm256_storeu_ps(out.add(4 * dst_stride), _mm256_permute2f128_ps::<0x31>(quad[y], quad[y + 4]));
        }
    }
}

impl Avx2 {
    /// All bits set in the first `n` lanes.
    #[inline(always)]
    fn first(n: usize) -> __m256i {
        // SAFETY: private, and called from methods of the proof type only.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(8) as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }
}

impl Avx512 {
    /// A bit for each of the first `n` lanes.
    #[inline(always)]
    fn first(n: usize) -> __mmask16 {
        ((1_u32 << n.min(16)) - 1) as __mmask16
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const GEMM_ROWS: usize = 4;
    type F = __m256;
    type U = __m256i;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        intrinsic!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm256_loadu_ps(x.as_ptr()))
    }
    #[inline(always)]
    fn load_half(self, x: &[u16]) -> __m256 {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m256 {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(x.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8]) -> (__m256, __m256) {
        assert!(x.len() >= Self::LANES);
        intrinsic!({
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(x.as_ptr().cast()));
            let low = _mm256_and_si256(bytes, _mm256_set1_epi32(0xf));
            let offset = _mm256_set1_ps(8.0);
            (
                _mm256_sub_ps(_mm256_cvtepi32_ps(low), offset),
                _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(bytes)), offset),
            )
        })
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m256) {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm256_storeu_ps(x.as_mut_ptr(), v));
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> __m256 {
        // Masked-out lanes are not read.
        intrinsic!({
            let mask = Self::first(x.len());
            _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(x.as_ptr(), mask), _mm256_castsi256_ps(mask))
        })
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: __m256) {
        // Masked-out lanes are not written.
        intrinsic!(_mm256_maskstore_ps(x.as_mut_ptr(), Self::first(x.len()), v));
    }
    #[inline(always)]
    fn transpose_8x8(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        transpose_8x8(self, src, src_stride, dst, dst_stride);
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        intrinsic!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn exp2_biased(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_castsi256_ps(_mm256_add_epi32(
            _mm256_slli_epi32::<23>(_mm256_castps_si256(a)),
            _mm256_set1_epi32(0x3f80_0000)
        )))
    }
    #[inline(always)]
    fn reduce_add(self, a: __m256) -> f32 {
        intrinsic!({
            let half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        })
    }
    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        intrinsic!({
            let half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        })
    }
    #[inline(always)]
    fn iota(self, start: u32) -> __m256i {
        intrinsic!(_mm256_add_epi32(_mm256_set1_epi32(start as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> __m256i {
        intrinsic!(_mm256_set1_epi32(x as i32))
    }
    #[inline(always)]
    fn add_u(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn mul_u(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn xor_u(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_xor_si256(a, b))
    }
    #[inline(always)]
    fn shr_u<const N: u32>(self, a: __m256i) -> __m256i {
        intrinsic!(_mm256_srl_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    fn keep_if_ge(self, bits: __m256i, threshold: u32, v: __m256) -> __m256 {
        // AVX2 compares integers only signed and for equality: unsigned a >= b is max(a, b) == a.
        intrinsic!({
            let ge = _mm256_cmpeq_epi32(_mm256_max_epu32(bits, _mm256_set1_epi32(threshold as i32)), bits);
            _mm256_and_ps(v, _mm256_castsi256_ps(ge))
        })
    }
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const GEMM_ROWS: usize = 8;
    type F = __m512;
    type U = __m512i;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        intrinsic!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm512_loadu_ps(x.as_ptr()))
    }
    #[inline(always)]
    fn load_half(self, x: &[u16]) -> __m512 {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m512 {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8]) -> (__m512, __m512) {
        assert!(x.len() >= Self::LANES);
        intrinsic!({
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().cast()));
            // A permutation looks at the low four bits of an index alone: sixteen numbers are looked up by it.
            let codes =
                _mm512_setr_ps(-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
            (_mm512_permutexvar_ps(bytes, codes), _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(bytes), codes))
        })
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m512) {
        assert!(x.len() >= Self::LANES);
        intrinsic!(_mm512_storeu_ps(x.as_mut_ptr(), v));
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> __m512 {
        // Masked-out lanes are not read.
        intrinsic!(_mm512_mask_loadu_ps(_mm512_set1_ps(fill), Self::first(x.len()), x.as_ptr()))
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: __m512) {
        // Masked-out lanes are not written.
        intrinsic!(_mm512_mask_storeu_ps(x.as_mut_ptr(), Self::first(x.len()), v));
    }
    #[inline(always)]
    fn transpose_8x8(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        transpose_8x8(Avx2(()), src, src_stride, dst, dst_stride);
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        intrinsic!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn exp2_biased(self, a: __m512) -> __m512 {
        intrinsic!(_mm512_castsi512_ps(_mm512_add_epi32(
            _mm512_slli_epi32::<23>(_mm512_castps_si512(a)),
            _mm512_set1_epi32(0x3f80_0000)
        )))
    }
    #[inline(always)]
    fn reduce_add(self, a: __m512) -> f32 {
        intrinsic!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        intrinsic!(_mm512_reduce_max_ps(a))
    }
    #[inline(always)]
    fn iota(self, start: u32) -> __m512i {
        intrinsic!(_mm512_add_epi32(
            _mm512_set1_epi32(start as i32),
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
        ))
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> __m512i {
        intrinsic!(_mm512_set1_epi32(x as i32))
    }
    #[inline(always)]
    fn add_u(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn mul_u(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn xor_u(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn shr_u<const N: u32>(self, a: __m512i) -> __m512i {
        intrinsic!(_mm512_srli_epi32::<N>(a))
    }
    #[inline(always)]
    fn keep_if_ge(self, bits: __m512i, threshold: u32, v: __m512) -> __m512 {
        intrinsic!(_mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(bits, _mm512_set1_epi32(threshold as i32)), v))
    }
}
