// What the attention kernels share: matrix products in tiles of 64 x 64. It is put in front of attention.wgsl and attention_backward.wgsl.
//
// qkv   [B, T, NH + 2 NKV, D]: the queries of all heads, then their keys, then their values. Query head h attends to head h / (NH / NKV) of
//       the keys and values; query i sees the keys j with i - window < j <= i.
//
// A workgroup works for one head of one sequence on 64 rows (queries, or keys) and 64 channels. Invocation (y, x) of 16 x 16 holds rows
// 4y..4y+3 of every matrix: columns 4x..4x+3 of the 64 x 64 scores, channels 4x..4x+3 of a sum. A `mat4x4` is such a block of 4 x 4, m[i] being
// its row i. Both products of attention then have one form, blocks in registers and operands passing through workgroup memory:
//
//     scores  A Bᵀ   16 channels of 64 rows of A and of B at a time      multiply_rows
//     sums    W X    16 columns of W (from the registers of those who hold them) and 16 rows of X at a time      multiply_columns
//
// so that the memory needed depends neither on D nor on T. With D > 64 a head takes several workgroups, which compute its scores again each.

// Rows of a tile: with 4 x 4 blocks each number fetched from workgroup memory is used four times, and 256 invocations are what every adapter has.
// Of the square of T = 256, tiles of 64 compute 62 %, tiles of 32 would compute 56 %, at half the reuse.
const TILE = 64u;
const WORKGROUP = 256u;
// Channels of an operand (or columns of weights) staged at a time: 64 rows of four vec4 are one vec4 for each invocation.
const DEPTH = 16u;
const QUADS = DEPTH / 4u;
// A staged operand. Each 4 rows are followed by an unused vec4: invocations of a row of 16, which read 4 rows apart, hit different banks.
// Two of them take 8,704 bytes of the 16,384 that every adapter has, so that even 32 KiB per core hold three workgroups.
const GROUP = 4u * QUADS + 1u;
const STAGE = TILE / 4u * GROUP;

// D. Where it is no multiple of 4, rows do not begin at a vec4.
override HEAD_DIM: u32 = 64u;

struct Params {
    // B · NH
    batch_heads: u32,
    // NH
    heads: u32,
    // NH / NKV: query heads to a head of keys and values
    group_size: u32,
    // T
    context: u32,
    // At most T, which hides no key up to the query.
    window: u32,
    // 1 where queries see later keys too; 0 otherwise.
    open: u32,
    // 1/√D
    score_scale: f32,
    // Dropout's.
    site: u32,
    first: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> qkv: array<Qkv4>;

var<workgroup> left: array<vec4<f32>, STAGE>;
var<workgroup> right: array<vec4<f32>, STAGE>;

// What a workgroup works on.
struct Place {
    // b · NH + h
    head: u32,
    // b · T, the sequence's first token
    token: u32,
    // h · D, the head's first channel: in a row of `out`, and of its queries in a row of qkv
    channel: u32,
    // First channel in a row of qkv of the keys and values that the head attends to.
    key: u32,
    value: u32,
    // First row of the tile of `rank`.
    row: u32,
    // First of the 64 channels of the head that this workgroup sums up.
    first: u32,
}

// Workgroups of a tile and all heads: one per 64 channels.
fn channel_tiles() -> u32 {
    return (HEAD_DIM + TILE - 1u) / TILE;
}

// Workgroups of equal `rank` are next to each other: a kernel counts tiles from the longest on, so that the short ones fill up the end.
// One workgroup sees to `heads` query heads, beginning with the place's.
fn locate(group: u32, rank: u32, heads: u32) -> Place {
    let count = params.batch_heads / heads;
    let head = group % count * heads;
    let first = group / count % channel_tiles() * TILE;
    let in_sequence = head % params.heads;
    let key = (params.heads + in_sequence / params.group_size) * HEAD_DIM;
    let value = key + params.heads / params.group_size * HEAD_DIM;
    return Place(head, head / params.heads * params.context, in_sequence * HEAD_DIM, key, value, rank * TILE, first);
}

// Channels of a row of qkv.
fn qkv_channels() -> u32 {
    return (params.heads + 2u * (params.heads / params.group_size)) * HEAD_DIM;
}

// Whether queries see keys. Keys after the query are hidden too: their distance wraps around to more than any window.
fn sees(query: vec4<u32>, key: vec4<u32>) -> vec4<bool> {
    return select(query - key < vec4(params.window), key < vec4(params.context), params.open == 1u);
}

// The number of keys up to the last that queries of a tile see: those of the tile itself and all before, or all.
fn end_of_keys(row: u32) -> u32 {
    return select(row + 1u, params.context, params.open == 1u);
}

// The first key that a query sees.
fn first_key(query: u32) -> u32 {
    return query + 1u - min(query + 1u, params.window);
}

// Four numbers from component `shift` on.
fn shifted(a: vec4<f32>, b: vec4<f32>, shift: u32) -> vec4<f32> {
    let even = select(a, vec4(a.zw, b.xy), (shift & 2u) != 0u);
    let odd = select(vec4(a.yzw, b.x), vec4(a.w, b.xyz), (shift & 2u) != 0u);
    return select(even, odd, (shift & 1u) != 0u);
}

// 0 in place of channels beyond the head's last.
fn in_head(x: vec4<f32>, channel: u32) -> vec4<f32> {
    return select(vec4(0.0), x, vec4(channel) + vec4(0u, 1u, 2u, 3u) < vec4(HEAD_DIM));
}

// Four channels of a token's query, key or value, `part` being where its head begins in a row of qkv; 0 beyond the last token and the last
// channel, where it changes no sum.
fn load_qkv(place: Place, part: u32, row: u32, channel: u32) -> vec4<f32> {
    if row >= params.context || channel >= HEAD_DIM {
        return vec4(0.0);
    }
    let at = (place.token + row) * qkv_channels() + part + channel;
    let x = vec4<f32>(qkv[at / 4u]);
    if HEAD_DIM % 4u == 0u {
        return x;
    }
    let next = vec4<f32>(qkv[min(at / 4u + 1u, arrayLength(&qkv) - 1u)]);
    return in_head(shifted(x, next, at % 4u), channel);
}

// a + Σ x[k] b[k]
fn multiply_row(a: vec4<f32>, x: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4(x.w), b[3], fma(vec4(x.z), b[2], fma(vec4(x.y), b[1], fma(vec4(x.x), b[0], a))));
}

