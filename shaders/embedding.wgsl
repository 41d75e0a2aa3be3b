// Token and position embedding, and the gradients of both tables.
//
// forward   x[m] = dropout(s · wte[tokens[m]] + wpe[m mod T])      tokens [M], wte [V, C], wpe [T or more, C], x [M, C]
// backward  dwte[v] += s · Σ dx[m] over the m with tokens[m] = v   dx [M, C] as seen through the dropout, whose mask is drawn again
//           dwpe[t] += Σ dx[m] over the m with m mod T = t         (not run where positions are fixed)
//
// Rows of dwte are sums over whichever rows have the token. There are no float atomics, which would add in another order each time.
// Instead the rows are sorted by token; then every token's rows are a run, and runs are summed chunk by chunk:
//
//   sort         where a row goes is the number of rows that belong before it. M² comparisons are cheap beside a training step's
//                6 · M · parameters operations, and cost the same whatever V is.
//   sum_chunks   a chunk of CHUNK sorted rows adds the runs that begin in it to dwte, each of which begins in one chunk only; what
//                belongs to a run of earlier chunks goes to `carried`.
//   add_carried  the chunk in which a long run begins adds what the following chunks carried.
//
// So dx is read once for dwte (and once for dwpe), common tokens are summed in parallel, and the order of every sum is fixed.

struct Params {
    rows: u32,
    channels: u32,
    context: u32,
    site: u32,
    first: u32,
    threshold: u32,
    scale: f32,
    // s
    token_scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;
@group(0) @binding(3) var<storage, read> wte: array<Wte>;
@group(0) @binding(4) var<storage, read> wpe: array<Wpe>;
@group(0) @binding(5) var<storage, read_write> x: array<X>;
@group(0) @binding(6) var<storage, read> dx: array<Dx>;
// Token and row of each place in the sorted order, [M].
@group(0) @binding(7) var<storage, read_write> sorted: array<vec2<u32>>;
// Of each chunk, the sum that belongs to a run of earlier chunks, [⌈M / CHUNK⌉, C].
@group(0) @binding(8) var<storage, read_write> carried: array<f32>;
@group(0) @binding(9) var<storage, read_write> dwte: array<f32>;
@group(0) @binding(10) var<storage, read_write> dwpe: array<f32>;

override HAS_POSITIONS: bool = true;

const WORKGROUP = 256u;
// A warp of 32 rows compares with the same token at a time, a broadcast; eight warps share the tokens.
const SORT_ROWS = 32u;
// Of 64 invocations each has a channel: few idle when C is small, and neighbours read neighbours.
const LANES = 64u;
// Long enough that few runs are carried, short enough that a few thousand rows fill a GPU.
const CHUNK = 32u;

fn is_dropping() -> bool {
    return now.train != 0u && params.threshold != 0u;
}

// Grid: one invocation per element of x.
@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * WORKGROUP + lane;
    let m = i / params.channels;
    if m >= params.rows {
        return;
    }
    let c = i % params.channels;
    var sum = params.token_scale * f32(wte[tokens[m] * params.channels + c]);
    if HAS_POSITIONS {
        // Only a program of one token per replay is placed by the step.
        let position = select(m % params.context, now.position, params.context == 1u);
        sum += f32(wpe[position * params.channels + c]);
    }
    if is_dropping() {
        sum *= dropout_factor(random_stream(params.site), params.first + i, params.threshold, params.scale);
    }
    x[i] = X(sum);
}

// The gradient of an element before the dropout.
fn gradient(stream: Stream, m: u32, c: u32) -> f32 {
    let i = m * params.channels + c;
    var factor = 1.0;
    if is_dropping() {
        factor = dropout_factor(stream, params.first + i, params.threshold, params.scale);
    }
    return f32(dx[i]) * factor;
}

var<workgroup> counts: array<u32, WORKGROUP>;

// Grid: one workgroup per SORT_ROWS rows.
@compute @workgroup_size(WORKGROUP)
fn sort(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let m = linear_workgroup(workgroup, count) * SORT_ROWS + lane % SORT_ROWS;
    let slices = WORKGROUP / SORT_ROWS;
    let token = tokens[min(m, params.rows - 1u)];
    var before = 0u;
    var other = lane / SORT_ROWS;
    for (; other < min(m, params.rows); other += slices) {
        // Equal tokens keep their order.
        before += u32(tokens[other] <= token);
    }
    for (; other < params.rows; other += slices) {
        before += u32(tokens[other] < token);
    }
    counts[lane] = before;
    workgroupBarrier();
    if lane < SORT_ROWS && m < params.rows {
        for (var slice = 1u; slice < slices; slice++) {
            before += counts[slice * SORT_ROWS + lane];
        }
        sorted[before] = vec2(token, m);
    }
}

// What an invocation of the next two kernels works on.
struct Place {
    chunk: u32,
    first: u32,
    c: u32,
    exists: bool,
}

fn place(group: u32, lane: u32) -> Place {
    let blocks = (params.channels + LANES - 1u) / LANES;
    let chunk = group / blocks;
    let c = group % blocks * LANES + lane;
    return Place(chunk, chunk * CHUNK, c, c < params.channels && chunk * CHUNK < params.rows);
}

// Whether the run of this token began before the sorted row `first`.
fn began_before(first: u32, token: u32) -> bool {
    return first > 0u && sorted[max(first, 1u) - 1u].x == token;
}

// Grid: one workgroup per chunk and LANES channels.
@compute @workgroup_size(LANES)
fn sum_chunks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let here = place(linear_workgroup(workgroup, count), lane);
    if !here.exists {
        return;
    }
    let stream = random_stream(params.site);
    let end = min(here.first + CHUNK, params.rows);
    var token = sorted[here.first].x;
    var is_carried = began_before(here.first, token);
    var sum = 0.0;
    for (var i = here.first; i < end; i++) {
        let row = sorted[i];
        if row.x != token {
            add_run(here, token, is_carried, sum);
            token = row.x;
            is_carried = false;
            sum = 0.0;
        }
        sum += gradient(stream, row.y, here.c);
    }
    add_run(here, token, is_carried, sum);
}

fn add_run(here: Place, token: u32, is_carried: bool, sum: f32) {
    if is_carried {
        carried[here.chunk * params.channels + here.c] = sum;
    } else {
        dwte[token * params.channels + here.c] += params.token_scale * sum;
    }
}

// Grid: as above.
@compute @workgroup_size(LANES)
fn add_carried(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let here = place(linear_workgroup(workgroup, count), lane);
    var next = here.first + CHUNK;
    if !here.exists || next >= params.rows {
        return;
    }
    // The last run of this chunk, if it goes on and did not begin earlier.
    let token = sorted[next - 1u].x;
    if sorted[next].x != token || began_before(here.first, token) {
        return;
    }
    var sum = 0.0;
    for (; next < params.rows && sorted[min(next, params.rows - 1u)].x == token; next += CHUNK) {
        sum += carried[next / CHUNK * params.channels + here.c];
    }
    dwte[token * params.channels + here.c] += params.token_scale * sum;
}

// Grid: one invocation per element of dwpe; each sums over the batch.
@compute @workgroup_size(LANES)
fn positions(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * LANES + lane;
    let t = i / params.channels;
    if t >= params.context {
        return;
    }
    let stream = random_stream(params.site);
    var sum = 0.0;
    for (var m = t; m < params.rows; m += params.context) {
        sum += gradient(stream, m, i % params.channels);
    }
    dwpe[i] += sum;
}
