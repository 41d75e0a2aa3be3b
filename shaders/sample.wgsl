// Draws the next token:
//
//     l = (logits - max) / temperature      keep the top_k largest, then the fewest whose probability reaches top_p
//     token = argmax (l + g),  g = -log(-log u)
//
// ops/sample.rs has the rule and its source. Nothing is sorted: a cut is found digit by digit, see `cut_at`.
//
// logits   [vocab] the bits of float32, so that NaN and infinity are seen for sure (a compiler may assume that there are none)
// token    [1]     the id, 0 where a logit is not finite
// text     [N]     element `now.slot` becomes the id, NO_TOKEN where a logit is not finite
// grid     one workgroup: the whole vocabulary has to agree on a maximum and on every digit of a cut. 256 invocations, the most that
//          every adapter has; each takes four tokens at a time, so that a large vocabulary has enough loads on their way

struct Params {
    vocab: u32,
    site: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> token: array<u32>;
@group(0) @binding(4) var<storage, read_write> text: array<u32>;

const WORKGROUP = 256u;
const NO_TOKEN = 0xffffffffu;

// Below this, and above its inverse squared, numbers decide as if they were 0 and infinite: quotients stay finite.
const SMALLEST_TEMPERATURE = 1e-18;
const LARGEST_DIFFERENCE = 1e20;

var<workgroup> sums: array<vec4<f32>, WORKGROUP>;
var<workgroup> ranks: array<vec2<u32>, WORKGROUP>;

// Σ over the workgroup, in the order of a tree.
fn workgroup_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    sums[lane] = value;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            sums[lane] += sums[lane + width];
        }
    }
    return workgroupUniformLoad(&sums[0]);
}

// A token's place in an order, as two words of which the first counts more: larger is better, and of equals the smaller id. No two
// tokens have the same. What a logit or a score is to be compared by is its key: floats in the order of unsigned integers.
fn rank(key: u32, id: u32) -> vec2<u32> {
    return vec2(key, params.vocab - 1u - id);
}

fn id_of(rank: vec2<u32>) -> u32 {
    return params.vocab - 1u - rank.y;
}

fn keys(float_bits: vec4<u32>) -> vec4<u32> {
    // -0 equals 0.
    let bits = select(float_bits, vec4(0u), float_bits == vec4(0x80000000u));
    return select(bits | vec4(0x80000000u), ~bits, bits >= vec4(0x80000000u));
}

fn float_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key ^ 0x80000000u, key >= 0x80000000u));
}

fn better(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(b, a, a.x > b.x || (a.x == b.x && a.y > b.y));
}

fn workgroup_best(lane: u32, value: vec2<u32>) -> vec2<u32> {
    ranks[lane] = value;
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            ranks[lane] = better(ranks[lane], ranks[lane + width]);
        }
    }
    return workgroupUniformLoad(&ranks[0]);
}

// Four tokens with ids from `first`.
struct Tokens {
    // Those that there are: the last four may be fewer.
    exist: vec4<bool>,
    ids: vec4<u32>,
    bits: vec4<u32>,
    keys: vec4<u32>,
}

fn tokens(first: u32) -> Tokens {
    let ids = vec4(first) + vec4(0u, 1u, 2u, 3u);
    let bits = logits[first / 4u];
    return Tokens(ids < vec4(params.vocab), ids, bits, keys(bits));
}

// Those whose rank is at least `cut`.
fn reach(t: Tokens, cut: vec2<u32>) -> vec4<bool> {
    let order = vec4(params.vocab - 1u) - t.ids;
    return t.exist & ((t.keys > vec4(cut.x)) | ((t.keys == vec4(cut.x)) & (order >= vec4(cut.y))));
}

// l of the formula: at most 0.
fn scaled(t: Tokens, largest: f32) -> vec4<f32> {
    let difference = max(bitcast<vec4<f32>>(t.bits) - largest, vec4(-LARGEST_DIFFERENCE));
    return difference / max(now.temperature, SMALLEST_TEMPERATURE);
}

// What a cut counts: tokens, or their probabilities but for a factor.
const COUNT = 0u;
const WEIGHT = 1u;

fn measure(t: Tokens, what: u32, largest: f32) -> vec4<f32> {
    if what == COUNT {
        return vec4(1.0);
    }
    return exp(scaled(t, largest));
}

// The measures of the tokens from four ranks on, `unit` apart, of those tokens that `kept` reaches. Counts are exact up to 2^24.
fn measures_from(lane: u32, what: u32, largest: f32, kept: vec2<u32>, cut: vec2<u32>, unit: vec2<u32>) -> vec4<f32> {
    var sum = vec4(0.0);
    for (var first = 4u * lane; first < params.vocab; first += 4u * WORKGROUP) {
        let t = tokens(first);
        let each = select(vec4(0.0), measure(t, what, largest), reach(t, kept));
        sum += vec4(
            dot(each, vec4<f32>(reach(t, cut))),
            dot(each, vec4<f32>(reach(t, cut + unit))),
            dot(each, vec4<f32>(reach(t, cut + 2u * unit))),
            dot(each, vec4<f32>(reach(t, cut + 3u * unit))),
        );
    }
    return workgroup_sum(lane, sum);
}