fn multiply(sum: mat4x4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(
        multiply_row(sum[0], a[0], b),
        multiply_row(sum[1], a[1], b),
        multiply_row(sum[2], a[2], b),
        multiply_row(sum[3], a[3], b),
    );
}

// Where an invocation stages its vec4 of an operand [64, 16] of multiply_rows: row lane / 4, channels 4 (lane % 4) on.
fn operand_slot(lane: u32) -> u32 {
    return lane + lane / (4u * QUADS);
}

// sum + A Bᵀ of what is staged.
fn multiply_rows(sum: mat4x4<f32>, lane: u32) -> mat4x4<f32> {
    var result = sum;
    let a = lane / 16u * GROUP;
    let b = lane % 16u * GROUP;
    for (var k = 0u; k < min(QUADS, (HEAD_DIM + 3u) / 4u); k++) {
        let rows = mat4x4(left[a + k], left[a + k + QUADS], left[a + k + 2u * QUADS], left[a + k + 3u * QUADS]);
        let columns = mat4x4(right[b + k], right[b + k + QUADS], right[b + k + 2u * QUADS], right[b + k + 3u * QUADS]);
        // Transposing names registers, it moves nothing.
        result = multiply(result, rows, transpose(columns));
    }
    return result;
}

// A Bᵀ over all channels: rows of one part of qkv times rows of another.
fn product(place: Place, a: u32, a_row: u32, b: u32, b_row: u32, lane: u32) -> mat4x4<f32> {
    var sum = mat4x4<f32>();
    for (var channel = 0u; channel < HEAD_DIM; channel += DEPTH) {
        workgroupBarrier();
        left[operand_slot(lane)] = load_qkv(place, a, a_row + lane / 4u, channel + lane % 4u * 4u);
        right[operand_slot(lane)] = load_qkv(place, b, b_row + lane / 4u, channel + lane % 4u * 4u);
        workgroupBarrier();
        sum = multiply_rows(sum, lane);
    }
    return sum;
}

// How many of the 16 invocations of a row of blocks have channels of their own in a sum. With D <= 32 that is half of them or fewer: the
// rest take other columns of the weights, and sum_of_parts adds what they got, once at the end.
fn channel_lanes() -> u32 {
    if HEAD_DIM <= 16u {
        return 4u;
    }
    return select(16u, 8u, HEAD_DIM <= 32u);
}

// Channels of this invocation's block of a sum, within the head.
fn sum_channel(place: Place, lane: u32) -> u32 {
    return place.first + lane % channel_lanes() * 4u;
}

