// Backward pass of dropout, into another tensor: dx = dy · mask / (1 - p). The mask is drawn again, not stored.
//
// dy, dx   [len]
// grid     one invocation per element, 256 to a workgroup (any multiple of a subgroup does: the time is that of memory)

struct Params {
    len: u32,
    site: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> dy: array<Dy>;
@group(0) @binding(3) var<storage, read_write> dx: array<Dx>;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i >= params.len {
        return;
    }
    var factor = 1.0;
    if now.train != 0u {
        factor = dropout_factor(random_stream(params.site), i, params.threshold, params.scale);
    }
    dx[i] = Dx(storable(f32(dy[i]) * factor, LARGEST_DX));
}
