//! Counter-based randomness: `(seed, step, site, index) -> bits`, the same on every engine, platform and thread count.
//!
//! ```text
//! k0 = m(m(m(m(low ^ 0x6a09e667) ^ high) ^ step) ^ site)   (low, high: halves of the seed)
//!         m = the lowbias32 finaliser
//! k1 = m(k0 ^ 0x9e3779b9)
//! bits(i):  h = i ^ k0;  h ^= h >> 16;  h *= 0x21f0aaad;  h ^= h >> 15;  h += k1;  h *= 0x735a2d97;  h ^= h >> 15
//! ```
//!
//! Nothing is stored between draws, so a resumed run needs only its step, and a mask needs no memory: the backward pass draws it again.
//! 32-bit integer operations only, which WGSL has too. Source of the finaliser: Wellons, "Prospecting for Hash Functions" (lowbias32).

use crate::cpu::simd::Simd;

/// What a random number is for: separate sites never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site(pub u32);

impl Site {
    /// Offsets of random training windows.
    pub const BATCH: Self = Self(1);
    /// The order of windows in an epoch.
    pub const SHUFFLE: Self = Self(2);
    /// Sampling a token.
    pub const SAMPLE: Self = Self(3);
    /// Windows of the `sampled` evaluation.
    pub const EVALUATION: Self = Self(4);
    /// Dropout after the embedding.
    pub const EMBEDDING_DROPOUT: Self = Self(5);

    /// The shuffled tables that similarities of tokens are compared with.
    pub const EMBEDDING_SHUFFLE: Self = Self(6);

    /// Initial values of a named parameter: independent of what other parameters there are (FNV-1a of the name).
    pub fn parameter(name: &str) -> Self {
        let hash = name.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        Self(hash | 1 << 31)
    }

    /// Dropout `which` (0 attention, 1 attention's residual, 2 MLP's residual) of block `layer`.
    pub fn block_dropout(layer: usize, which: u32) -> Self {
        Self(16 + 4 * layer as u32 + which)
    }
}

const C1: u32 = 0x21f0_aaad;
const C2: u32 = 0x735a_2d97;

const fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(C1);
    h ^= h >> 15;
    h = h.wrapping_mul(C2);
    h ^ (h >> 15)
}

/// The stream of one `(seed, step, site)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    k0: u32,
    k1: u32,
}

impl Stream {
    /// The stream of a site at a step.
    pub fn new(seed: u64, step: u32, site: Site) -> Self {
        let mut k0 = mix(seed as u32 ^ 0x6a09_e667);
        for word in [(seed >> 32) as u32, step, site.0] {
            k0 = mix(k0 ^ word);
        }
        Self { k0, k1: mix(k0 ^ 0x9e37_79b9) }
    }

    /// 32 random bits for an index.
    pub fn bits(self, index: u32) -> u32 {
        let mut h = index ^ self.k0;
        h ^= h >> 16;
        h = h.wrapping_mul(C1);
        h ^= h >> 15;
        h = h.wrapping_add(self.k1).wrapping_mul(C2);
        h ^ (h >> 15)
    }

    /// [`Self::bits`] of `start, start + 1, …`.
    #[inline(always)]
    pub fn bits_simd<S: Simd>(self, s: S, start: u32) -> S::U {
        let mut h = s.xor_u(s.iota(start), s.splat_u(self.k0));
        h = s.xor_u(h, s.shr_u::<16>(h));
        h = s.mul_u(h, s.splat_u(C1));
        h = s.xor_u(h, s.shr_u::<15>(h));
        h = s.mul_u(s.add_u(h, s.splat_u(self.k1)), s.splat_u(C2));
        s.xor_u(h, s.shr_u::<15>(h))
    }

    /// Uniform in `[0, 1)` with 24 bits.
    pub fn uniform(self, index: u32) -> f32 {
        (self.bits(index) >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `0..n`; the bias of multiply-and-shift is below `n / 2³²`.
    pub fn below(self, index: u32, n: u32) -> u32 {
        ((u64::from(self.bits(index)) * u64::from(n)) >> 32) as u32
    }

    /// [`Self::below`] for any `n`: two draws make 64 bits where `n` takes more than 32. `index` is below 2³¹.
    pub fn below_u64(self, index: u32, n: u64) -> u64 {
        match u32::try_from(n) {
            Ok(n) => self.below(index, n).into(),
            Err(_) => {
                let bits = u64::from(self.bits(index)) << 32 | u64::from(self.bits(index | 1 << 31));
                ((u128::from(bits) * u128::from(n)) >> 64) as u64
            }
        }
    }

    /// Standard normal by Box and Muller's transform, in float64 with `libm` so that every platform rounds alike.
    pub fn normal(self, index: u32) -> f32 {
        let pair = index & !1;
        // In (0, 1]: the logarithm stays finite.
        let u = (f64::from(self.bits(pair)) + 1.0) / 4_294_967_296.0;
        let angle = f64::from(self.bits(pair + 1)) / 4_294_967_296.0 * std::f64::consts::TAU;
        let radius = libm::sqrt(-2.0 * libm::log(u));
        (radius * if index == pair { libm::cos(angle) } else { libm::sin(angle) }) as f32
    }

    /// A random order of `0..n` (Fisher and Yates).
    pub fn permutation(self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i as usize, self.below(i, i + 1) as usize);
        }
        order
    }
}

