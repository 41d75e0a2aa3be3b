// A linear layer on one token: y = W x + b, then f(y) or residual + y.
//
// x         [K]
// weight    [N, K]; or halves, the same as float16, two to a word, the first in the low bits (no feature of the device is needed);
// codes     or 8 or 4 bits of each weight, as quantize.wgsl leaves them
// scales    with codes: of each row, or of each block of 32
// bias      [N]
// residual  [N]
// y         [N], written in quads: the last may reach into the padding that every tensor has
//
// Each weight is read once, so the time is that of memory, and what counts is to have many wide loads under way. LANES threads make ROWS
// neighbouring elements of y together, so that a load of x serves four of weights; they read consecutive quads of each row. Their sums
// are added in a tree. A workgroup of 64 (a subgroup or two) holds 64 / LANES such groups: long rows get all lanes, short rows
// fewer, so that none idles. Of codes a lane takes a word of each row at a time, and with it one or two quads of x.
//
// grid      ceil(N / (ROWS · WORKGROUP / LANES)), folded

struct Params {
    outputs: u32,
    inputs: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<X4>;
@group(0) @binding(3) var<storage, read> weight: array<W4>;
@group(0) @binding(4) var<storage, read> halves: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> codes: array<u32>;
@group(0) @binding(6) var<storage, read> scales: array<f32>;
@group(0) @binding(7) var<storage, read> bias: array<Bias4>;
@group(0) @binding(8) var<storage, read> residual: array<Residual4>;
@group(0) @binding(9) var<storage, read_write> y: array<Y4>;

override LANES: u32 = 64u;
// How the weights are stored: one of the four below.
override FORMAT: u32 = 0u;
// Rows are whole quads.
override ALIGNED: bool = true;
override HAS_BIAS: bool = false;
// 0 or a kind of common.wgsl's activation().
override ACTIVATION: u32 = 0u;
override HAS_RESIDUAL: bool = false;

const FULL = 0u;
const HALF = 1u;
const Q8 = 2u;
const Q4 = 3u;

const WORKGROUP = 64u;
const ROWS = 4u;

var<workgroup> sums: array<vec4<f32>, WORKGROUP>;

// Four weights, the first of which is number i, a multiple of 4.
fn aligned_quad(i: u32) -> vec4<f32> {
    if FORMAT == HALF {
        let pair = halves[i / 4u];
        return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
    }
    return vec4<f32>(weight[i / 4u]);
}

// Four weights from number i on, of which `count` are in the row; 0 for the rest.
fn weight_quad(i: u32, count: u32) -> vec4<f32> {
    if ALIGNED {
        return aligned_quad(i);
    }
    var quad = vec4<f32>(0.0);
    for (var j = 0u; j < count; j++) {
        quad[j] = aligned_quad((i + j) & ~3u)[(i + j) % 4u];
    }
    return quad;
}

fn x_quad(k: u32, count: u32) -> vec4<f32> {
    let quad = vec4<f32>(x[k / 4u]);
    if ALIGNED {
        return quad;
    }
    // What follows x is not ours, and may be NaN.
    return select(vec4<f32>(0.0), quad, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
}

// As x_quad, also from beyond the row: blocks may be longer.
fn x_quad_or_zero(k: u32) -> vec4<f32> {
    if k >= params.inputs {
        return vec4<f32>(0.0);
    }
    return x_quad(k, params.inputs - k);
}

// A lane's part of four rows' sums.
fn partial_sums(rows: vec4<u32>, lane: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    let starts = rows * params.inputs;
    for (var k = 4u * lane; k < params.inputs; k += 4u * LANES) {
        let inside = min(4u, params.inputs - k);
        let x = x_quad(k, inside);
        sum += vec4<f32>(
            dot(weight_quad(starts.x + k, inside), x),
            dot(weight_quad(starts.y + k, inside), x),
            dot(weight_quad(starts.z + k, inside), x),
            dot(weight_quad(starts.w + k, inside), x),
        );
    }
    return sum;
}

fn partial_sums_q8(rows: vec4<u32>, lane: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    let words = (params.inputs + 3u) / 4u;
    let starts = rows * words;
    for (var word = lane; word < words; word += LANES) {
        let x = x_quad(4u * word, params.inputs - 4u * word);
        sum += vec4<f32>(
            dot(vec4<f32>(unpack4xI8(codes[starts.x + word])), x),
            dot(vec4<f32>(unpack4xI8(codes[starts.y + word])), x),
            dot(vec4<f32>(unpack4xI8(codes[starts.z + word])), x),
            dot(vec4<f32>(unpack4xI8(codes[starts.w + word])), x),
        );
    }
    return sum * vec4<f32>(scales[rows.x], scales[rows.y], scales[rows.z], scales[rows.w]);
}

// Eight weights: x and z as they meet the low and the high halves of the bytes.
fn dot_q4(block: u32, word: u32, x: vec4<f32>, z: vec4<f32>) -> f32 {
    let packed = codes[4u * block + word];
    let low = vec4<f32>(unpack4xU8(packed & 0x0f0f0f0fu)) - 8.0;
    let high = vec4<f32>(unpack4xU8((packed >> 4u) & 0x0f0f0f0fu)) - 8.0;
    return scales[block] * (dot(low, x) + dot(high, z));
}

fn partial_sums_q4(rows: vec4<u32>, lane: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    let blocks = (params.inputs + 31u) / 32u;
    let starts = rows * blocks;
    for (var at = lane; at < 4u * blocks; at += LANES) {
        let block = at / 4u;
        let word = at % 4u;
        let k = 32u * block + 4u * word;
        let x = x_quad_or_zero(k);
        let z = x_quad_or_zero(k + 16u);
        sum += vec4<f32>(
            dot_q4(starts.x + block, word, x, z),
            dot_q4(starts.y + block, word, x, z),
            dot_q4(starts.z + block, word, x, z),
            dot_q4(starts.w + block, word, x, z),
        );
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn matvec(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let group = linear_workgroup(workgroup, count) * (WORKGROUP / LANES) + thread / LANES;
    let n = group * ROWS;
    // Rows beyond the last repeat it: nobody looks at them.
    let rows = min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(params.outputs - 1u));
    var sum: vec4<f32>;
    switch FORMAT {
        case Q8: { sum = partial_sums_q8(rows, lane); }
        case Q4: { sum = partial_sums_q4(rows, lane); }
        default: { sum = partial_sums(rows, lane); }
    }
    sums[thread] = sum;
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if lane < step {
            sums[thread] += sums[thread + step];
        }
    }
    if lane != 0u || n >= params.outputs {
        return;
    }
    // Lane 0 wrote this sum itself.
    sum = sums[thread];
    if HAS_BIAS {
        sum += vec4<f32>(bias[n / 4u]);
    }
    if ACTIVATION != 0u {
        sum = vec4<f32>(
            activation(ACTIVATION, sum.x).x,
            activation(ACTIVATION, sum.y).x,
            activation(ACTIVATION, sum.z).x,
            activation(ACTIVATION, sum.w).x,
        );
    }
    if HAS_RESIDUAL {
        sum += vec4<f32>(residual[n / 4u]);
    }
    y[n / 4u] = Y4(sum);
}
