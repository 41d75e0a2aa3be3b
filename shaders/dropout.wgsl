// Backward pass of dropout, into another tensor: dx = dy · mask / (1 - p). The mask is drawn again, not stored.
//
// dy, dx   [quads * 4]: the last quad may reach into the padding that every tensor has
// grid     one invocation per quad, 256 to a workgroup (any multiple of a subgroup does): with whole quads the time is that of memory,
//          while for each element alone it would be that of finding the site's stream of random bits

struct Params {
    quads: u32,
    site: u32,
    first: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> dy: array<Dy4>;
@group(0) @binding(3) var<storage, read_write> dx: array<Dx4>;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i >= params.quads {
        return;
    }
    var factors = vec4(1.0);
    if now.train != 0u {
        factors = dropout_factors(random_stream(params.site), params.first + 4u * i, 1u, params.threshold, params.scale);
    }
    dx[i] = Dx4(storable4(vec4<f32>(dy[i]) * factors, LARGEST_DX));
}
