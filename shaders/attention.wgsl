// Causal multi-head self-attention, flash style (Dao et al. 2022), and its weights for showing.
//
//     S = Q Kᵀ / √D, nothing where query i does not see key j      P = softmax(S)      O = dropout(P) V
//
// qkv     [B, T, NH + 2 NKV, D]
// out     [B, T, NH, D]
// lse     [B, NH, T]       log Σ exp(S) of each row: all that is kept of P
// probs   [B, NH, T, T]    P, exactly 0 where query i does not see key j
// grid    forward: a workgroup per 64 queries of a head and 64 channels, those with the most keys first
//         probs: a workgroup per 64 x 64 weights

@group(0) @binding(3) var<storage, read_write> out: array<Out>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> probs: array<Probs>;

fn maximum_of(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

fn sum_of(x: vec4<f32>) -> f32 {
    return (x.x + x.y) + (x.z + x.w);
}

// exp(x - shift) by rows.
fn exp_rows(x: mat4x4<f32>, shift: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(exp(x[0] - shift.x), exp(x[1] - shift.y), exp(x[2] - shift.z), exp(x[3] - shift.w));
}

// A row of a block of scores: those of keys that the query sees.
fn visible_scores(row: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(LOWEST), row * params.score_scale, sees(vec4(query), keys));
}

// Scaled scores of the queries from `place.row` on with the keys from `key` on.
fn scores(place: Place, key: u32, lane: u32) -> mat4x4<f32> {
    let s = product(place, place.channel, place.row, place.key, key, lane);
    let i = place.row + lane / 16u * 4u;
    let j = key + lane % 16u * 4u;
    return mat4x4(
        visible_scores(s[0], i, j),
        visible_scores(s[1], i + 1u, j),
        visible_scores(s[2], i + 2u, j),
        visible_scores(s[3], i + 3u, j),
    );
}

fn store_out(place: Place, row: u32, channel: u32, value: vec4<f32>) {
    if row >= params.context || channel >= HEAD_DIM {
        return;
    }
    let at = (place.token + row) * params.heads * HEAD_DIM + place.channel + channel;
    let x = storable4(value, LARGEST_OUT);
    out[at] = Out(x.x);
    if channel + 1u < HEAD_DIM { out[at + 1u] = Out(x.y); }
    if channel + 2u < HEAD_DIM { out[at + 2u] = Out(x.z); }
    if channel + 3u < HEAD_DIM { out[at + 3u] = Out(x.w); }
}

// Softmax as the keys go by: sums so far are relative to the maximum so far, and scaled down whenever that grows. A query that sees no key of
// its first tile adds up all of them with weight 1, and scales that down to 0 at the first key that it sees.
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = linear_workgroup(workgroup, count);
    let tiles = (params.context + TILE - 1u) / TILE;
    let rank = group / (params.batch_heads * channel_tiles());
    if rank >= tiles {
        return;
    }
    let place = locate(group, tiles - 1u - rank, 1u);
    let row = place.row + lane / 16u * 4u;
    let first_of_row = lane / 16u * 16u;

    var maximum = vec4(LOWEST);
    // Of this invocation's columns only, until the end.
    var total = vec4(0.0);
    var sum = mat4x4<f32>();
    for (var key = first_key(place.row) / TILE * TILE; key < end_of_keys(place.row); key += TILE) {
        let s = scores(place, key, lane);
        share(vec4(maximum_of(s[0]), maximum_of(s[1]), maximum_of(s[2]), maximum_of(s[3])), lane);
        let before = maximum;
        for (var i = 0u; i < 16u; i++) {
            maximum = max(maximum, right[first_of_row + i]);
        }
        let shrink = exp(before - maximum);
        var weights = exp_rows(s, maximum);
        total = total * shrink + vec4(sum_of(weights[0]), sum_of(weights[1]), sum_of(weights[2]), sum_of(weights[3]));
        if drops() {
            weights = times(weights, mask(place, row, key + lane % 16u * 4u, 1u, params.context));
        }
        sum = weigh(scale_rows(sum, shrink), weights, place, place.value, key, lane);
    }

    share(total, lane);
    total = vec4(0.0);
    for (var i = 0u; i < 16u; i++) {
        total += right[first_of_row + i];
    }
    let attended = scale_rows(sums_of_parts(sum, lane), 1.0 / total);
    if writes_sum(lane) {
        let channel = sum_channel(place, lane);
        store_out(place, row, channel, attended[0]);
        store_out(place, row + 1u, channel, attended[1]);
        store_out(place, row + 2u, channel, attended[2]);
        store_out(place, row + 3u, channel, attended[3]);
    }
    if place.first == 0u && lane % 16u == 0u {
        let at = place.head * params.context;
        let log_sum = maximum + log(total);
        if row < params.context { lse[at + row] = log_sum.x; }
        if row + 1u < params.context { lse[at + row + 1u] = log_sum.y; }
        if row + 2u < params.context { lse[at + row + 2u] = log_sum.z; }
        if row + 3u < params.context { lse[at + row + 3u] = log_sum.w; }
    }
}

// exp(s - lse) of a row's four keys.
fn store_probs(place: Place, row: u32, key: u32, s: vec4<f32>) {
    if row >= params.context || key >= params.context {
        return;
    }
    let at = place.head * params.context + row;
    let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
    let p = select(vec4(0.0), exp(s - lse[at]), sees(vec4(row), keys));
    probs[at * params.context + key] = Probs(p.x);
    if key + 1u < params.context { probs[at * params.context + key + 1u] = Probs(p.y); }
    if key + 2u < params.context { probs[at * params.context + key + 2u] = Probs(p.z); }
    if key + 3u < params.context { probs[at * params.context + key + 3u] = Probs(p.w); }
}

@compute @workgroup_size(WORKGROUP)
fn weights(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = linear_workgroup(workgroup, count);
    let tiles = (params.context + TILE - 1u) / TILE;
    let tile = group / params.batch_heads;
    if tile >= tiles * tiles {
        return;
    }
    let place = locate(group, tile / tiles, 1u);
    let key = tile % tiles * TILE;
    var s = mat4x4<f32>();
    if key < end_of_keys(place.row) && key + TILE > first_key(place.row) {
        s = scores(place, key, lane);
    }
    let row = place.row + lane / 16u * 4u;
    let column = key + lane % 16u * 4u;
    store_probs(place, row, column, s[0]);
    store_probs(place, row + 1u, column, s[1]);
    store_probs(place, row + 2u, column, s[2]);
    store_probs(place, row + 3u, column, s[3]);
}
