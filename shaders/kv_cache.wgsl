// Decoding: keys and values of past tokens are kept, so that a new token costs one row.
//
//     K[position] = k,  V[position] = v        p = softmax(q Kᵀ / √D) over the last `window` keys up to position        out = p V
//
// qkv                      [T, (NH + 2 NKV) D] of a prompt, [1, (NH + 2 NKV) D] of a new token
// key_cache, value_cache   [T, NKV D]; rows after `position` may hold anything. Query head h attends to head h / (NH / NKV)
// scores                   [NH, T], scratch
// out                      [1, C]
// x, y                     [T, C], [1, C]
// grid                     fill: an invocation per element of a cache; take_row: per channel; attend: a workgroup per head

struct Params {
    // T
    context: u32,
    // NH D
    channels: u32,
    // NKV D
    kv_channels: u32,
    // NH / NKV
    group_size: u32,
    // At most T, which hides no key up to the token's own.
    window: u32,
    // D
    head_dim: u32,
    // 1/√D
    score_scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> qkv: array<Qkv>;
@group(0) @binding(3) var<storage, read_write> key_cache: array<Key>;
@group(0) @binding(4) var<storage, read_write> value_cache: array<Value>;
@group(0) @binding(5) var<storage, read_write> scores: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<Out>;
@group(0) @binding(7) var<storage, read> x: array<X>;
@group(0) @binding(8) var<storage, read_write> y: array<Y>;

const WORKGROUP = 256u;

// Copies a prompt's keys and values: rows 0..=position, the rest being padding.
@compute @workgroup_size(WORKGROUP)
fn fill(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    let row = i / params.kv_channels;
    if row > now.position || row >= params.context {
        return;
    }
    let key = row * (params.channels + 2u * params.kv_channels) + params.channels + i % params.kv_channels;
    key_cache[i] = Key(f32(qkv[key]));
    value_cache[i] = Value(f32(qkv[key + params.kv_channels]));
}

// y = x[position]
@compute @workgroup_size(WORKGROUP)
fn take_row(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    if i < params.channels {
        y[i] = Y(f32(x[now.position * params.channels + i]));
    }
}

// 16 invocations to a row of the cache: a subgroup reads whole 64-byte lines of float32, and 16 rows are on their way at a time.
const LANES = 16u;
const TEAMS = WORKGROUP / LANES;
// Keys whose products are added up between two barriers: 8,704 bytes of them and 4,096 of `parts` stay within every adapter's 16,384.
const BLOCK = 128u;
// One more than 16: invocations that each add up a key's products hit different banks.
const STRIDE = LANES + 1u;

var<workgroup> products: array<f32, BLOCK * STRIDE>;
// For reductions over the workgroup.
var<workgroup> parts: array<vec4<f32>, WORKGROUP>;

// Channels channel, channel + 16, + 32, + 48 of the head, 0 beyond its last: a row is read in pieces of 16 channels by 16 invocations.
fn load_qkv(at: u32, channel: u32) -> vec4<f32> {
    var v = vec4(0.0);
    if channel < params.head_dim { v.x = f32(qkv[at + channel]); }
    if channel + 16u < params.head_dim { v.y = f32(qkv[at + channel + 16u]); }
    if channel + 32u < params.head_dim { v.z = f32(qkv[at + channel + 32u]); }
    if channel + 48u < params.head_dim { v.w = f32(qkv[at + channel + 48u]); }
    return v;
}

fn load_key(at: u32, channel: u32) -> vec4<f32> {
    var v = vec4(0.0);
    if channel < params.head_dim { v.x = f32(key_cache[at + channel]); }
    if channel + 16u < params.head_dim { v.y = f32(key_cache[at + channel + 16u]); }
    if channel + 32u < params.head_dim { v.z = f32(key_cache[at + channel + 32u]); }
    if channel + 48u < params.head_dim { v.w = f32(key_cache[at + channel + 48u]); }
    return v;
}

fn load_value(at: u32, channel: u32) -> vec4<f32> {
    var v = vec4(0.0);
    if channel < params.head_dim { v.x = f32(value_cache[at + channel]); }
    if channel + 16u < params.head_dim { v.y = f32(value_cache[at + channel + 16u]); }
    if channel + 32u < params.head_dim { v.z = f32(value_cache[at + channel + 32u]); }
    if channel + 48u < params.head_dim { v.w = f32(value_cache[at + channel + 48u]); }
    return v;
}

// The new token's row goes into the cache, and is read from qkv: no workgroup reads a row that another writes. `first` is the head's first
// channel in a row of the cache.
fn append(first: u32, lane: u32) {
    for (var i = lane; i < params.head_dim; i += WORKGROUP) {
        let channel = first + i;
        let to = now.position * params.kv_channels + channel;
        key_cache[to] = Key(f32(qkv[params.channels + channel]));
        value_cache[to] = Value(f32(qkv[params.channels + params.kv_channels + channel]));
    }
}

// Sets this invocation's parts of q · k for the keys of a block.
fn multiply_keys(head: u32, first: u32, block: u32, keys: u32, lane: u32) {
    for (var channel = lane % LANES; channel < params.head_dim; channel += 4u * LANES) {
        let q = load_qkv(head * params.head_dim, channel);
        for (var i = lane / LANES; i < keys; i += TEAMS) {
            var k: vec4<f32>;
            if block + i == now.position {
                k = load_qkv(params.channels + first, channel);
            } else {
                k = load_key((block + i) * params.kv_channels + first, channel);
            }
            let slot = i * STRIDE + lane % LANES;
            // The first piece of 64 channels assigns.
            var sum = 0.0;
            if channel >= 4u * LANES {
                sum = products[slot];
            }
            products[slot] = sum + dot(q, k);
        }
    }
}

// Sums of `x` over the workgroup, in a tree: over the invocations that are equal modulo `width`, into parts[0..width].
fn add_up(x: vec4<f32>, width: u32, lane: u32) {
    workgroupBarrier();
    parts[lane] = x;
    for (var half = WORKGROUP / 2u; half >= width; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            parts[lane] += parts[lane + half];
        }
    }
    workgroupBarrier();
}