/// Dropout: keeps an element with probability `1 - p`, scaled by `1/(1 - p)` so that the expectation stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    stream: Stream,
    /// What is added to every index, modulo 2³².
    first: u32,
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// Dropout with probability `p` in `[0, 1)`.
    pub fn new(stream: Stream, p: f32) -> Self {
        let (threshold, scale) = Self::threshold_and_scale(p);
        Self { stream, first: 0, threshold, scale }
    }

    /// The mask from index `first` on: that of a part of what is dropped from.
    pub fn from_index(self, first: u32) -> Self {
        Self { first, ..self }
    }

    /// The least random bits that keep an element, and what it is multiplied by.
    pub fn threshold_and_scale(p: f32) -> (u32, f32) {
        ((f64::from(p) * 4_294_967_296.0) as u32, 1.0 / (1.0 - p))
    }

    /// The mask's factor of one element: 0 or `1/(1 - p)`.
    pub fn factor(self, index: u32) -> f32 {
        if self.stream.bits(index.wrapping_add(self.first)) >= self.threshold { self.scale } else { 0.0 }
    }

    /// Factors of `index, index + 1, …` applied to `v`.
    #[inline(always)]
    pub fn apply<S: Simd>(self, s: S, index: u32, v: S::F) -> S::F {
        s.keep_if_ge(
            self.stream.bits_simd(s, index.wrapping_add(self.first)),
            self.threshold,
            s.mul(v, s.splat(self.scale)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd_dispatch;

    #[test]
    fn streams_are_uniform_and_unrelated() {
        let n = 1 << 16;
        let streams = [
            Stream::new(1, 0, Site::BATCH),
            Stream::new(1, 1, Site::BATCH),
            Stream::new(2, 0, Site::BATCH),
            Stream::new(1 << 32, 0, Site::BATCH),
            Stream::new(1, 0, Site::SHUFFLE),
        ];
        for (i, a) in streams.iter().enumerate() {
            // Chi-square over 256 bins: mean 255, standard deviation 22.6.
            let mut bins = [0_u32; 256];
            (0..n).for_each(|k| bins[(a.bits(k) >> 24) as usize] += 1);
            let expected = f64::from(n) / 256.0;
            let chi: f64 = bins.iter().map(|&b| (f64::from(b) - expected).powi(2) / expected).sum();
            assert!((150.0..370.0).contains(&chi), "chi-square {chi}");
            for b in &streams[i + 1..] {
                // Bits that differ: half, give or take 6 standard deviations.
                let differing: u32 = (0..n).map(|k| (a.bits(k) ^ b.bits(k)).count_ones()).sum();
                let (mean, deviation) = (f64::from(n) * 16.0, (f64::from(n) * 8.0).sqrt());
                assert!((f64::from(differing) - mean).abs() < 6.0 * deviation);
            }
            let serial: f64 =
                (0..n).map(|k| (f64::from(a.uniform(k)) - 0.5) * (f64::from(a.uniform(k + 1)) - 0.5)).sum::<f64>()
                    * 12.0
                    / f64::from(n);
            assert!(serial.abs() < 6.0 / f64::from(n).sqrt(), "serial correlation {serial}");
        }
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let stream = Stream::new(3, 0, Site::parameter("wte.weight"));
        let n = 100_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for i in 0..n {
            let x = f64::from(stream.normal(i));
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(n);
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((squares / f64::from(n) - 1.0).abs() < 0.03);
    }

    #[test]
    fn permutations_contain_every_index_once() {
        for n in [0, 1, 2, 1000] {
            let mut order = Stream::new(4, 0, Site::SHUFFLE).permutation(n);
            assert!(n < 1000 || order.iter().enumerate().any(|(i, &x)| i as u32 != x));
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    #[inline(always)]
    fn drop_imp<S: Simd>(s: S, dropout: Dropout, start: u32, x: &mut [f32]) {
        for (i, x) in x.chunks_exact_mut(S::LANES).enumerate() {
            let v = dropout.apply(s, start.wrapping_add((i * S::LANES) as u32), s.load(x));
            s.store(x, v);
        }
    }
    simd_dispatch! { fn drop_all<'a>(dropout: Dropout, start: u32, x: &'a mut [f32]) => drop_imp }

    #[test]
    fn vector_masks_equal_scalar_masks_and_keep_the_right_share() {
        let dropout = Dropout::new(Stream::new(5, 7, Site::EMBEDDING_DROPOUT), 0.2);
        let start = u32::MAX - 1000; // the counter may wrap
        let mut x = vec![1.0; 64_000];
        drop_all(dropout, start, &mut x);
        for (i, &x) in x.iter().enumerate() {
            assert_eq!(x, dropout.factor(start.wrapping_add(i as u32)));
        }
        let kept = x.iter().filter(|&&x| x != 0.0).count() as f64 / 64_000.0;
        assert!((kept - 0.8).abs() < 0.01);
        assert!((x.iter().sum::<f32>() / 64_000.0 - 1.0).abs() < 0.02);
    }

    #[test]
    fn the_generator_is_frozen() {
        // Changing it would change every run and every sample: do so only on purpose.
        let stream = Stream::new(1337, 42, Site::SAMPLE);
        assert_eq!([stream.bits(0), stream.bits(1), stream.bits(u32::MAX)], FROZEN);
    }

    const FROZEN: [u32; 3] = [4_093_883_667, 2_942_208_546, 1_039_315_784];
}
