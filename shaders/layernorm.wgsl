// Layer normalisation over the channels of each row.
//
// forward   y = n · weight + bias,  n = (x - mean) · rstd,  rstd = 1/√(var + ε),  var with divisor C;  stats[m] = (mean, rstd)
// backward  dx = [dx +] rstd · (g - mean(g) - n · mean(g n)),  g = dy · weight
//           dweight += Σ dy n,  dbias += Σ dy
//
// x, y, dy, dx [M, C]   weight, bias, dweight, dbias [C]   stats [M, 2]   partials [⌈M / BLOCK⌉, 2, C]
//
// A row is read again for each pass over it instead of being held in registers: it is in the cache by then, and C may be anything.
// E[x²] - E[x]² would do with one pass, but cancels.

struct Params {
    rows: u32,
    channels: u32,
    epsilon: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<X>;
@group(0) @binding(3) var<storage, read> weight: array<Weight>;
@group(0) @binding(4) var<storage, read> bias: array<Bias>;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read> dy: array<Dy>;
@group(0) @binding(8) var<storage, read_write> dx: array<Dx>;
@group(0) @binding(9) var<storage, read_write> partials: array<f32>;
@group(0) @binding(10) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(11) var<storage, read_write> dbias: array<f32>;

// Invocations that share a row, a power of two: layernorm.rs chooses.
override ROW_LANES: u32 = 16u;
// Whether dx adds to what is there.
override ACCUMULATE: bool = true;

const WORKGROUP = 256u;
// Rows of which a workgroup of the backward pass sums dweight and dbias: ROWS_PER_PARTIAL of layernorm.rs.
const BLOCK = 64u;
// Neighbouring channels that are summed over rows side by side.
const COLUMNS = 64u;
// In `reduce` there are few sums, each over many partials: narrow, so that more invocations share each.
const REDUCE_COLUMNS = 16u;

var<workgroup> sums: array<vec2<f32>, WORKGROUP>;

// Two sums over the lanes of a row, known to all of them.
fn row_sum(lane: u32, value: vec2<f32>) -> vec2<f32> {
    // The sums before may still be read.
    workgroupBarrier();
    sums[lane] = value;
    for (var distance = ROW_LANES / 2u; distance > 0u; distance /= 2u) {
        workgroupBarrier();
        if lane % ROW_LANES < distance {
            sums[lane] += sums[lane + distance];
        }
    }
    workgroupBarrier();
    return sums[lane - lane % ROW_LANES];
}

// Grid: one workgroup per WORKGROUP / ROW_LANES rows.
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_workgroup(workgroup, count) * (WORKGROUP / ROW_LANES) + lane / ROW_LANES;
    let inverse = 1.0 / f32(params.channels);
    // Rows past the end take part in the sums with nothing.
    let start = row * params.channels;
    let end = select(0u, start + params.channels, row < params.rows);
    let first = start + lane % ROW_LANES;

    var sum = 0.0;
    for (var i = first; i < end; i += ROW_LANES) {
        sum += f32(x[i]);
    }
    let mean = row_sum(lane, vec2(sum, 0.0)).x * inverse;
    var squares = 0.0;
    for (var i = first; i < end; i += ROW_LANES) {
        let deviation = f32(x[i]) - mean;
        squares += deviation * deviation;
    }
    let rstd = inverseSqrt(row_sum(lane, vec2(squares, 0.0)).x * inverse + params.epsilon);
    for (var i = first; i < end; i += ROW_LANES) {
        let c = i - start;
        y[i] = Y(storable((f32(x[i]) - mean) * rstd * f32(weight[c]) + f32(bias[c]), LARGEST_Y));
    }
    if row < params.rows && lane % ROW_LANES == 0u {
        stats[row] = vec2(mean, rstd);
    }
}

// Of each row of the block: mean, rstd, mean(g), mean(g n).
var<workgroup> block: array<vec4<f32>, BLOCK>;

// Grid: one workgroup per BLOCK rows. First it sums along the rows, then, the block being in the cache, along the columns.
@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = linear_workgroup(workgroup, count);
    let first_row = min(number * BLOCK, params.rows);
    let rows = min(BLOCK, params.rows - first_row);
    let inverse = 1.0 / f32(params.channels);

    for (var base = 0u; base < BLOCK; base += WORKGROUP / ROW_LANES) {
        let r = base + lane / ROW_LANES;
        let row = first_row + r;
        var row_stats = vec2(0.0);
        var sum = vec2(0.0);
        if r < rows {
            row_stats = stats[row];
            for (var c = lane % ROW_LANES; c < params.channels; c += ROW_LANES) {
                let i = row * params.channels + c;
                let g = f32(dy[i]) * f32(weight[c]);
                let n = (f32(x[i]) - row_stats.x) * row_stats.y;
                sum += vec2(g, g * n);
            }
        }
        let means = row_sum(lane, sum) * inverse;
        if lane % ROW_LANES == 0u {
            block[r] = vec4(row_stats, means);
        }
    }

    for (var base = 0u; base < params.channels; base += COLUMNS) {
        let c = base + lane % COLUMNS;
        var column = vec2(0.0);
        // Also: `block` is written, and `sums` no longer read.
        workgroupBarrier();
        if c < params.channels {
            let w = f32(weight[c]);
            for (var r = lane / COLUMNS; r < rows; r += WORKGROUP / COLUMNS) {
                let i = (first_row + r) * params.channels + c;
                let row = block[r];
                let dy_i = f32(dy[i]);
                let n = (f32(x[i]) - row.x) * row.y;
                var dx_i = row.y * (dy_i * w - row.z - n * row.w);
                if ACCUMULATE {
                    dx_i += f32(dx[i]);
                }
                dx[i] = Dx(dx_i);
                column += vec2(dy_i * n, dy_i);
            }
        }
        sums[lane] = column;
        workgroupBarrier();
        if lane < COLUMNS && c < params.channels && rows > 0u {
            for (var other = lane + COLUMNS; other < WORKGROUP; other += COLUMNS) {
                column += sums[other];
            }
            let partial = 2u * number * params.channels + c;
            partials[partial] = column.x;
            partials[partial + params.channels] = column.y;
        }
    }
}

// Grid: one workgroup per REDUCE_COLUMNS of the 2 C sums.
@compute @workgroup_size(WORKGROUP)
fn reduce(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = workgroup.x * REDUCE_COLUMNS + lane % REDUCE_COLUMNS;
    let columns = 2u * params.channels;
    let blocks = (params.rows + BLOCK - 1u) / BLOCK;
    var sum = 0.0;
    if column < columns {
        for (var i = lane / REDUCE_COLUMNS; i < blocks; i += WORKGROUP / REDUCE_COLUMNS) {
            sum += partials[i * columns + column];
        }
    }
    sums[lane] = vec2(sum, 0.0);
    workgroupBarrier();
    if lane >= REDUCE_COLUMNS || column >= columns {
        return;
    }
    for (var other = lane + REDUCE_COLUMNS; other < WORKGROUP; other += REDUCE_COLUMNS) {
        sum += sums[other].x;
    }
    if column < params.channels {
        dweight[column] += sum;
    } else {
        dbias[column - params.channels] += sum;
    }
}
