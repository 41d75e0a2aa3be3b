//! AArch64 NEON: four lanes, thirty-two registers.

use std::arch::aarch64::*;

use super::Simd;

/// Proof that the machine has NEON.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU must have NEON.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

/// Calls an intrinsic inside a method of the proof type.
macro_rules! intrinsic {
    ($e:expr) => {
        // SAFETY: `self` exists only where the instruction set does, and memory operands were checked by the caller.
        unsafe { $e }
    };
}

impl Simd for Neon {
    const LANES: usize = 4;
    const GEMM_ROWS: usize = 8;
    type F = float32x4_t;
    type U = uint32x4_t;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        intrinsic!(vdupq_n_f32(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> float32x4_t {
        assert!(x.len() >= Self::LANES);
        intrinsic!(vld1q_f32(x.as_ptr()))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> float32x4_t {
        let (four, _) = x.split_first_chunk::<4>().expect("a vector of codes");
        intrinsic!({
            let codes = vcreate_s8(u64::from(u32::from_le_bytes(four.map(|code| code as u8))));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(codes))))
        })
    }
    #[inline(always)]
    fn load_nibbles(self, x: &[u8]) -> (float32x4_t, float32x4_t) {
        let (four, _) = x.split_first_chunk::<4>().expect("a vector of codes");
        intrinsic!({
            let bytes = vcreate_u8(u64::from(u32::from_le_bytes(*four)));
            let bytes = vmovl_u16(vget_low_u16(vmovl_u8(bytes)));
            let offset = vdupq_n_f32(8.0);
            (
                vsubq_f32(vcvtq_f32_u32(vandq_u32(bytes, vdupq_n_u32(0xf))), offset),
                vsubq_f32(vcvtq_f32_u32(vshrq_n_u32::<4>(bytes)), offset),
            )
        })
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: float32x4_t) {
        assert!(x.len() >= Self::LANES);
        intrinsic!(vst1q_f32(x.as_mut_ptr(), v));
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        intrinsic!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        intrinsic!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        intrinsic!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        intrinsic!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        intrinsic!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        intrinsic!(vmaxq_f32(a, b))
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        intrinsic!(vminq_f32(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: float32x4_t) -> float32x4_t {
        intrinsic!(vsqrtq_f32(a))
    }
    #[inline(always)]
    fn exp2_biased(self, a: float32x4_t) -> float32x4_t {
        intrinsic!(vreinterpretq_f32_u32(vaddq_u32(
            vshlq_n_u32::<23>(vreinterpretq_u32_f32(a)),
            vdupq_n_u32(0x3f80_0000)
        )))
    }
    #[inline(always)]
    fn reduce_add(self, a: float32x4_t) -> f32 {
        intrinsic!(vaddvq_f32(a))
    }
    #[inline(always)]
    fn reduce_max(self, a: float32x4_t) -> f32 {
        intrinsic!(vmaxvq_f32(a))
    }
    #[inline(always)]
    fn iota(self, start: u32) -> uint32x4_t {
        intrinsic!(vaddq_u32(vdupq_n_u32(start), vld1q_u32([0, 1, 2, 3].as_ptr())))
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> uint32x4_t {
        intrinsic!(vdupq_n_u32(x))
    }
    #[inline(always)]
    fn add_u(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        intrinsic!(vaddq_u32(a, b))
    }
    #[inline(always)]
    fn mul_u(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        intrinsic!(vmulq_u32(a, b))
    }
    #[inline(always)]
    fn xor_u(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        intrinsic!(veorq_u32(a, b))
    }
    #[inline(always)]
    fn shr_u<const N: u32>(self, a: uint32x4_t) -> uint32x4_t {
        intrinsic!(vshlq_u32(a, vdupq_n_s32(-(N as i32))))
    }
    #[inline(always)]
    fn keep_if_ge(self, bits: uint32x4_t, threshold: u32, v: float32x4_t) -> float32x4_t {
        intrinsic!(vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vcgeq_u32(bits, vdupq_n_u32(threshold)))))
    }
}
