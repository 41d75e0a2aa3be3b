// The norms: layer norm and RMS norm of a row, RMS norm of each head's queries and keys (layernorm.rs, rmsnorm.rs, qk_norm.rs).
//
// forward   y = n · weight + bias,  n = (x - mean) · rstd,  rstd = 1/√(mean((x - mean)²) + ε);  stats = mean, rstd
// backward  dx = [dx +] rstd · (g - mean(g) - n · mean(g n)),  g = dy · weight
//           dweight += Σ dy n,  dbias += Σ dy
//
// An RMS norm is this with 0 for mean and mean(g), and without a bias; its stats are rstd alone.
//
// A row is GROUPS groups of C channels: QUERIES, KEYS, VALUES. Those of queries and of keys are normalised each on its own and have a gain each,
// `weight` and `k_weight`; values pass unchanged. A plain norm has one group, the row, of "queries".
//
// x, y, dy, dx [M, GROUPS, C]   weight, k_weight, bias and their gradients [C]   stats [M, NORMED] of rstd, or of mean and rstd
// partials [⌈M / BLOCK⌉, sums_per_block, C], a sum for each group that has a gain, then that of the bias, if there is one
//
// A group is read again for each pass over it instead of being held in registers: it is in the cache by then, and C may be anything.
// E[x²] - E[x]² would do with one pass, but cancels.

struct Params {
    rows: u32,
    channels: u32,
    epsilon: f32,
    sums_per_block: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<X>;
@group(0) @binding(3) var<storage, read> weight: array<Weight>;
@group(0) @binding(4) var<storage, read> k_weight: array<KWeight>;
@group(0) @binding(5) var<storage, read> bias: array<Bias>;
@group(0) @binding(6) var<storage, read_write> y: array<Y>;
@group(0) @binding(7) var<storage, read_write> stats: array<f32>;
@group(0) @binding(8) var<storage, read> dy: array<Dy>;
@group(0) @binding(9) var<storage, read_write> dx: array<Dx>;
@group(0) @binding(10) var<storage, read_write> partials: array<f32>;
@group(0) @binding(11) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(12) var<storage, read_write> dk_weight: array<f32>;
@group(0) @binding(13) var<storage, read_write> dbias: array<f32>;

override QUERIES: u32 = 1u;
override KEYS: u32 = 0u;
override VALUES: u32 = 0u;
override NORMED: u32 = QUERIES + KEYS;
override GROUPS: u32 = NORMED + VALUES;
// Whether the mean is subtracted: layer norm.
override CENTERED: bool = true;
override HAS_BIAS: bool = true;
// Which gradients are wanted besides dx.
override HAS_DWEIGHT: bool = true;
override HAS_DK_WEIGHT: bool = false;
override HAS_DBIAS: bool = true;
// Invocations that share a group's sums, a power of two: norm.rs chooses.
override GROUP_LANES: u32 = 16u;
// Whether dx adds to what is there.
override ACCUMULATE: bool = true;

const WORKGROUP = 256u;
// Rows of which a workgroup of the backward pass sums dweight and dbias: ROWS_PER_PARTIAL of norm.rs.
const BLOCK = 64u;
// Neighbouring channels that are summed over rows side by side.
const COLUMNS = 64u;
// In `reduce` there are few sums, each over many partials: narrow, so that more invocations share each.
const REDUCE_COLUMNS = 16u;

var<workgroup> sums: array<vec2<f32>, WORKGROUP>;

// Two sums over the lanes of a group, known to all of them.
fn group_sum(lane: u32, value: vec2<f32>) -> vec2<f32> {
    // The sums before may still be read.
    workgroupBarrier();
    sums[lane] = value;
    for (var distance = GROUP_LANES / 2u; distance > 0u; distance /= 2u) {
        workgroupBarrier();
        if lane % GROUP_LANES < distance {
            sums[lane] += sums[lane + distance];
        }
    }
    workgroupBarrier();
    return sums[lane - lane % GROUP_LANES];
}

fn gain(group: u32, c: u32) -> f32 {
    if group < QUERIES {
        return f32(weight[c]);
    }
    return f32(k_weight[c]);
}

// Grid: one workgroup per WORKGROUP / GROUP_LANES groups.
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = linear_workgroup(workgroup, count) * (WORKGROUP / GROUP_LANES) + lane / GROUP_LANES;
    let row = number / GROUPS;
    let group = number % GROUPS;
    let inverse = 1.0 / f32(params.channels);
    // Groups past the end take part in the sums with nothing.
    let start = number * params.channels;
    let end = select(0u, start + params.channels, row < params.rows);
    let first = start + lane % GROUP_LANES;

    var mean = 0.0;
    if CENTERED {
        var sum = 0.0;
        for (var i = first; i < end; i += GROUP_LANES) {
            sum += f32(x[i]);
        }
        mean = group_sum(lane, vec2(sum, 0.0)).x * inverse;
    }
    var squares = 0.0;
    for (var i = first; i < end; i += GROUP_LANES) {
        let deviation = f32(x[i]) - mean;
        squares += deviation * deviation;
    }
    let rstd = inverseSqrt(group_sum(lane, vec2(squares, 0.0)).x * inverse + params.epsilon);
    for (var i = first; i < end; i += GROUP_LANES) {
        var y_i = f32(x[i]);
        if group < NORMED {
            let c = i - start;
            y_i = (y_i - mean) * rstd * gain(group, c);
            if HAS_BIAS {
                y_i += f32(bias[c]);
            }
        }
        y[i] = Y(storable(y_i, LARGEST_Y));
    }
    if row < params.rows && group < NORMED && lane % GROUP_LANES == 0u {
        let i = row * NORMED + group;
        if CENTERED {
            stats[2u * i] = mean;
            stats[2u * i + 1u] = rstd;
        } else {
            stats[i] = rstd;
        }
    }
}