// The largest rank from which on tokens measure `enough` or more: what to keep of those that `kept` reaches. It is found by its
// digits of base 4, one sweep over the tokens for each: 16 digits of the key and then as many as an id has.
fn cut_at(lane: u32, what: u32, largest: f32, kept: vec2<u32>, enough: f32) -> vec2<u32> {
    var cut = vec2(0u);
    for (var word = 0u; word < 2u; word++) {
        let digits = select(16u, firstLeadingBit(params.vocab) / 2u + 1u, word == 1u);
        for (var digit = digits; digit > 0u; digit--) {
            let unit = vec2(1u - word, word) << vec2(2u * (digit - 1u));
            let measures = measures_from(lane, what, largest, kept, cut, unit);
            let value = dot(vec3(1u), vec3<u32>(measures.yzw >= vec3(enough)));
            cut += value * unit;
            if measures[value] == enough {
                return cut;
            }
        }
    }
    return cut;
}

// log(1 + x) for x in [√½ - 1, √2 - 1], to an ulp (Cephes, logf).
fn log1p_reduced(x: f32) -> f32 {
    var p = 7.0376836292e-2;
    p = p * x - 1.1514610310e-1;
    p = p * x + 1.1676998740e-1;
    p = p * x - 1.2420140846e-1;
    p = p * x + 1.4249322787e-1;
    p = p * x - 1.6668057665e-1;
    p = p * x + 2.0000714765e-1;
    p = p * x - 2.4999993993e-1;
    p = p * x + 3.3333331174e-1;
    return x + x * x * (p * x - 0.5);
}

// log x of a normal number, to an ulp or two: WGSL's own is only accurate to 2^-21 near 1, where log(-log u) has its zero.
fn accurate_log(x: f32) -> f32 {
    const SQRT_HALF_BITS = 0x3f3504f3i;
    // ln 2 as a number of few bits, exact when multiplied by an exponent, and the rest.
    const LN2_HIGH = 0.693359375;
    const LN2_LOW = -2.12194440e-4;
    let bits = bitcast<i32>(x);
    let exponent = (bits - SQRT_HALF_BITS) >> 23u;
    let mantissa = bitcast<f32>(bits - (exponent << 23u));
    let e = f32(exponent);
    return e * LN2_HIGH + (log1p_reduced(mantissa - 1.0) + e * LN2_LOW);
}

// Gumbel noise of 32 random bits: -log(-log u), u = (bits + ½) / 2^32.
fn gumbel(bits: u32) -> f32 {
    const UNIT = 2.3283064365386963e-10; // 2^-32
    // 1 - u, which floats resolve where u itself is too close to 1.
    let rest = (f32(~bits) + 0.5) * UNIT;
    var minus_log_u: f32;
    if rest < 0.25 {
        minus_log_u = -log1p_reduced(-rest);
    } else {
        minus_log_u = -accurate_log((f32(bits) + 0.5) * UNIT);
    }
    return -accurate_log(minus_log_u);
}

@compute @workgroup_size(WORKGROUP)
fn sample(@builtin(local_invocation_index) lane: u32) {
    var best = vec2(0u);
    var not_finite = 0.0;
    for (var first = 4u * lane; first < params.vocab; first += 4u * WORKGROUP) {
        let t = tokens(first);
        for (var i = 0u; i < 4u && first + i < params.vocab; i++) {
            best = better(best, rank(t.keys[i], t.ids[i]));
        }
        // Exponent bits all ones: infinity or NaN.
        let infinite = (t.bits & vec4(0x7f800000u)) == vec4(0x7f800000u);
        not_finite += dot(vec4(1.0), vec4<f32>(infinite & t.exist));
    }
    best = workgroup_best(lane, best);
    not_finite = workgroup_sum(lane, vec4(not_finite)).x;

    if now.temperature > 0.0 {
        let largest = float_of(best.x);
        var kept = vec2(0u);
        if now.top_k > 0u && now.top_k < params.vocab {
            kept = cut_at(lane, COUNT, largest, kept, f32(now.top_k));
        }
        if now.top_p < 1.0 {
            let total = measures_from(lane, WEIGHT, largest, kept, kept, vec2(0u)).x;
            // The likeliest token weighs 1 and is kept however small the share.
            kept = cut_at(lane, WEIGHT, largest, kept, clamp(now.top_p * total, 1e-30, total));
        }
        let stream = random_stream(params.site);
        best = vec2(0u);
        for (var first = 4u * lane; first < params.vocab; first += 4u * WORKGROUP) {
            let t = tokens(first);
            let l = scaled(t, largest);
            let drawable = reach(t, kept);
            var noise: vec4<f32>;
            for (var i = 0u; i < 4u; i++) {
                noise[i] = gumbel(random_bits(stream, first + i));
            }
            let scores = keys(bitcast<vec4<u32>>(l + noise));
            for (var i = 0u; i < 4u; i++) {
                if drawable[i] {
                    best = better(best, rank(scores[i], t.ids[i]));
                }
            }
        }
        best = workgroup_best(lane, best);
    }

    if lane == 0u {
        token[0] = select(id_of(best), 0u, not_finite > 0.0);
        text[now.slot] = select(id_of(best), NO_TOKEN, not_finite > 0.0);
    }
}
