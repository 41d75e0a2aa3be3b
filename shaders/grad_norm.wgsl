// Gradient norm over both arenas, the factor that clips it (PyTorch's clip_grad_norm_), and the scale of the loss:
//
//     norm = sqrt(sum g^2) / scale                factor = min(1, max_norm / (norm + 1e-6)) / scale, 0 where norm is not finite
//
// g          [vectors * 4], one arena
// partials   [pieces of both arenas], sums of squares
// stats      [2]: norm, factor
// scaler     [2]: scale of the loss, clean updates in a row with it; only in mixed precision
// grid       partial_sums: one workgroup per piece; finish and update_scaler: one workgroup
//
// Sums are trees of fixed order: 64 terms in a lane's vec4, then 256 lanes, so that some 20 roundings of 2^-24 are all the error there
// is, and a repeated run has the same bits.

struct Params {
    vectors: u32,
    // Of the arena in partials.
    first_piece: u32,
    pieces: u32,
    max_norm: f32,
    growth_interval: f32,
    least_scale: f32,
    largest_scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> g: array<G4>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<storage, read_write> scaler: array<f32>;

// Whether the loss is scaled.
override HAS_SCALER: bool = false;

const WORKGROUP = 256u;
// 16 vec4s to a lane: enough loads in flight, and a model of 10 million parameters still fills 660 workgroups.
const VECTORS_PER_PIECE = 4096u;

var<workgroup> sums: array<f32, WORKGROUP>;

// The sum of all lanes' values, for lane 0.
fn sum_of_lanes(value: f32, lane: u32) -> f32 {
    sums[lane] = value;
    for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if lane < stride {
            sums[lane] += sums[lane + stride];
        }
    }
    return sums[lane];
}

@compute @workgroup_size(WORKGROUP)
fn partial_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let piece = linear_workgroup(workgroup, count);
    let start = piece * VECTORS_PER_PIECE;
    let end = min(start + VECTORS_PER_PIECE, params.vectors);
    var squares = vec4<f32>(0.0);
    for (var i = start + lane; i < end; i += WORKGROUP) {
        let x = vec4<f32>(g[i]);
        squares += x * x;
    }
    let total = sum_of_lanes((squares.x + squares.y) + (squares.z + squares.w), lane);
    if lane == 0u && start < end {
        partials[params.first_piece + piece] = total;
    }
}

// Compilers may assume that there are no infinities and NaNs, so that comparisons with them mean nothing: bits do.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn finish(@builtin(local_invocation_index) lane: u32) {
    var total = 0.0;
    for (var i = lane; i < params.pieces; i += WORKGROUP) {
        total += partials[i];
    }
    total = sum_of_lanes(total, lane);
    if lane != 0u {
        return;
    }
    if !is_finite(total) {
        stats[0] = total;
        stats[1] = 0.0;
        return;
    }
    var scale = 1.0;
    if HAS_SCALER {
        scale = scaler[0];
    }
    let norm = sqrt(total) / scale;
    var factor = 1.0;
    if params.max_norm > 0.0 {
        factor = min(1.0, params.max_norm / (norm + 1e-6));
    }
    stats[0] = norm;
    stats[1] = factor / scale;
}

// Halves the scale after an update that was left out, doubles it after growth_interval clean ones. Powers of two: exact.
@compute @workgroup_size(1)
fn update_scaler() {
    let clean = scaler[1] + 1.0;
    if stats[1] == 0.0 {
        scaler[0] = max(scaler[0] * 0.5, params.least_scale);
        scaler[1] = 0.0;
    } else if clean >= params.growth_interval {
        scaler[0] = min(scaler[0] * 2.0, params.largest_scale);
        scaler[1] = 0.0;
    } else {
        scaler[1] = clean;
    }
}
