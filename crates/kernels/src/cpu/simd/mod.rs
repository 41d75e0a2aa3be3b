//! A vector of `f32` lanes, one implementation per instruction set.
//!
//! A kernel is written once as `fn kernel<S: Simd>(s: S, …)`, marked `#[inline(always)]`, and made callable by
//! [`simd_dispatch!`](crate::simd_dispatch), which compiles it for every instruction set and picks at run time.
//! A value of type `Avx512` (say) is the proof that the machine has AVX-512: that is what makes the intrinsics inside the
//! methods sound, so the constructors are `unsafe` and called by the macro alone.
//!
//! Closures handed to these methods are marked `#[inline(always)]` too: a closure that is compiled on its own lacks the
//! instruction set, and every intrinsic in it becomes a call (measured: 40 times slower).

#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod scalar;
#[cfg(target_arch = "wasm32")]
pub mod wasm;
#[cfg(target_arch = "x86_64")]
pub mod x86;

/// Most lanes of any instruction set; sizes stack buffers for tails.
pub const MAX_LANES: usize = 16;

/// Operations on `LANES` float32 lanes. Slices passed to loads and stores hold at least `LANES` elements (checked).
pub trait Simd: Copy + Send + Sync + 'static {
    /// Lanes per vector.
    const LANES: usize;
    /// Rows of the register tile of the matrix product: with [`Self::GEMM_VECTORS`] columns of accumulators this
    /// fills the register file (32 registers: 8 × 3 accumulators; 16 registers: 4 × 3) and leaves room for operands.
    const GEMM_ROWS: usize;
    /// Vectors in each row of the tile: 2 or 3.
    const GEMM_VECTORS: usize = 3;
    /// A vector of `LANES` floats.
    type F: Copy;
    /// A vector of `LANES` unsigned 32-bit integers.
    type U: Copy;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::F;
    /// The first `LANES` elements of `x`.
    fn load(self, x: &[f32]) -> Self::F;
    /// The first `LANES` elements of `x`, bits of float16 (not NaN or infinite), widened.
    #[inline(always)]
    fn load_half(self, x: &[u16]) -> Self::F {
        let mut buffer = [0.0; MAX_LANES];
        for (y, &x) in buffer.iter_mut().zip(&x[..Self::LANES]) {
            // Moves exponent and mantissa into place and corrects the bias (15 against 127) by 2¹¹², which also normalises subnormals.
            const TWO_TO_THE_112: f32 = f32::from_bits((112 + 127) << 23);
            let magnitude = f32::from_bits(u32::from(x & 0x7fff) << 13) * TWO_TO_THE_112;
            *y = f32::from_bits(magnitude.to_bits() | u32::from(x & 0x8000) << 16);
        }
        self.load(&buffer)
    }
    /// The first `LANES` elements of `x`.
    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> Self::F {
        let mut buffer = [0.0; MAX_LANES];
        for (y, &x) in buffer.iter_mut().zip(&x[..Self::LANES]) {
            *y = x.into();
        }
        self.load(&buffer)
    }
    /// Low and high halves of the first `LANES` bytes of `x`, each from 0 to 15, minus 8.
    #[inline(always)]
    fn load_nibbles(self, x: &[u8]) -> (Self::F, Self::F) {
        let (mut low, mut high) = ([0; MAX_LANES], [0; MAX_LANES]);
        for (i, &byte) in x[..Self::LANES].iter().enumerate() {
            (low[i], high[i]) = ((byte & 0xf) as i8 - 8, (byte >> 4) as i8 - 8);
        }
        (self.load_i8(&low), self.load_i8(&high))
    }
    /// Writes the lanes over the first `LANES` elements of `x`.
    fn store(self, x: &mut [f32], v: Self::F);
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, fused where the hardware fuses.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; a NaN in `b` comes through.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; a NaN in `b` comes through.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `√a`.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `2ⁿ` from `1.5·2²³ + n` (the sum whose low mantissa bits are the integer `n`), `-126 <= n <= 127`.
    fn exp2_biased(self, a: Self::F) -> Self::F;
    /// Sum of the lanes, in a fixed order.
    fn reduce_add(self, a: Self::F) -> f32;
    /// Largest lane.
    fn reduce_max(self, a: Self::F) -> f32;

    /// `start, start + 1, …` (wrapping).
    fn iota(self, start: u32) -> Self::U;
    /// Every lane `x`.
    fn splat_u(self, x: u32) -> Self::U;
    /// `a + b` (wrapping).
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// `a * b` (wrapping).
    fn mul_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// `a ^ b`.
    fn xor_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// `a >> N`.
    fn shr_u<const N: u32>(self, a: Self::U) -> Self::U;
    /// `v` where `bits >= threshold`, else 0.
    fn keep_if_ge(self, bits: Self::U, threshold: u32, v: Self::F) -> Self::F;

    /// All elements of a slice shorter than a vector, the other lanes `fill`.
    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> Self::F {
        let mut buffer = [fill; MAX_LANES];
        buffer[..x.len()].copy_from_slice(x);
        self.load(&buffer)
    }

    /// Writes the first lanes over all of a slice shorter than a vector.
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: Self::F) {
        let mut buffer = [0.0; MAX_LANES];
        self.store(&mut buffer, v);
        x.copy_from_slice(&buffer[..x.len()]);
    }

    /// `dst[y * dst_stride + x] = src[x * src_stride + y]` for `x, y < 8`.
    #[inline(always)]
    fn transpose_8x8(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        for x in 0..8 {
            for y in 0..8 {
                dst[y * dst_stride + x] = src[x * src_stride + y];
            }
        }
    }

    /// Applies `f` lane-wise: `y[i] = f(x[i])`.
    #[inline(always)]
    fn map(self, x: &[f32], y: &mut [f32], f: impl Fn(Self::F) -> Self::F) {
        assert_eq!(x.len(), y.len());
        let mut xs = x.chunks_exact(Self::LANES);
        let mut ys = y.chunks_exact_mut(Self::LANES);
        for (x, y) in (&mut xs).zip(&mut ys) {
            self.store(y, f(self.load(x)));
        }
        let (x, y) = (xs.remainder(), ys.into_remainder());
        if !x.is_empty() {
            self.store_partial(y, f(self.load_partial(x, 0.0)));
        }
    }

    /// Updates `y` lane-wise: `y[i] = f(y[i])`.
    #[inline(always)]
    fn update_each(self, y: &mut [f32], f: impl Fn(Self::F) -> Self::F) {
        let mut ys = y.chunks_exact_mut(Self::LANES);
        for y in &mut ys {
            let v = f(self.load(y));
            self.store(y, v);
        }
        let y = ys.into_remainder();
        if !y.is_empty() {
            let v = f(self.load_partial(y, 0.0));
            self.store_partial(y, v);
        }
    }

    /// Updates `x` and assigns `y` lane-wise: `(x[i], y[i]) = f(x[i])`.
    #[inline(always)]
    fn update_two(self, x: &mut [f32], y: &mut [f32], f: impl Fn(Self::F) -> (Self::F, Self::F)) {
        assert_eq!(x.len(), y.len());
        let mut xs = x.chunks_exact_mut(Self::LANES);
        let mut ys = y.chunks_exact_mut(Self::LANES);
        for (x, y) in (&mut xs).zip(&mut ys) {
            let (a, b) = f(self.load(x));
            self.store(x, a);
            self.store(y, b);
        }
        let (x, y) = (xs.into_remainder(), ys.into_remainder());
        if !x.is_empty() {
            let (a, b) = f(self.load_partial(x, 0.0));
            self.store_partial(x, a);
            self.store_partial(y, b);
        }
    }

    /// Updates `y` lane-wise from itself and `x`: `y[i] = f(y[i], x[i])`.
    #[inline(always)]
    fn update(self, y: &mut [f32], x: &[f32], f: impl Fn(Self::F, Self::F) -> Self::F) {
        assert_eq!(x.len(), y.len());
        let mut xs = x.chunks_exact(Self::LANES);
        let mut ys = y.chunks_exact_mut(Self::LANES);
        for (x, y) in (&mut xs).zip(&mut ys) {
            let v = f(self.load(y), self.load(x));
            self.store(y, v);
        }
        let (x, y) = (xs.remainder(), ys.into_remainder());
        if !x.is_empty() {
            let v = f(self.load_partial(y, 0.0), self.load_partial(x, 0.0));
            self.store_partial(y, v);
        }
    }

    /// Folds the slice into one vector: `acc = f(acc, x[i])`; a tail is filled up with `fill`, which must not change `acc`.
    #[inline(always)]
    fn fold(self, x: &[f32], start: Self::F, fill: f32, f: impl Fn(Self::F, Self::F) -> Self::F) -> Self::F {
        let mut acc = start;
        let mut xs = x.chunks_exact(Self::LANES);
        for x in &mut xs {
            acc = f(acc, self.load(x));
        }
        if !xs.remainder().is_empty() {
            acc = f(acc, self.load_partial(xs.remainder(), fill));
        }
        acc
    }

    /// `Σ x[i]`.
    #[inline(always)]
    fn sum(self, x: &[f32]) -> f32 {
        self.reduce_add(self.fold(
            x,
            self.splat(0.0),
            0.0,
            #[inline(always)]
            |acc, v| self.add(acc, v),
        ))
    }

    /// `max x[i]`; a NaN may or may not come through.
    #[inline(always)]
    fn maximum(self, x: &[f32]) -> f32 {
        self.reduce_max(self.fold(
            x,
            self.splat(f32::NEG_INFINITY),
            f32::NEG_INFINITY,
            #[inline(always)]
            |acc, v| self.max(acc, v),
        ))
    }

    /// `Σ x[i]·y[i]`.
    #[inline(always)]
    fn dot(self, x: &[f32], y: &[f32]) -> f32 {
        assert_eq!(x.len(), y.len());
        // Four independent sums hide the latency of the multiply-add.
        let step = 4 * Self::LANES;
        let mut acc = [self.splat(0.0); 4];
        let mut xs = x.chunks_exact(step);
        let mut ys = y.chunks_exact(step);
        for (x, y) in (&mut xs).zip(&mut ys) {
            for (i, acc) in acc.iter_mut().enumerate() {
                let at = i * Self::LANES;
                *acc = self.mul_add(self.load(&x[at..]), self.load(&y[at..]), *acc);
            }
        }
        let mut xs = xs.remainder().chunks_exact(Self::LANES);
        let mut ys = ys.remainder().chunks_exact(Self::LANES);
        for (x, y) in (&mut xs).zip(&mut ys) {
            acc[0] = self.mul_add(self.load(x), self.load(y), acc[0]);
        }
        if !xs.remainder().is_empty() {
            let (x, y) = (self.load_partial(xs.remainder(), 0.0), self.load_partial(ys.remainder(), 0.0));
            acc[1] = self.mul_add(x, y, acc[1]);
        }
        self.reduce_add(self.add(self.add(acc[0], acc[1]), self.add(acc[2], acc[3])))
    }
}

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Plain Rust, eight lanes; whatever the compiler makes of it.
    Scalar,
    /// x86-64 AVX2 with FMA, eight lanes.
    Avx2,
    /// x86-64 AVX-512 F, sixteen lanes.
    Avx512,
    /// AArch64 NEON, four lanes.
    Neon,
    /// WebAssembly simd128, four lanes.
    Simd128,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scalar => "portable",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Neon => "NEON",
            Self::Simd128 => "simd128",
        })
    }
}

