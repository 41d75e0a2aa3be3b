// The end of a model with a small vocabulary in one kernel: logits, cross-entropy and its gradient.
//
// logits = x weightᵀ + bias                                         x [M, C], weight [V, C], bias [V], logits [M, V], V up to COLUMNS
// losses[m] = log Σ_v exp(logits[m, v]) - logits[m, targets[m]]     targets, losses [M]
// dlogits = (softmax(logits) - onehot(targets)) · scale             dlogits [M, V],  scale = loss_scale / M [· grad_scale[0]]
//
// grid   one workgroup per ROWS rows
//
// A workgroup has all logits of its rows in registers, so the softmax needs no second kernel. It is a product of tiles: 16 × 16 invocations
// with 2 × 8 logits each, and DEPTH channels of x and weight in workgroup memory at a time.

struct Params {
    rows: u32,
    channels: u32,
    vocab: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<X>;
@group(0) @binding(3) var<storage, read> weight: array<Weight>;
@group(0) @binding(4) var<storage, read> bias: array<Bias>;
@group(0) @binding(5) var<storage, read> targets: array<u32>;
@group(0) @binding(6) var<storage, read_write> logits: array<Logits>;
@group(0) @binding(7) var<storage, read_write> losses: array<f32>;
@group(0) @binding(8) var<storage, read_write> dlogits: array<Dlogits>;
@group(0) @binding(9) var<storage, read> grad_scale: array<f32>;

override HAS_BIAS: bool = true;
override HAS_DLOGITS: bool = true;
override HAS_GRAD_SCALE: bool = false;

const WORKGROUP = 256u;
// Few, so that small batches have enough workgroups.
const ROWS = 32u;
const COLUMNS = 128u;
// 64 bytes of a row at a time.
const DEPTH = 16u;
// Invocations side by side: invocation (i, j) has the rows i and i + 16, and the columns j, j + 16, …, j + 112.
const SIDE = 16u;
// Rows of tiles are an odd number of words apart: what is written together lies in different banks.
const X_STRIDE = ROWS + 1u;
const W_STRIDE = COLUMNS + 1u;
const S_STRIDE = SIDE + 1u;

// 2,112 + 8,256 + 2,176 of the 16,384 bytes that every adapter has.
var<workgroup> x_tile: array<f32, DEPTH * X_STRIDE>;
var<workgroup> w_tile: array<f32, DEPTH * W_STRIDE>;
var<workgroup> shares: array<f32, ROWS * S_STRIDE>;

// Eight of a row's values: columns j + 16 k, k = 0…3 and 4…7.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Copies DEPTH channels of the rows of x, and of the whole weight, transposed; zeros past the edges.
fn load_tiles(lane: u32, first: u32, depth: u32) {
    let k = lane % DEPTH;
    let channel = depth + k;
    for (var r = lane / DEPTH; r < ROWS; r += WORKGROUP / DEPTH) {
        var value = 0.0;
        if first + r < params.rows && channel < params.channels {
            value = f32(x[(first + r) * params.channels + channel]);
        }
        x_tile[k * X_STRIDE + r] = value;
    }
    for (var v = lane / DEPTH; v < COLUMNS; v += WORKGROUP / DEPTH) {
        var value = 0.0;
        if v < params.vocab && channel < params.channels {
            value = f32(weight[v * params.channels + channel]);
        }
        w_tile[k * W_STRIDE + v] = value;
    }
}

fn bias_of(v: u32) -> f32 {
    // Where there is no such token, a logit that adds nothing to the softmax.
    if v >= params.vocab {
        return LOWEST;
    }
    if HAS_BIAS {
        return f32(bias[v]);
    }
    return 0.0;
}

fn greatest(row: Eight) -> f32 {
    let four = max(row.low, row.high);
    return max(max(four.x, four.y), max(four.z, four.w));
}

fn sum_of_exp(row: Eight, shift: f32) -> f32 {
    return dot(exp(row.low - shift) + exp(row.high - shift), vec4(1.0));
}

// Stores a logit, and what follows from it: the loss where the token is the target, and the gradient.
fn store(row: u32, v: u32, logit: f32, lse: f32, scale: f32) {
    if v >= params.vocab {
        return;
    }
    let is_target = v == targets[row];
    if is_target {
        losses[row] = lse - logit;
    }
    logits[row * params.vocab + v] = Logits(logit);
    if HAS_DLOGITS {
        let dlogit = (exp(logit - lse) - f32(is_target)) * scale;
        dlogits[row * params.vocab + v] = Dlogits(storable(dlogit, LARGEST_DLOGITS));
    }
}

fn store_row(row: u32, j: u32, values: Eight, lse: f32, scale: f32) {
    if row >= params.rows {
        return;
    }
    store(row, j, values.low.x, lse, scale);
    store(row, j + SIDE, values.low.y, lse, scale);
    store(row, j + 2u * SIDE, values.low.z, lse, scale);
    store(row, j + 3u * SIDE, values.low.w, lse, scale);
    store(row, j + 4u * SIDE, values.high.x, lse, scale);
    store(row, j + 5u * SIDE, values.high.y, lse, scale);
    store(row, j + 6u * SIDE, values.high.z, lse, scale);
    store(row, j + 7u * SIDE, values.high.w, lse, scale);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = linear_workgroup(workgroup, count) * ROWS;
    let i = lane / SIDE;
    let j = lane % SIDE;

    // a has row i, b row i + 16.
    var a = Eight(vec4(0.0), vec4(0.0));
    var b = a;
    for (var depth = 0u; depth < params.channels; depth += DEPTH) {
        load_tiles(lane, first, depth);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let xa = x_tile[k * X_STRIDE + i];
            let xb = x_tile[k * X_STRIDE + i + SIDE];
            let w = k * W_STRIDE + j;
            let low = vec4(w_tile[w], w_tile[w + SIDE], w_tile[w + 2u * SIDE], w_tile[w + 3u * SIDE]);
            let high =
                vec4(w_tile[w + 4u * SIDE], w_tile[w + 5u * SIDE], w_tile[w + 6u * SIDE], w_tile[w + 7u * SIDE]);
            a.low += xa * low;
            a.high += xa * high;
            b.low += xb * low;
            b.high += xb * high;
        }
        workgroupBarrier();
    }
    let bias_low = vec4(bias_of(j), bias_of(j + SIDE), bias_of(j + 2u * SIDE), bias_of(j + 3u * SIDE));
    let bias_high =
        vec4(bias_of(j + 4u * SIDE), bias_of(j + 5u * SIDE), bias_of(j + 6u * SIDE), bias_of(j + 7u * SIDE));
    a = Eight(a.low + bias_low, a.high + bias_high);
    b = Eight(b.low + bias_low, b.high + bias_high);

    // The log-sum-exp of both rows, from the shares of the 16 invocations that have them.
    let row_a = i * S_STRIDE;
    let row_b = (i + SIDE) * S_STRIDE;
    shares[row_a + j] = greatest(a);
    shares[row_b + j] = greatest(b);
    workgroupBarrier();
    var shift = vec2(LOWEST);
    for (var k = 0u; k < SIDE; k++) {
        shift = max(shift, vec2(shares[row_a + k], shares[row_b + k]));
    }
    workgroupBarrier();
    shares[row_a + j] = sum_of_exp(a, shift.x);
    shares[row_b + j] = sum_of_exp(b, shift.y);
    workgroupBarrier();
    var sum = vec2(0.0);
    for (var k = 0u; k < SIDE; k++) {
        sum += vec2(shares[row_a + k], shares[row_b + k]);
    }
    let lse = shift + log(sum);

    var scale = now.loss_scale / f32(params.rows);
    if HAS_GRAD_SCALE {
        scale *= grad_scale[0];
    }
    store_row(first + i, j, a, lse.x, scale);
    store_row(first + i + SIDE, j, b, lse.y, scale);
}
