// Rotary position embedding of queries and keys, where they are: see ops/rope.rs.
//
// (a, b) = (a cos - b sin, a sin + b cos) for a = x[i], b = x[i + D/2] of each of the first HEADS heads of a row; backward with -sin
//
// qkv    [rows, (HEADS + NKV) D]: queries and keys are the first HEADS = NH + NKV heads, values stay
// table  [positions, D]: of each position D/2 cosines, then D/2 sines
// grid   one invocation per four pairs where D/2 is a multiple of 4 (turn_quads), else per pair (turn): neighbours read and write neighbours
//        in either half of a head

struct Params {
    rows: u32,
    context: u32,
    // 1 to turn, -1 to turn back.
    direction: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> qkv: array<Qkv>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
// The same by quads.
@group(0) @binding(4) var<storage, read_write> qkv_quads: array<Qkv4>;
@group(0) @binding(5) var<storage, read> table_quads: array<vec4<f32>>;

// Known to the compiler, so that the divisions by them are products.
override HALF: u32 = 32u;
override HEADS: u32 = 8u;
override VALUE_HEADS: u32 = 4u;

const WORKGROUP = 256u;

// Where a pair lies: its first element and the other, its cosine and its sine.
struct Pair {
    a: u32,
    b: u32,
    cosine: u32,
    sine: u32,
    exists: bool,
}

// The i-th pair of all, where half a head is so many pairs.
fn pair(i: u32, half: u32) -> Pair {
    let row = i / (HEADS * half);
    let in_row = i % (HEADS * half);
    let a = (row * (HEADS + VALUE_HEADS) + in_row / half) * 2u * half + in_row % half;
    // Only a program of one token per replay is placed by the step.
    let position = select(row % params.context, now.position, params.context == 1u);
    let cosine = position * 2u * half + in_row % half;
    return Pair(a, a + half, cosine, cosine + half, row < params.rows);
}

@compute @workgroup_size(WORKGROUP)
fn turn(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = pair(linear_workgroup(workgroup, count) * WORKGROUP + lane, HALF);
    if !at.exists {
        return;
    }
    let a = f32(qkv[at.a]);
    let b = f32(qkv[at.b]);
    let cosine = table[at.cosine];
    let sine = params.direction * table[at.sine];
    qkv[at.a] = Qkv(storable(a * cosine - b * sine, LARGEST_QKV));
    qkv[at.b] = Qkv(storable(a * sine + b * cosine, LARGEST_QKV));
}

@compute @workgroup_size(WORKGROUP)
fn turn_quads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = pair(linear_workgroup(workgroup, count) * WORKGROUP + lane, HALF / 4u);
    if !at.exists {
        return;
    }
    let a = vec4<f32>(qkv_quads[at.a]);
    let b = vec4<f32>(qkv_quads[at.b]);
    let cosine = table_quads[at.cosine];
    let sine = params.direction * table_quads[at.sine];
    qkv_quads[at.a] = Qkv4(storable4(a * cosine - b * sine, LARGEST_QKV));
    qkv_quads[at.b] = Qkv4(storable4(a * sine + b * cosine, LARGEST_QKV));
}
