// What LoRA computes beside the products of a linear layer (lora.rs).
//
// effective_weight    x[n, k] = W₀[n, k] + factor · Σ_r b[n, r] a[r, k]
// scale               x[i] = factor · x[i]
//
// codes   W₀ as float16, two to a word; or its q4 codes, as quantize.wgsl leaves them: four words of each block of 32
// scales  with codes: bfloat16 of two blocks to a word
// a       [rank, K];   neighbouring threads read neighbouring elements
// b       [N, rank];   and share these
//
// Neighbouring threads also share a word of codes. grid: a thread per element of x, folded

struct Params {
    // Elements of x.
    len: u32,
    // K.
    inputs: u32,
    // 0 where there is no update.
    rank: u32,
    factor: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> a: array<f32>;
@group(0) @binding(5) var<storage, read> b: array<f32>;
@group(0) @binding(6) var<storage, read_write> x: array<f32>;

override IS_Q4: bool = false;

const WORKGROUP = 256u;
const BLOCK = 32u;

fn q4_weight(row: u32, k: u32) -> f32 {
    let block = row * ((params.inputs + BLOCK - 1u) / BLOCK) + k / BLOCK;
    let at = k % BLOCK;
    // Byte j of a block has code j in its low half and code 16 + j in its high half, each plus 8.
    let byte = at % 16u;
    let code = (codes[4u * block + byte / 4u] >> (8u * (byte % 4u) + 4u * (at / 16u))) & 0xfu;
    // A bfloat16 is the high half of a float32.
    let scale = bitcast<f32>((scales[block / 2u] << (16u * (1u - block % 2u))) & 0xffff0000u);
    return (f32(code) - 8.0) * scale;
}

@compute @workgroup_size(WORKGROUP)
fn effective_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + thread;
    if i >= params.len {
        return;
    }
    let row = i / params.inputs;
    let k = i % params.inputs;
    var weight = 0.0;
    if IS_Q4 {
        weight = q4_weight(row, k);
    } else {
        weight = unpack2x16float(codes[i / 2u])[i % 2u];
    }
    var update = 0.0;
    for (var r = 0u; r < params.rank; r++) {
        update += b[row * params.rank + r] * a[r * params.inputs + k];
    }
    x[i] = weight + params.factor * update;
}

@compute @workgroup_size(WORKGROUP)
fn scale(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + thread;
    if i < params.len {
        x[i] *= params.factor;
    }
}