/// The widest instruction set of this machine. On x86-64 it is found once, and the environment variable `INKLING_SIMD`
/// (`portable`, `avx2`; anything else is ignored) asks for a narrower one, so that every path can be tested and timed on one machine.
/// Elsewhere the compiler knows it, and leaves the other paths out.
#[inline]
pub fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *LEVEL.get_or_init(detect)
    }
    #[cfg(not(target_arch = "x86_64"))]
    detect()
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let wanted = std::env::var("INKLING_SIMD").unwrap_or_default();
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    if wanted == "portable" || !avx2 {
        Level::Scalar
    } else if wanted == "avx2" || !is_x86_feature_detected!("avx512f") {
        Level::Avx2
    } else {
        Level::Avx512
    }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn detect() -> Level {
    Level::Neon
}

#[cfg(target_arch = "wasm32")]
#[inline]
fn detect() -> Level {
    if cfg!(target_feature = "simd128") { Level::Simd128 } else { Level::Scalar }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")))]
#[inline]
fn detect() -> Level {
    Level::Scalar
}

/// Makes a callable function of a kernel `fn imp<S: Simd>(s: S, args…)`, compiled once per instruction set.
#[macro_export]
#[doc(hidden)]
macro_rules! simd_dispatch {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($lt:lifetime),*>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? => $imp:path) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "the arguments are the kernel's")]
        $vis fn $name $(<$($lt),*>)? ($($arg: $ty),*) $(-> $ret)? {
            use $crate::cpu::simd::{self, Level};
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma,f16c")]
                #[allow(clippy::too_many_arguments, reason = "the arguments are the kernel's")]
                fn avx512 $(<$($lt),*>)? ($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: this function is only called on machines with AVX-512 F.
                    $imp(unsafe { simd::x86::Avx512::new() }, $($arg),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                #[allow(clippy::too_many_arguments, reason = "the arguments are the kernel's")]
                fn avx2 $(<$($lt),*>)? ($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: this function is only called on machines with AVX2 and FMA.
                    $imp(unsafe { simd::x86::Avx2::new() }, $($arg),*)
                }
                match simd::level() {
                    // SAFETY: `level` has seen the CPU announce the feature.
                    Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            #[cfg(target_arch = "aarch64")]
            if simd::level() == Level::Neon {
                // SAFETY: every AArch64 target of Rust's with `std` has NEON.
                return $imp(unsafe { simd::neon::Neon::new() }, $($arg),*);
            }
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            {
                // Inlined into a function that is compiled to be small, it would become small and slow.
                #[inline(never)]
                #[allow(clippy::too_many_arguments, reason = "the arguments are the kernel's")]
                fn simd128 $(<$($lt),*>)? ($($arg: $ty),*) $(-> $ret)? {
                    $imp(simd::wasm::Simd128, $($arg),*)
                }
                if simd::level() == Level::Simd128 {
                    return simd128($($arg),*);
                }
            }
            $imp(simd::scalar::Scalar, $($arg),*)
        }
    };
}
