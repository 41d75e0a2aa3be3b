// What every shader may use. It is put in front of each, after the preamble that names the element types of its tensors.

// What changes between replays: step.rs has the same fields in the same order (a test compares them).
struct Step {
    seed_low: u32,
    seed_high: u32,
    // Counts forward passes of training, or tokens of a text.
    counter: u32,
    // Tokens before this one, when decoding.
    position: u32,
    // 1 while training: dropout drops.
    train: u32,
    // Where in a ring this replay leaves its results.
    slot: u32,
    loss_scale: f32,
    learning_rate: f32,
    bias_correction1: f32,
    bias_correction2: f32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
}

@group(0) @binding(0) var<uniform> now: Step;

// The number of this workgroup in a grid that Dispatch::linear folded.
fn linear_workgroup(workgroup: vec3<u32>, count: vec3<u32>) -> u32 {
    return workgroup.y * count.x + workgroup.x;
}

// Counter-based randomness: rng.rs has the definition and the source.
struct Stream {
    k0: u32,
    k1: u32,
}

fn mix(value: u32) -> u32 {
    var h = value;
    h ^= h >> 16u;
    h *= 0x21f0aaadu;
    h ^= h >> 15u;
    h *= 0x735a2d97u;
    return h ^ (h >> 15u);
}

// The stream of a site at this step.
fn random_stream(site: u32) -> Stream {
    let k0 = mix(mix(mix(mix(now.seed_low ^ 0x6a09e667u) ^ now.seed_high) ^ now.counter) ^ site);
    return Stream(k0, mix(k0 ^ 0x9e3779b9u));
}

// 32 random bits for an index.
fn random_bits(stream: Stream, index: u32) -> u32 {
    var h = index ^ stream.k0;
    h ^= h >> 16u;
    h *= 0x21f0aaadu;
    h ^= h >> 15u;
    h += stream.k1;
    h *= 0x735a2d97u;
    return h ^ (h >> 15u);
}

// Dropout's factor of an element: 0 or 1/(1 - p). `threshold` is p · 2^32, 0 where nothing is dropped.
fn dropout_factor(stream: Stream, index: u32, threshold: u32, scale: f32) -> f32 {
    return select(0.0, scale, random_bits(stream, index) >= threshold);
}

// Those of four elements, `stride` apart.
fn dropout_factors(stream: Stream, index: u32, stride: u32, threshold: u32, scale: f32) -> vec4<f32> {
    return vec4(
        dropout_factor(stream, index, threshold, scale),
        dropout_factor(stream, index + stride, threshold, scale),
        dropout_factor(stream, index + 2u * stride, threshold, scale),
        dropout_factor(stream, index + 3u * stride, threshold, scale),
    );
}

// Instead of minus infinity, below every logit and score: compilers may assume that there is no infinity to calculate with.
const LOWEST = -1e30;

// x as it is to be stored in a type that ends at `largest` (the preamble's LARGEST_X of a type X): infinite where it does not fit. What
// comes of such a number when it is converted to float16 is left to the device by WGSL, and one that rounds toward zero would make it
// 65504: a gradient that is wrong and looks healthy, where the scale of the loss ought to be lowered (ops/loss_scaler.rs). Infinity
// itself is converted to infinity by all; it is made of its bits, because WGSL has no other way to write it. NaN stays.
fn storable(x: f32, largest: f32) -> f32 {
    return storable4(vec4(x), largest).x;
}

fn storable4(x: vec4<f32>, largest: f32) -> vec4<f32> {
    let infinite = (bitcast<vec4<u32>>(x) & vec4(0x80000000u)) | vec4(0x7f800000u);
    return select(x, bitcast<vec4<f32>>(infinite), abs(x) > vec4(largest));
}

// Activations, each with its derivative: vec2(f(x), f'(x)), because they share the exponential. Who wants only f pays only for f: the
// call is inlined and what nobody reads is dropped. Formulas and their sources: cpu/math.rs.
const RELU = 1u;
const GELU = 2u;
const GELU_NEW = 3u;

fn activation(kind: u32, x: f32) -> vec2<f32> {
    switch kind {
        case RELU: { return relu(x); }
        case GELU: { return gelu(x); }
        case GELU_NEW: { return gelu_new(x); }
        default: { return vec2<f32>(x, 1.0); }
    }
}

// The derivative at 0 is 0, as in PyTorch. Written so that NaN stays NaN: a diverged run must not look healthy.
fn relu(x: f32) -> vec2<f32> {
    return select(vec2<f32>(x, 1.0), vec2<f32>(0.0), x <= 0.0);
}

// x Φ(x) = max(x, 0) - |x| q and Φ(x) + x φ(x), where q = 1 - Φ(|x|) = erfc(|x|/√2) / 2.
fn gelu(x: f32) -> vec2<f32> {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = 0.17087277;
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    let q = 0.5 * t * bounded_exp(p - z * z);
    let cdf = select(1.0 - q, q, x < 0.0);
    return vec2<f32>(max(x, 0.0) - abs(x) * q, cdf + x * 0.39894228 * bounded_exp(-0.5 * x * x));
}

// GPT-2's x/2 (1 + tanh u) = x σ(2u), u = √(2/π) (x + 0.044715 x³), and σ + x σ (1 - σ) 2u'. The sigmoid stays accurate where
// 1 + tanh u cancels, and needs no tanh, which some drivers let overflow.
fn gelu_new(x: f32) -> vec2<f32> {
    let two_u = 1.5957691 * x * (1.0 + 0.044715 * x * x);
    let two_du = 1.5957691 * (1.0 + 0.134145 * x * x);
    let e = bounded_exp(-two_u);
    let sigma = 1.0 / (1.0 + e);
    let y = x * sigma;
    // 1 - σ = e σ, without the cancellation.
    return vec2<f32>(y, sigma + y * (e * sigma) * two_du);
}

// eˣ that is neither 0 nor infinite.
fn bounded_exp(x: f32) -> f32 {
    return exp(clamp(x, -87.0, 87.0));
}