fn maximum_of_all(x: f32, lane: u32) -> f32 {
    parts[lane] = vec4(x);
    for (var half = WORKGROUP / 2u; half >= 1u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            parts[lane] = max(parts[lane], parts[lane + half]);
        }
    }
    workgroupBarrier();
    return parts[0].x;
}

@compute @workgroup_size(WORKGROUP)
fn attend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let head = linear_workgroup(workgroup, count);
    if head * params.head_dim >= params.channels {
        return;
    }
    let first = head / params.group_size * params.head_dim;
    // Of the heads that share a head of keys, one keeps them.
    if head % params.group_size == 0u {
        append(first, lane);
    }
    let keys = now.position + 1u;
    let first_key = keys - min(keys, params.window);
    let row = head * params.context;

    // Scores: 16 partial products of each key, added up by one invocation per key.
    var maximum = LOWEST;
    for (var block = first_key; block < keys; block += BLOCK) {
        workgroupBarrier();
        multiply_keys(head, first, block, min(BLOCK, keys - block), lane);
        workgroupBarrier();
        if lane < BLOCK && block + lane < keys {
            var score = 0.0;
            for (var i = 0u; i < min(LANES, params.head_dim); i++) {
                score += products[lane * STRIDE + i];
            }
            score *= params.score_scale;
            scores[row + block + lane] = score;
            maximum = max(maximum, score);
        }
    }
    maximum = maximum_of_all(maximum, lane);

    // Weights.
    storageBarrier();
    var total = 0.0;
    for (var key = first_key + lane; key < keys; key += WORKGROUP) {
        let weight = exp(scores[row + key] - maximum);
        scores[row + key] = weight;
        total += weight;
    }
    add_up(vec4(total), 1u, lane);
    let inverse = 1.0 / parts[0].x;
    storageBarrier();

    // Values: 16 teams take every 16th key each.
    for (var piece = 0u; piece < params.head_dim; piece += 4u * LANES) {
        let channel = piece + lane % LANES;
        var sum = vec4(0.0);
        for (var key = first_key + lane / LANES; key < keys; key += TEAMS) {
            var v: vec4<f32>;
            if key == now.position {
                v = load_qkv(params.channels + params.kv_channels + first, channel);
            } else {
                v = load_value(key * params.kv_channels + first, channel);
            }
            sum += scores[row + key] * v;
        }
        add_up(sum, LANES, lane);
        if lane < LANES {
            let attended = parts[lane] * inverse;
            let to = head * params.head_dim + channel;
            if channel < params.head_dim { out[to] = Out(attended.x); }
            if channel + 16u < params.head_dim { out[to + 16u] = Out(attended.y); }
            if channel + 32u < params.head_dim { out[to + 32u] = Out(attended.z); }
            if channel + 48u < params.head_dim { out[to + 48u] = Out(attended.w); }
        }
    }
}
