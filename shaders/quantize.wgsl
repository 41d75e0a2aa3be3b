// What decoding reads instead of float32 matrices, made once after they were loaded: float16, or the codes and scales of quantize/mod.rs.
//
// weight  [N, K], the bits of float32; q8 and q4 round it to what the codes stand for
// codes   to_half: two float16 to a word.  q8: a row's codes, four to a word, the last filled up with 0.
//         q4: four words of each block of 32; byte j has code j in its low half and code 16 + j in its high half, each plus 8
// scales  of each row or block, the bits of float32
//
// All by integers: WGSL leaves it to the device how a division, a conversion or even a sum is rounded, and the codes are to be the CPU's.
// Only the last product, code · scale, is one of floats: it is exact.
//
// grid    to_half: a thread per word;  q8: a workgroup per row;  q4: a thread per block;  all folded

struct Params {
    // to_half: 1 row of all weights.
    rows: u32,
    inputs: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> weight: array<u32>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<u32>;

const WORKGROUP = 64u;
const BLOCK = 32u;

const MAGNITUDE = 0x7fffffffu;
const INFINITY = 0x7f800000u;
// quantize::MIN_SCALE and MAX_SCALE, and the scale of what is not finite.
const MIN_SCALE = 63u << 23u;
const MAX_SCALE = 247u << 23u;
const NO_SCALE = 0x7fc00000u;

// Bits to the nearest with 8 bits of mantissa, ties to even: a bfloat16 widened.
fn to_bfloat(bits: u32) -> u32 {
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u;
}

// The scale of weights whose largest magnitude divided by the largest code is this.
fn scale_of(exact: u32) -> u32 {
    if exact > MAX_SCALE {
        return NO_SCALE;
    }
    return to_bfloat(max(exact, MIN_SCALE));
}

fn mantissa(bits: u32) -> u32 {
    return (bits & 0x7fffffu) | 0x800000u;
}

// x / 127 to the nearest, for magnitudes of which that is a normal number. There are no ties: 127 is odd.
fn over_127(x: u32) -> u32 {
    // As many bits before the division as leave 24 after it.
    let up = select(7u, 6u, mantissa(x) >= 127u << 17u);
    let dividend = mantissa(x) << up;
    let rounded = dividend / 127u + select(0u, 1u, dividend % 127u > 63u);
    return (((x >> 23u) - up) << 23u) + (rounded - 0x800000u);
}

// round(|w / scale|), halves away from zero, for quotients below 127.5.
fn magnitude_of_code(w: u32, scale: u32) -> u32 {
    // With the divisor d a mantissa, |w / scale| = m · 2^(shift - 1) / d, and floor(x + 1/2) = floor((2 d x + d) / (2 d)).
    let d = mantissa(scale);
    let shift = i32((w & MAGNITUDE) >> 23u) - i32((scale & MAGNITUDE) >> 23u) + 1;
    let m = mantissa(w);
    let twice = select(m >> min(u32(-shift), 31u), m << (u32(shift) & 31u), shift >= 0);
    return (twice + d) / (2u * d);
}

// With its sign, at most `largest`.
fn code_of(w: u32, scale: u32, largest: i32) -> i32 {
    if scale == NO_SCALE {
        return 0;
    }
    let magnitude = i32(magnitude_of_code(w, scale));
    return min(select(magnitude, -magnitude, ((w ^ scale) >> 31u) == 1u), largest);
}

// What a code stands for.
fn weight_of(code: i32, scale: u32) -> u32 {
    // Compilers may assume that there is no NaN to multiply with.
    return select(bitcast<u32>(f32(code) * bitcast<f32>(scale)), NO_SCALE, scale == NO_SCALE);
}

var<workgroup> largest_of: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn q8(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = linear_workgroup(workgroup, count);
    if row >= params.rows {
        return;
    }
    let first = row * params.inputs;
    var largest = 0u;
    for (var k = thread; k < params.inputs; k += WORKGROUP) {
        largest = max(largest, weight[first + k] & MAGNITUDE);
    }
    largest_of[thread] = largest;
    for (var step = WORKGROUP / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if thread < step {
            largest_of[thread] = max(largest_of[thread], largest_of[thread + step]);
        }
    }
    // Nobody changes a weight before all have read theirs.
    storageBarrier();
    workgroupBarrier();
    largest = largest_of[0];
    var scale = NO_SCALE;
    if largest < INFINITY {
        // What is far below the smallest scale need not be divided.
        scale = scale_of(over_127(max(largest, MIN_SCALE)));
    }
    let words = (params.inputs + 3u) / 4u;
    for (var word = thread; word < words; word += WORKGROUP) {
        var packed = 0u;
        for (var j = 0u; j < min(4u, params.inputs - 4u * word); j++) {
            let at = first + 4u * word + j;
            let code = code_of(weight[at], scale, 127);
            packed |= (u32(code) & 0xffu) << (8u * j);
            weight[at] = weight_of(code, scale);
        }
        codes[row * words + word] = packed;
    }
    if thread == 0u {
        scales[row] = scale;
    }
}

@compute @workgroup_size(WORKGROUP)
fn q4(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = linear_workgroup(workgroup, count) * WORKGROUP + thread;
    let blocks = (params.inputs + BLOCK - 1u) / BLOCK;
    if block >= params.rows * blocks {
        return;
    }
    let column = BLOCK * (block % blocks);
    let first = block / blocks * params.inputs + column;
    let inside = min(BLOCK, params.inputs - column);
    var positive = 0u;
    var negative = 0u;
    for (var i = 0u; i < inside; i++) {
        let w = weight[first + i];
        if (w >> 31u) == 1u {
            negative = max(negative, w & MAGNITUDE);
        } else {
            positive = max(positive, w);
        }
    }
    let largest = max(positive, negative);
    var scale = NO_SCALE;
    if largest < INFINITY {
        // An eighth: three less in the exponent.
        let is_tiny = largest < MIN_SCALE + (3u << 23u);
        scale = scale_of(select(largest - (3u << 23u), MIN_SCALE, is_tiny));
        if scale != NO_SCALE && !is_tiny && negative < positive {
            scale |= 0x80000000u;
        }
    }
    for (var word = 0u; word < 4u; word++) {
        var packed = 0x88888888u;
        for (var j = 0u; j < 8u; j++) {
            // Of the first half of the block, then of the second.
            let i = 4u * word + j % 4u + 16u * (j / 4u);
            if i < inside {
                let code = code_of(weight[first + i], scale, 7);
                packed = insertBits(packed, u32(code + 8), 8u * (j % 4u) + 4u * (j / 4u), 4u);
                weight[first + i] = weight_of(code, scale);
            }
        }
        codes[4u * block + word] = packed;
    }
    scales[block] = scale;
}

// Rounds to the nearest float16, ties to even, as the crate `half` does; what is finite but too large becomes the largest.
fn half_bits(bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    var magnitude = bits & MAGNITUDE;
    if magnitude > INFINITY {
        return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    }
    if magnitude == INFINITY {
        return sign | 0x7c00u;
    }
    magnitude = min(magnitude, 0x477fe000u);
    // Bits to drop, and what they are dropped from: from 2^-14 on the exponent moves from bias 127 to 15, below it is written out.
    var dropped = 13u;
    var kept = magnitude - (112u << 23u);
    if magnitude < 0x38800000u {
        dropped = min(126u - (magnitude >> 23u), 31u);
        kept = mantissa(magnitude);
    }
    let rounded = kept + (1u << (dropped - 1u)) - 1u + ((kept >> dropped) & 1u);
    return sign | (rounded >> dropped);
}

@compute @workgroup_size(WORKGROUP)
fn to_half(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let word = linear_workgroup(workgroup, count) * WORKGROUP + thread;
    if 2u * word >= params.inputs {
        return;
    }
    let first = half_bits(weight[2u * word]);
    var second = 0u;
    if 2u * word + 1u < params.inputs {
        second = half_bits(weight[2u * word + 1u]);
    }
    codes[word] = first | (second << 16u);
}
