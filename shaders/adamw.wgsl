// AdamW (Loshchilov and Hutter 2019; PyTorch's AdamW), one pass over an arena, four elements to an invocation:
//
//     g = grad * factor
//     m = beta1 m + (1 - beta1) g                v = beta2 v + (1 - beta2) g^2
//     value = value (1 - lr lambda) - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
//     grad = 0
//
// value, grad, m, v, ema   [vectors * 4]
// half_value               [vectors * 4], the values rounded to float16 for matrix products
// stats                    gradient norm; factor that clips the gradient, 0 for an update that is left out
// grid                     one invocation per vec4, 256 to a workgroup: nothing is shared, the time is that of memory, which whole
//                          vec4s of neighbouring invocations use best

struct Params {
    vectors: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    weight_decay: f32,
    decay: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> value: array<Value4>;
@group(0) @binding(3) var<storage, read_write> grad: array<Grad4>;
@group(0) @binding(4) var<storage, read_write> m: array<M4>;
@group(0) @binding(5) var<storage, read_write> v: array<V4>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> half_value: array<HalfValue4>;
@group(0) @binding(8) var<storage, read_write> ema: array<Ema4>;

// Whether products read a float16 copy of this arena.
override HAS_HALF: bool = true;

const WORKGROUP = 256u;
// Converting what float16 cannot hold is left to the device by WGSL: it is made float16's largest instead.
const LARGEST_HALF = vec4(65504.0);

fn rounded(x: vec4<f32>) -> HalfValue4 {
    return HalfValue4(clamp(x, -LARGEST_HALF, LARGEST_HALF));
}

@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i >= params.vectors {
        return;
    }
    let factor = stats[1];
    if factor != 0.0 {
        let g = vec4<f32>(grad[i]) * factor;
        let new_m = params.beta1 * vec4<f32>(m[i]) + (1.0 - params.beta1) * g;
        let new_v = params.beta2 * vec4<f32>(v[i]) + (1.0 - params.beta2) * g * g;
        let denominator = sqrt(new_v) / sqrt(now.bias_correction2) + params.epsilon;
        let decayed = vec4<f32>(value[i]) * (1.0 - now.learning_rate * params.weight_decay);
        let new_value = decayed - now.learning_rate / now.bias_correction1 * (new_m / denominator);
        m[i] = M4(new_m);
        v[i] = V4(new_v);
        value[i] = Value4(new_value);
        if HAS_HALF {
            half_value[i] = rounded(new_value);
        }
    }
    // Also where the update is left out: a gradient that is not finite must not stay.
    grad[i] = Grad4(vec4<f32>(0.0));
}

// ema = decay ema + (1 - decay) value
@compute @workgroup_size(WORKGROUP)
fn average(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i >= params.vectors || stats[1] == 0.0 {
        return;
    }
    ema[i] = Ema4(params.decay * vec4<f32>(ema[i]) + (1.0 - params.decay) * vec4<f32>(value[i]));
}

// half_value = value
@compute @workgroup_size(WORKGROUP)
fn round_matrices(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i >= params.vectors {
        return;
    }
    half_value[i] = rounded(vec4<f32>(value[i]));
}
