// A linear layer on one token: y = W x + b, then f(y) or residual + y; and the weights that it reads, rounded to float16.
//
// x         [K]
// weight    [N, K]; or halves, the same as float16, two to a word, the first in the low bits (no feature of the device is needed)
// bias      [N]
// residual  [N]
// y         [N], written in quads: the last may reach into the padding that every tensor has
//
// Each weight is read once, so the time is that of memory, and what counts is to have many wide loads under way. LANES threads make ROWS
// neighbouring elements of y together, so that a load of x serves four of weights; they read consecutive quads of each row. Their sums
// are added in a tree. A workgroup of 64 (a subgroup or two) holds 64 / LANES such groups: long rows get all lanes, short rows
// fewer, so that none idles.
//
// grid      matvec: ceil(N / (ROWS · WORKGROUP / LANES)), folded;  to_half: a thread per word

struct Params {
    outputs: u32,
    inputs: u32,
    // to_half: weights.
    len: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<X4>;
@group(0) @binding(3) var<storage, read> weight: array<W4>;
@group(0) @binding(4) var<storage, read> halves: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> bias: array<Bias4>;
@group(0) @binding(6) var<storage, read> residual: array<Residual4>;
@group(0) @binding(7) var<storage, read_write> y: array<Y4>;
@group(0) @binding(8) var<storage, read_write> words: array<u32>;

override LANES: u32 = 64u;
override HALF: bool = false;
// Rows are whole quads.
override ALIGNED: bool = true;
override HAS_BIAS: bool = false;
// 0 or a kind of common.wgsl's activation().
override ACTIVATION: u32 = 0u;
override HAS_RESIDUAL: bool = false;

const WORKGROUP = 64u;
const ROWS = 4u;

var<workgroup> sums: array<vec4<f32>, WORKGROUP>;

// Four weights, the first of which is number i, a multiple of 4.
fn aligned_quad(i: u32) -> vec4<f32> {
    if HALF {
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
    let rows = min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(params.outputs - 1u)) * params.inputs;
    var sum = vec4<f32>(0.0);
    for (var k = 4u * lane; k < params.inputs; k += 4u * LANES) {
        let inside = min(4u, params.inputs - k);
        let x = x_quad(k, inside);
        sum += vec4<f32>(
            dot(weight_quad(rows.x + k, inside), x),
            dot(weight_quad(rows.y + k, inside), x),
            dot(weight_quad(rows.z + k, inside), x),
            dot(weight_quad(rows.w + k, inside), x),
        );
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

// Rounds to the nearest float16, ties to even, as the crate `half` does; what is finite but too large becomes the largest. By integers,
// because WGSL lets pack2x16float round either way.
fn half_bits(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    let sign = (bits >> 16u) & 0x8000u;
    var magnitude = bits & 0x7fffffffu;
    if magnitude > 0x7f800000u {
        return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    }
    if magnitude == 0x7f800000u {
        return sign | 0x7c00u;
    }
    magnitude = min(magnitude, 0x477fe000u);
    // Bits to drop, and what they are dropped from: from 2^-14 on the exponent moves from bias 127 to 15, below it is written out.
    var dropped = 13u;
    var kept = magnitude - (112u << 23u);
    if magnitude < 0x38800000u {
        dropped = min(126u - (magnitude >> 23u), 31u);
        kept = (magnitude & 0x7fffffu) | 0x800000u;
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
    if 2u * word >= params.len {
        return;
    }
    let quad = vec4<f32>(weight[word / 2u]);
    let pair = select(quad.xy, quad.zw, word % 2u == 1u);
    let second = select(0u, half_bits(pair.y), 2u * word + 1u < params.len);
    words[word] = half_bits(pair.x) | (second << 16u);
}