// Mean and rstd.
fn stats_of(row: u32, group: u32) -> vec2<f32> {
    let i = row * NORMED + group;
    if CENTERED {
        return vec2(stats[2u * i], stats[2u * i + 1u]);
    }
    return vec2(0.0, stats[i]);
}

fn give_dx(i: u32, value: f32) {
    var dx_i = value;
    if ACCUMULATE {
        dx_i += f32(dx[i]);
    }
    dx[i] = Dx(storable(dx_i, LARGEST_DX));
}

// Of each row of the block: mean, rstd, mean(g), mean(g n).
var<workgroup> block: array<vec4<f32>, BLOCK>;

// Grid: for each BLOCK rows a workgroup per group. First it sums along the rows, then, the block being in the cache, along the columns.
@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = linear_workgroup(workgroup, count) / GROUPS;
    let group = linear_workgroup(workgroup, count) % GROUPS;
    let first_row = min(number * BLOCK, params.rows);
    let rows = min(BLOCK, params.rows - first_row);
    // From a row's group to the next row's, and where the first one's is.
    let stride = GROUPS * params.channels;
    let start = first_row * stride + group * params.channels;
    let inverse = 1.0 / f32(params.channels);

    if group >= NORMED {
        for (var k = lane; k < rows * params.channels; k += WORKGROUP) {
            let i = start + k / params.channels * stride + k % params.channels;
            give_dx(i, f32(dy[i]));
        }
        return;
    }

    for (var base = 0u; base < BLOCK; base += WORKGROUP / GROUP_LANES) {
        let r = base + lane / GROUP_LANES;
        var row = vec2(0.0);
        var sum = vec2(0.0);
        if r < rows {
            row = stats_of(first_row + r, group);
            for (var c = lane % GROUP_LANES; c < params.channels; c += GROUP_LANES) {
                let i = start + r * stride + c;
                let g = f32(dy[i]) * gain(group, c);
                let n = (f32(x[i]) - row.x) * row.y;
                sum += vec2(g, g * n);
            }
        }
        let means = group_sum(lane, sum) * inverse;
        if lane % GROUP_LANES == 0u {
            block[r] = vec4(row, select(0.0, means.x, CENTERED), means.y);
        }
    }

    let wants_gain = select(HAS_DK_WEIGHT, HAS_DWEIGHT, group < QUERIES);
    for (var base = 0u; base < params.channels; base += COLUMNS) {
        let c = base + lane % COLUMNS;
        var column = vec2(0.0);
        // Also: `block` is written, and `sums` no longer read.
        workgroupBarrier();
        if c < params.channels {
            let w = gain(group, c);
            for (var r = lane / COLUMNS; r < rows; r += WORKGROUP / COLUMNS) {
                let i = start + r * stride + c;
                let row = block[r];
                let dy_i = f32(dy[i]);
                let n = (f32(x[i]) - row.x) * row.y;
                give_dx(i, row.y * (dy_i * w - row.z - n * row.w));
                column += vec2(dy_i * n, dy_i);
            }
        }
        if !(wants_gain || HAS_DBIAS) {
            continue;
        }
        sums[lane] = column;
        workgroupBarrier();
        if lane < COLUMNS && c < params.channels && rows > 0u {
            for (var other = lane + COLUMNS; other < WORKGROUP; other += COLUMNS) {
                column += sums[other];
            }
            let partial = (number * params.sums_per_block + group) * params.channels + c;
            if wants_gain {
                partials[partial] = column.x;
            }
            if HAS_DBIAS {
                partials[partial + params.channels] = column.y;
            }
        }
    }
}

// Grid: in x a workgroup per REDUCE_COLUMNS channels; in y the gradient of `weight`, then that of `k_weight` or of the bias.
@compute @workgroup_size(WORKGROUP)
fn reduce(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let is_weight = workgroup.y == 0u;
    if !select(HAS_DK_WEIGHT || HAS_DBIAS, HAS_DWEIGHT, is_weight) {
        return;
    }
    let c = workgroup.x * REDUCE_COLUMNS + lane % REDUCE_COLUMNS;
    let blocks = (params.rows + BLOCK - 1u) / BLOCK;
    // Of a block's sums.
    let first = select(QUERIES, 0u, is_weight);
    let count = select(params.sums_per_block - QUERIES, QUERIES, is_weight);
    var sum = 0.0;
    if c < params.channels {
        for (var i = lane / REDUCE_COLUMNS; i < blocks * count; i += WORKGROUP / REDUCE_COLUMNS) {
            sum += partials[(i / count * params.sums_per_block + first + i % count) * params.channels + c];
        }
    }
    sums[lane] = vec2(sum, 0.0);
    workgroupBarrier();
    if lane >= REDUCE_COLUMNS || c >= params.channels {
        return;
    }
    for (var other = lane + REDUCE_COLUMNS; other < WORKGROUP; other += REDUCE_COLUMNS) {
        sum += sums[other].x;
    }
    if is_weight {
        dweight[c] += sum;
    } else if HAS_DK_WEIGHT {
        dk_weight[c] += sum;
    } else {
        dbias[c] += sum;
    }
}