// Stages columns 16 chunk..16 chunk + 15 of weights that are held in blocks.
fn stage_weights(weights: mat4x4<f32>, chunk: u32, lane: u32) {
    if lane % 16u / QUADS == chunk {
        let at = lane / 16u * GROUP + lane % QUADS;
        left[at] = weights[0];
        left[at + QUADS] = weights[1];
        left[at + 2u * QUADS] = weights[2];
        left[at + 3u * QUADS] = weights[3];
    }
}

// sum + W X of what is staged: right[k, channel / 4].
fn multiply_columns(sum: mat4x4<f32>, lane: u32) -> mat4x4<f32> {
    var result = sum;
    let a = lane / 16u * GROUP;
    let width = channel_lanes();
    for (var k = lane % 16u / width; k < QUADS; k += 16u / width) {
        let b = 4u * k * width + lane % width;
        let weights = mat4x4(left[a + k], left[a + k + QUADS], left[a + k + 2u * QUADS], left[a + k + 3u * QUADS]);
        let x = mat4x4(right[b], right[b + width], right[b + 2u * width], right[b + 3u * width]);
        result = multiply(result, weights, x);
    }
    return result;
}

// Whether this invocation stages a vec4 of X for multiply_columns: of row lane / channel_lanes(), its own channels of the sum.
fn stages_column(lane: u32) -> bool {
    return lane < DEPTH * channel_lanes();
}

// sum + W X for the 64 rows of a part of qkv that begin at `row`.
fn weigh(sum: mat4x4<f32>, weights: mat4x4<f32>, place: Place, part: u32, row: u32, lane: u32) -> mat4x4<f32> {
    var result = sum;
    for (var chunk = 0u; chunk < chunks(row); chunk++) {
        workgroupBarrier();
        stage_weights(weights, chunk, lane);
        if stages_column(lane) {
            right[lane] = load_qkv(place, part, row + chunk * DEPTH + lane / channel_lanes(), sum_channel(place, lane));
        }
        workgroupBarrier();
        result = multiply_columns(result, lane);
    }
    return result;
}

// Chunks of 16 rows in the tile that begins at `row`: the last tile may have fewer than four.
fn chunks(row: u32) -> u32 {
    return (min(TILE, params.context - row) + DEPTH - 1u) / DEPTH;
}

// Lets the 16 invocations of a row of blocks see each other's `x`.
fn share(x: vec4<f32>, lane: u32) {
    workgroupBarrier();
    right[lane] = x;
    workgroupBarrier();
}

// Of a row of a sum: what the invocations with the same channels got, added up. The first of them writes the result.
fn sum_of_parts(x: vec4<f32>, lane: u32) -> vec4<f32> {
    if channel_lanes() == 16u {
        return x;
    }
    share(x, lane);
    var sum = vec4(0.0);
    for (var i = lane % channel_lanes(); i < 16u; i += channel_lanes()) {
        sum += right[lane / 16u * 16u + i];
    }
    return sum;
}

fn sums_of_parts(x: mat4x4<f32>, lane: u32) -> mat4x4<f32> {
    return mat4x4(
        sum_of_parts(x[0], lane),
        sum_of_parts(x[1], lane),
        sum_of_parts(x[2], lane),
        sum_of_parts(x[3], lane),
    );
}

// Whether this invocation writes its block of a sum.
fn writes_sum(lane: u32) -> bool {
    return lane % 16u < channel_lanes();
}

fn scale_rows(x: mat4x4<f32>, factor: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(x[0] * factor.x, x[1] * factor.y, x[2] * factor.z, x[3] * factor.w);
}

// The elementwise product.
fn times(a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]);
}

fn drops() -> bool {
    return now.train != 0u && params.threshold != 0u;
}

fn factors(stream: Stream, index: u32, stride: u32) -> vec4<f32> {
    return dropout_factors(stream, index, stride, params.threshold, params.scale);
}

// Dropout's factors of a block of weights. The counter of P[b, h, i, j] is its index modulo 2^32, from `first` on; `across` and `down` are the distances of
// columns and of rows: 1 and T, or T and 1 where rows are keys.
fn mask(place: Place, query: u32, key: u32, across: u32, down: u32) -> mat4x4<f32> {
    let stream = random_stream(params.site);
    let index = params.first + (place.head * params.context + query) * params.context + key;
    return mat4x4(
        factors(stream, index, across),
        factors(stream, index + down, across),
        factors(stream, index + 2u * down, across),
        factors(stream, index + 3u * down, across),
    );
}

