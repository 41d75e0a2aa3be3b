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
