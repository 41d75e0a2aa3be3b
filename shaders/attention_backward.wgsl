// Backward pass of attention. The weights are computed again from the log-sum-exp; no sum crosses workgroups, so that nothing is atomic and a
// repeated run gives the same bits. The price is that scores are computed twice, for the sums over keys and for those over queries.
//
//     forward   S = Q Kᵀ / √D      P = softmax(S) = exp(S - lse)      O = dropout(P) V
//     dV = dropout(P)ᵀ dO      dP = dropout(dO Vᵀ)      dS = P ∘ (dP - delta)      dQ = dS K / √D      dK = dSᵀ Q / √D
//     delta = rowsum(dO ∘ O) = rowsum(P ∘ dP)
//
// qkv, dqkv   [B, T, NH + 2 NKV, D]    dqkv is assigned: queries by one kernel, keys and values by the other
// out, dout   [B, T, NH, D]
// lse, delta  [B, NH, T]
// grid        dot_rows: a workgroup per 64 rows of [B, T, NH]
//             keys_values: a workgroup per 64 keys of a head of keys and 64 channels, those with the most queries first: it goes through the
//             query heads that share the keys one after the other
//             queries: a workgroup per 64 queries of a head and 64 channels, those with the most keys first

@group(0) @binding(3) var<storage, read> out: array<Out4>;
@group(0) @binding(4) var<storage, read> dout: array<Dout4>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> dqkv: array<Dqkv>;

// Four channels of dO from an element on.
fn dout_at(at: u32, channel: u32) -> vec4<f32> {
    let x = vec4<f32>(dout[at / 4u]);
    if HEAD_DIM % 4u == 0u {
        return x;
    }
    let next = vec4<f32>(dout[min(at / 4u + 1u, arrayLength(&dout) - 1u)]);
    return in_head(shifted(x, next, at % 4u), channel);
}

fn out_at(at: u32, channel: u32) -> vec4<f32> {
    let x = vec4<f32>(out[at / 4u]);
    if HEAD_DIM % 4u == 0u {
        return x;
    }
    let next = vec4<f32>(out[min(at / 4u + 1u, arrayLength(&out) - 1u)]);
    return in_head(shifted(x, next, at % 4u), channel);
}

// Four channels of a token's dO; 0 beyond the last.
fn load_dout(place: Place, row: u32, channel: u32) -> vec4<f32> {
    if row >= params.context || channel >= HEAD_DIM {
        return vec4(0.0);
    }
    return dout_at((place.token + row) * params.heads * HEAD_DIM + place.channel + channel, channel);
}

// delta: four invocations to a row, which is where it lies in memory, [B, T, NH].
@compute @workgroup_size(WORKGROUP)
fn dot_rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_workgroup(workgroup, count) * TILE + lane / 4u;
    var sum = vec4(0.0);
    if row < params.batch_heads * params.context {
        for (var channel = lane % 4u * 4u; channel < HEAD_DIM; channel += 16u) {
            let at = row * HEAD_DIM + channel;
            sum += dout_at(at, channel) * out_at(at, channel);
        }
    }
    left[lane] = sum;
    workgroupBarrier();
    if lane % 4u == 0u && row < params.batch_heads * params.context {
        let all = (left[lane] + left[lane + 1u]) + (left[lane + 2u] + left[lane + 3u]);
        let token = row / params.heads;
        let head = token / params.context * params.heads + row % params.heads;
        delta[head * params.context + token % params.context] = (all.x + all.y) + (all.z + all.w);
    }
}

// Four consecutive queries from `at` on, of lse or delta; those beyond the last are never used.
fn four(place: Place, query: u32) -> vec4<u32> {
    return vec4(place.head * params.context) + min(vec4(query) + vec4(0u, 1u, 2u, 3u), vec4(params.context - 1u));
}

fn load_lse(at: vec4<u32>) -> vec4<f32> {
    return vec4(lse[at.x], lse[at.y], lse[at.z], lse[at.w]);
}

