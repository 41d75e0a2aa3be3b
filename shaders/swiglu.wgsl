// The gated unit of an MLP: see ops/swiglu.rs.
//
// forward   hidden = silu(gate) up,  silu(x) = x σ(x)                       pre [M, 2F]: gate, then up;  hidden [M, F]
// backward  dgate = dhidden up silu'(gate),  dup = dhidden silu(gate)       dhidden [M, F], dpre [M, 2F]
//
// grid      one invocation per four channels where F is a multiple of 4 (…_quads), else per channel: neighbours read and write neighbours

struct Params {
    rows: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> pre: array<Pre>;
@group(0) @binding(3) var<storage, read_write> hidden: array<Hidden>;
@group(0) @binding(4) var<storage, read> dhidden: array<Dhidden>;
@group(0) @binding(5) var<storage, read_write> dpre: array<Dpre>;
// The same by quads.
@group(0) @binding(6) var<storage, read> pre_quads: array<Pre4>;
@group(0) @binding(7) var<storage, read_write> hidden_quads: array<Hidden4>;
@group(0) @binding(8) var<storage, read> dhidden_quads: array<Dhidden4>;
@group(0) @binding(9) var<storage, read_write> dpre_quads: array<Dpre4>;

// F, in quads where the kernel works on quads. Known to the compiler, so that the division by it is a product.
override WIDTH: u32 = 1024u;

const WORKGROUP = 256u;

// silu(x) and its derivative σ (1 + x (1 - σ)), which share the exponential. 1 - σ = e σ, without the cancellation.
fn silu(x: vec4<f32>) -> mat2x4<f32> {
    let e = exp(clamp(-x, vec4(-87.0), vec4(87.0)));
    let sigma = 1.0 / (1.0 + e);
    let y = x * sigma;
    return mat2x4<f32>(y, sigma + y * (e * sigma));
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i / WIDTH >= params.rows {
        return;
    }
    let gate = i / WIDTH * 2u * WIDTH + i % WIDTH;
    let y = silu(vec4(f32(pre[gate])))[0].x;
    hidden[i] = Hidden(storable(y * f32(pre[gate + WIDTH]), LARGEST_HIDDEN));
}

@compute @workgroup_size(WORKGROUP)
fn forward_quads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i / WIDTH >= params.rows {
        return;
    }
    let gate = i / WIDTH * 2u * WIDTH + i % WIDTH;
    let y = silu(vec4<f32>(pre_quads[gate]))[0];
    hidden_quads[i] = Hidden4(storable4(y * vec4<f32>(pre_quads[gate + WIDTH]), LARGEST_HIDDEN));
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i / WIDTH >= params.rows {
        return;
    }
    let gate = i / WIDTH * 2u * WIDTH + i % WIDTH;
    let dy = f32(dhidden[i]);
    let y = silu(vec4(f32(pre[gate])));
    dpre[gate] = Dpre(storable(dy * f32(pre[gate + WIDTH]) * y[1].x, LARGEST_DPRE));
    dpre[gate + WIDTH] = Dpre(storable(dy * y[0].x, LARGEST_DPRE));
}

@compute @workgroup_size(WORKGROUP)
fn backward_quads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i / WIDTH >= params.rows {
        return;
    }
    let gate = i / WIDTH * 2u * WIDTH + i % WIDTH;
    let dy = vec4<f32>(dhidden_quads[i]);
    let y = silu(vec4<f32>(pre_quads[gate]));
    dpre_quads[gate] = Dpre4(storable4(dy * vec4<f32>(pre_quads[gate + WIDTH]) * y[1], LARGEST_DPRE));
    dpre_quads[gate + WIDTH] = Dpre4(storable4(dy * y[0], LARGEST_DPRE));
}
