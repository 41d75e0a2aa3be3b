// Softmax cross-entropy of given logits.
//
// forward   lse[m] = log Σ_v exp(logits[m, v]),  losses[m] = lse[m] - logits[m, targets[m]]
// mean      loss = Σ losses / M
// backward  dlogits = (exp(logits - lse) - onehot(targets)) · scale,  scale = loss_scale / M [· grad_scale[0]]
//
// logits, dlogits [rows, V]   targets, losses, lse [rows]   loss [1]
// V is anything from 1 to a whole tokenizer's vocabulary: ROW_LANES invocations share a row.

struct Params {
    // Of this dispatch.
    rows: u32,
    vocab: u32,
    // M, of the whole batch: the logits of a large vocabulary come in several dispatches.
    batch: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<Logits>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> dlogits: array<Dlogits>;
@group(0) @binding(7) var<storage, read> grad_scale: array<f32>;
@group(0) @binding(8) var<storage, read> all_losses: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read_write> loss: array<f32>;

// A power of two: cross_entropy.rs chooses.
override ROW_LANES: u32 = 256u;
override HAS_GRAD_SCALE: bool = false;

const WORKGROUP = 256u;
// Losses are summed in strips of so many, then the strips: no rounding error meets more than a few others.
const MEAN_STRIP = 16u;

// A logit of a row that ends at `end`; past it, one that adds nothing.
fn logit_before(end: u32, i: u32) -> f32 {
    if i < end {
        return f32(logits[i]);
    }
    return LOWEST;
}

// Greatest logit so far, and the sum of exp(logit - greatest).
fn merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let greatest = max(a.x, b.x);
    return vec2(greatest, a.y * exp(a.x - greatest) + b.y * exp(b.x - greatest));
}

var<workgroup> softmax: array<vec2<f32>, WORKGROUP>;

// Grid: one workgroup per WORKGROUP / ROW_LANES rows.
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_workgroup(workgroup, count) * (WORKGROUP / ROW_LANES) + lane / ROW_LANES;
    let start = row * params.vocab;
    let end = select(0u, start + params.vocab, row < params.rows);
    var sum = vec2(LOWEST, 0.0);
    // Four at a time: what was summed before is rescaled once for all of them.
    for (var i = start + lane % ROW_LANES; i < end; i += 4u * ROW_LANES) {
        let four = vec4(
            f32(logits[i]),
            logit_before(end, i + ROW_LANES),
            logit_before(end, i + 2u * ROW_LANES),
            logit_before(end, i + 3u * ROW_LANES),
        );
        let greatest = max(max(four.x, four.y), max(four.z, four.w));
        sum = merge(sum, vec2(greatest, dot(exp(four - greatest), vec4(1.0))));
    }
    softmax[lane] = sum;
    for (var distance = ROW_LANES / 2u; distance > 0u; distance /= 2u) {
        workgroupBarrier();
        if lane % ROW_LANES < distance {
            softmax[lane] = merge(softmax[lane], softmax[lane + distance]);
        }
    }
    if row < params.rows && lane % ROW_LANES == 0u {
        let log_sum_exp = softmax[lane].x + log(softmax[lane].y);
        lse[row] = log_sum_exp;
        losses[row] = log_sum_exp - f32(logits[start + targets[row]]);
    }
}

// Grid: as above.
@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_workgroup(workgroup, count) * (WORKGROUP / ROW_LANES) + lane / ROW_LANES;
    if row >= params.rows {
        return;
    }
    var scale = now.loss_scale / f32(params.batch);
    if HAS_GRAD_SCALE {
        scale *= grad_scale[0];
    }
    // Read here: a compiler does not know that what the loop writes is not these.
    let shift = lse[row];
    let right = targets[row];
    for (var v = lane % ROW_LANES; v < params.vocab; v += ROW_LANES) {
        let i = row * params.vocab + v;
        let probability = exp(f32(logits[i]) - shift);
        dlogits[i] = Dlogits(storable((probability - f32(v == right)) * scale, LARGEST_DLOGITS));
    }
}

var<workgroup> means: array<f32, WORKGROUP>;

// Grid: one workgroup. Here `rows` is M. Not a compensated sum: a compiler may reassociate that away.
@compute @workgroup_size(WORKGROUP)
fn mean(@builtin(local_invocation_index) lane: u32) {
    let whole = params.rows / 4u;
    var total = vec4(0.0);
    for (var first = lane; first < whole; first += MEAN_STRIP * WORKGROUP) {
        var strip = vec4(0.0);
        for (var i = first; i < min(whole, first + MEAN_STRIP * WORKGROUP); i += WORKGROUP) {
            strip += all_losses[i];
        }
        total += strip;
    }
    if lane < params.rows % 4u {
        total[0] += all_losses[whole][lane];
    }
    means[lane] = (total.x + total.y) + (total.z + total.w);
    for (var distance = WORKGROUP / 2u; distance > 0u; distance /= 2u) {
        workgroupBarrier();
        if lane < distance {
            means[lane] += means[lane + distance];
        }
    }
    if lane == 0u {
        loss[0] = means[0] / f32(params.rows);
    }
}