fn load_delta(at: vec4<u32>) -> vec4<f32> {
    return vec4(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
}

fn store(place: Place, part: u32, row: u32, channel: u32, value: vec4<f32>) {
    if row >= params.context || channel >= HEAD_DIM {
        return;
    }
    let at = (place.token + row) * qkv_channels() + part + channel;
    let x = storable4(value, LARGEST_DQKV);
    dqkv[at] = Dqkv(x.x);
    if channel + 1u < HEAD_DIM { dqkv[at + 1u] = Dqkv(x.y); }
    if channel + 2u < HEAD_DIM { dqkv[at + 2u] = Dqkv(x.z); }
    if channel + 3u < HEAD_DIM { dqkv[at + 3u] = Dqkv(x.w); }
}

// Writes a block of a finished sum.
fn store_sum(place: Place, part: u32, sum: mat4x4<f32>, lane: u32) {
    let x = sums_of_parts(sum, lane);
    if writes_sum(lane) {
        let row = place.row + lane / 16u * 4u;
        let channel = sum_channel(place, lane);
        store(place, part, row, channel, x[0]);
        store(place, part, row + 1u, channel, x[1]);
        store(place, part, row + 2u, channel, x[2]);
        store(place, part, row + 3u, channel, x[3]);
    }
}

// dS of four weights, times what S was scaled by.
fn score_gradient(p: vec4<f32>, dp: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    return p * (dp - delta) * params.score_scale;
}

// Four weights of one key and the queries from `query` on.
fn weights_of_key(s: vec4<f32>, lse: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    let queries = vec4(query) + vec4(0u, 1u, 2u, 3u);
    let visible = sees(queries, vec4(key)) & (queries < vec4(params.context));
    return select(vec4(0.0), exp(s * params.score_scale - lse), visible);
}

// Rows are keys, columns are queries: Pᵀ and dSᵀ.
@compute @workgroup_size(WORKGROUP)
fn keys_values(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = linear_workgroup(workgroup, count);
    let rank = group / (params.batch_heads / params.group_size * channel_tiles());
    if rank * TILE >= params.context {
        return;
    }
    var place = locate(group, rank, params.group_size);
    let key = place.row + lane / 16u * 4u;
    var dkey = mat4x4<f32>();
    var dvalue = mat4x4<f32>();
    // After the last query that sees the last key.
    let end = min(params.context, place.row + TILE - 1u + params.window);
    let begin = select(place.row, 0u, params.open == 1u);
    for (var head = 0u; head < params.group_size; head++) {
        for (var first = begin; first < end; first += TILE) {
            let s = product(place, place.key, place.row, place.channel, first, lane);
            // dPᵀ = V dOᵀ
            var dp = mat4x4<f32>();
            for (var channel = 0u; channel < HEAD_DIM; channel += DEPTH) {
                workgroupBarrier();
                left[operand_slot(lane)] = load_qkv(place, place.value, place.row + lane / 4u, channel + lane % 4u * 4u);
                right[operand_slot(lane)] = load_dout(place, first + lane / 4u, channel + lane % 4u * 4u);
                workgroupBarrier();
                dp = multiply_rows(dp, lane);
            }

            let query = first + lane % 16u * 4u;
            let at = four(place, query);
            let log_sums = load_lse(at);
            let dots = load_delta(at);
            let p = mat4x4(
                weights_of_key(s[0], log_sums, query, key),
                weights_of_key(s[1], log_sums, query, key + 1u),
                weights_of_key(s[2], log_sums, query, key + 2u),
                weights_of_key(s[3], log_sums, query, key + 3u),
            );
            var dropped = p;
            if drops() {
                let factor = mask(place, query, key, params.context, 1u);
                dropped = times(p, factor);
                dp = times(dp, factor);
            }
            let ds = mat4x4(
                score_gradient(p[0], dp[0], dots),
                score_gradient(p[1], dp[1], dots),
                score_gradient(p[2], dp[2], dots),
                score_gradient(p[3], dp[3], dots),
            );

            for (var chunk = 0u; chunk < chunks(first); chunk++) {
                workgroupBarrier();
                stage_weights(dropped, chunk, lane);
                if stages_column(lane) {
                    let row = first + chunk * DEPTH + lane / channel_lanes();
                    right[lane] = load_dout(place, row, sum_channel(place, lane));
                }
                workgroupBarrier();
                dvalue = multiply_columns(dvalue, lane);
            }
            dkey = weigh(dkey, ds, place, place.channel, first, lane);
        }
        place.head += 1u;
        place.channel += HEAD_DIM;
    }
    store_sum(place, place.key, dkey, lane);
    store_sum(place, place.value, dvalue, lane);
}

// Four weights of one query and the keys from `key` on.
fn weights_of_query(s: vec4<f32>, lse: f32, query: u32, key: u32) -> vec4<f32> {
    let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(0.0), exp(s * params.score_scale - lse), sees(vec4(query), keys));
}

// Rows are queries, columns are keys.
@compute @workgroup_size(WORKGROUP)
fn queries(
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
    let query = place.row + lane / 16u * 4u;
    let at = four(place, query);
    let log_sums = load_lse(at);
    let dots = load_delta(at);
    var dquery = mat4x4<f32>();
    for (var first = first_key(place.row) / TILE * TILE; first < end_of_keys(place.row); first += TILE) {
        let s = product(place, place.channel, place.row, place.key, first, lane);
        // dP = dO Vᵀ
        var dp = mat4x4<f32>();
        for (var channel = 0u; channel < HEAD_DIM; channel += DEPTH) {
            workgroupBarrier();
            left[operand_slot(lane)] = load_dout(place, place.row + lane / 4u, channel + lane % 4u * 4u);
            right[operand_slot(lane)] = load_qkv(place, place.value, first + lane / 4u, channel + lane % 4u * 4u);
            workgroupBarrier();
            dp = multiply_rows(dp, lane);
        }

        let key = first + lane % 16u * 4u;
        if drops() {
            dp = times(dp, mask(place, query, key, 1u, params.context));
        }
        let ds = mat4x4(
            score_gradient(weights_of_query(s[0], log_sums.x, query, key), dp[0], vec4(dots.x)),
            score_gradient(weights_of_query(s[1], log_sums.y, query + 1u, key), dp[1], vec4(dots.y)),
            score_gradient(weights_of_query(s[2], log_sums.z, query + 2u, key), dp[2], vec4(dots.z)),
            score_gradient(weights_of_query(s[3], log_sums.w, query + 3u, key), dp[3], vec4(dots.w)),
        );
        dquery = weigh(dquery, ds, place, place.key, first, lane);
    }
    store_sum(place, place.channel, dquery, lane);
}
