// The matrix product in the three layouts of a linear layer, with what is fused onto it:
//
//   forward           Y = X Wᵀ + b           then f(Y), keeping f'(Y),  or  residual + dropout(Y)
//   backward_input    dX = dY W              then dX ∘ f'(pre)
//   backward_weight   dW += dYᵀ X,  db += Σ_rows dY
//   reduce            adds the partial sums of backward_weight where the depth was split
//
// Each is C = A B, C [rows, cols] summed over depth, A and B as they lie in memory or transposed:
//
//                     C             A              B
//   forward           Y  [M, N]     X  [M, K]      W [N, K]  transposed
//   backward_input    dX [M, K]     dY [M, N]      W [N, K]
//   backward_weight   dW [N, K]     dY [M, N]  transposed     X [M, K]
//
// A workgroup makes a tile of C, TILE_ROWS by TILE_COLS. It walks along the depth in steps of TILE_DEPTH: the slice of A and B that it
// needs is copied to workgroup memory, where each element is read by TILE_COLS / PER_THREAD (A) or TILE_ROWS / PER_THREAD (B) threads.
// A thread makes PER_THREAD by PER_THREAD elements: 8 by 8 cost 16 floats read for 64 multiply-adds, which is what keeps the
// multipliers of a GPU busy; 4 by 4 cost 8 for 16, but leave four times as many threads to hide latency in small products. Which
// tile is best depends on shape and adapter: gpu/tuning.rs measures.
//
// - Both slices lie as [depth][rows or cols] in vec4s ("quads"), so that the inner loop reads whole quads along rows and columns.
// - They are copied in patches of 4 by 4, one or two per thread. Where memory is contiguous along the depth, the patch is transposed in
//   registers: no scalar stores, and loads are 16 bytes a thread and 64 to 128 contiguous bytes a line.
// - A quad's place in its line is XORed with its depth quad (SWIZZLE): the eight threads that store at once hit 32 different banks.
//   Padding the stride would do half of that and cost memory; 64 x 64 x 32 and 128 x 128 x 16 just fill the 16,384 bytes that there are.
// - The next slice is loaded into registers before the present one is multiplied, and stored after it: memory works meanwhile.
// - The 8 by 8 elements are two quads of rows by two quads of columns, half a tile apart: neighbours read neighbouring quads.
// - The inner loop is unrolled over four steps of depth, all accumulators are named: no compiler has to be clever.
//
// grid   one workgroup per tile (and split), folded; tiles in groups of GROUP rows so that those at work together share A and B in cache

struct Params {
    rows: u32,
    cols: u32,
    depth: u32,
    // The depth is summed in so many parts, each of so much (a multiple of TILE_DEPTH).
    splits: u32,
    split_depth: u32,
    // Dropout.
    site: u32,
    first: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> a: array<A4>;
@group(0) @binding(3) var<storage, read> b: array<B4>;
// C by quads where cols is a multiple of 4, else by scalars; the other of the two is absent. A quad is never written by components: WGSL
// lets that touch its neighbours, which belong to other threads.
@group(0) @binding(4) var<storage, read_write> c: array<C4>;
@group(0) @binding(5) var<storage, read_write> c_scalars: array<C>;
// forward: [cols]; [rows, cols]; f'(Y) [rows, cols], in the two forms of C.
@group(0) @binding(6) var<storage, read> bias: array<Bias4>;
@group(0) @binding(7) var<storage, read> residual: array<Residual4>;
@group(0) @binding(8) var<storage, read_write> slope: array<Slope4>;
@group(0) @binding(9) var<storage, read_write> slope_scalars: array<Slope>;
// backward_input: f'(pre) [rows, cols].
@group(0) @binding(10) var<storage, read> factor: array<Factor4>;
// backward_weight: db [rows], or where the depth is split its parts, [splits, rows] (then C is [splits, rows, cols]).
@group(0) @binding(11) var<storage, read_write> dbias: array<Dbias>;
// reduce: those parts.
@group(0) @binding(12) var<storage, read> partial: array<f32>;
@group(0) @binding(13) var<storage, read> partial_dbias: array<f32>;

override TILE_ROWS: u32 = 64u;
override TILE_COLS: u32 = 64u;
override TILE_DEPTH: u32 = 16u;
override PER_THREAD: u32 = 8u;

override A_TRANSPOSED: bool = false;
override B_TRANSPOSED: bool = false;
// Lines in memory are whole quads.
override A_ALIGNED: bool = true;
override B_ALIGNED: bool = true;
override C_ALIGNED: bool = true;

override HAS_BIAS: bool = false;
// 0 or a kind of common.wgsl's activation().
override ACTIVATION: u32 = 0u;
override KEEPS_SLOPE: bool = false;
override HAS_RESIDUAL: bool = false;
override DROPS: bool = false;
override HAS_FACTOR: bool = false;
// backward_weight: db is wanted.
override SUMS_ROWS: bool = false;
override ACCUMULATES: bool = false;

override THREADS: u32 = TILE_ROWS * TILE_COLS / (PER_THREAD * PER_THREAD);
// Whether a thread has a second quad of rows and of columns.
override WIDE: bool = PER_THREAD == 8u;
// Quads of rows, columns and depth.
override A_QUADS: u32 = TILE_ROWS / 4u;
override B_QUADS: u32 = TILE_COLS / 4u;
override K_QUADS: u32 = TILE_DEPTH / 4u;
override A_PATCHES: u32 = A_QUADS * K_QUADS;
override PATCHES: u32 = (A_QUADS + B_QUADS) * K_QUADS;
// Whether some threads have a second patch.
override SECOND: bool = PATCHES > THREADS;
override B_START: u32 = A_QUADS * TILE_DEPTH;
// 32 banks are 8 quads: K_QUADS of them are told apart by their depth, the rest are neighbours anyway.
override SWIZZLE: u32 = 8u / K_QUADS;

// The slice of A, then that of B.
var<workgroup> tile: array<vec4<f32>, (TILE_ROWS + TILE_COLS) * TILE_DEPTH / 4u>;

// Rows of tiles that are worked on together: 8 tiles of A and a few of B stay in a cache of a megabyte.
const GROUP = 8u;

// Where a workgroup's tile starts.
struct Place {
    row: u32,
    col: u32,
    split: u32,
}

fn place(workgroup: vec3<u32>, count: vec3<u32>) -> Place {
    let index = linear_workgroup(workgroup, count);
    let row_tiles = (params.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let col_tiles = (params.cols + TILE_COLS - 1u) / TILE_COLS;
    let split = index / (row_tiles * col_tiles);
    let at = index % (row_tiles * col_tiles);
    let first = at / (GROUP * col_tiles) * GROUP;
    let height = min(GROUP, row_tiles - first);
    let within = at - first * col_tiles;
    return Place((first + within % height) * TILE_ROWS, within / height * TILE_COLS, split);
}

// Elements at, at + 1, at + 2, at + 3 of a line of A as it lies in memory; 0 outside.
fn a_quad(line: u32, at: u32) -> vec4<f32> {
    let lines = select(params.rows, params.depth, A_TRANSPOSED);
    let width = select(params.depth, params.rows, A_TRANSPOSED);
    if line >= lines || at >= width {
        return vec4<f32>(0.0);
    }
    let i = line * width + at;
    if A_ALIGNED {
        return vec4<f32>(a[i / 4u]);
    }
    var quad = vec4<f32>(f32(a[i / 4u][i % 4u]), 0.0, 0.0, 0.0);
    if at + 1u < width { quad.y = f32(a[(i + 1u) / 4u][(i + 1u) % 4u]); }
    if at + 2u < width { quad.z = f32(a[(i + 2u) / 4u][(i + 2u) % 4u]); }
    if at + 3u < width { quad.w = f32(a[(i + 3u) / 4u][(i + 3u) % 4u]); }
    return quad;
}

// The same of B.
fn b_quad(line: u32, at: u32) -> vec4<f32> {
    let lines = select(params.depth, params.cols, B_TRANSPOSED);
    let width = select(params.cols, params.depth, B_TRANSPOSED);
    if line >= lines || at >= width {
        return vec4<f32>(0.0);
    }
    let i = line * width + at;
    if B_ALIGNED {
        return vec4<f32>(b[i / 4u]);
    }
    var quad = vec4<f32>(f32(b[i / 4u][i % 4u]), 0.0, 0.0, 0.0);
    if at + 1u < width { quad.y = f32(b[(i + 1u) / 4u][(i + 1u) % 4u]); }
    if at + 2u < width { quad.z = f32(b[(i + 2u) / 4u][(i + 2u) % 4u]); }
    if at + 3u < width { quad.w = f32(b[(i + 3u) / 4u][(i + 3u) % 4u]); }
    return quad;
}

// Which patch of its slice: quad of rows or columns, quad of depth. Threads next to each other follow the lines of memory.
struct Patch {
    quad: u32,
    k_quad: u32,
}

fn a_patch(index: u32) -> Patch {
    if A_TRANSPOSED {
        return Patch(index % A_QUADS, index / A_QUADS);
    }
    return Patch(index / K_QUADS, index % K_QUADS);
}

fn b_patch(index: u32) -> Patch {
    if B_TRANSPOSED {
        return Patch(index / K_QUADS, index % K_QUADS);
    }
    return Patch(index % B_QUADS, index / B_QUADS);
}

// Four rows (columns) by four steps of depth of A (B): column j of the matrix is step j. Those of A come first.
fn load_patch(index: u32, row: u32, col: u32, depth: u32) -> mat4x4<f32> {
    if index < A_PATCHES {
        let p = a_patch(index);
        let r = row + 4u * p.quad;
        let k = depth + 4u * p.k_quad;
        if A_TRANSPOSED {
            return mat4x4<f32>(a_quad(k, r), a_quad(k + 1u, r), a_quad(k + 2u, r), a_quad(k + 3u, r));
        }
        return transpose(mat4x4<f32>(a_quad(r, k), a_quad(r + 1u, k), a_quad(r + 2u, k), a_quad(r + 3u, k)));
    }
    let p = b_patch(index - A_PATCHES);
    let n = col + 4u * p.quad;
    let k = depth + 4u * p.k_quad;
    if B_TRANSPOSED {
        return transpose(mat4x4<f32>(b_quad(n, k), b_quad(n + 1u, k), b_quad(n + 2u, k), b_quad(n + 3u, k)));
    }
    return mat4x4<f32>(b_quad(k, n), b_quad(k + 1u, n), b_quad(k + 2u, n), b_quad(k + 3u, n));
}

fn store_patch(index: u32, value: mat4x4<f32>) {
    var p = a_patch(index);
    var start = 0u;
    var width = A_QUADS;
    if index >= A_PATCHES {
        p = b_patch(index - A_PATCHES);
        start = B_START;
        width = B_QUADS;
    }
    let i = start + 4u * p.k_quad * width + (p.quad ^ (p.k_quad * SWIZZLE));
    tile[i] = value[0];
    tile[i + width] = value[1];
    tile[i + 2u * width] = value[2];
    tile[i + 3u * width] = value[3];
}

// A thread's elements of C: first and second quad of rows by first and second quad of columns; column j of a matrix is row j of C.
struct Sums {
    c00: mat4x4<f32>,
    c01: mat4x4<f32>,
    c10: mat4x4<f32>,
    c11: mat4x4<f32>,
    // Row sums of A: of the tile's quad number `lane` of rows.
    rows: vec4<f32>,
}

// c + a bᵀ
fn add_outer(c: mat4x4<f32>, a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(c[0] + a.x * b, c[1] + a.y * b, c[2] + a.z * b, c[3] + a.w * b);
}

// One step of depth: a and b are the places of its first quads in the tile.
fn add_step(sums: Sums, a: u32, b: u32) -> Sums {
    var next = sums;
    let a0 = tile[a];
    let b0 = tile[b];
    next.c00 = add_outer(sums.c00, a0, b0);
    if WIDE {
        let a1 = tile[a + A_QUADS / 2u];
        let b1 = tile[b + B_QUADS / 2u];
        next.c01 = add_outer(sums.c01, a0, b1);
        next.c10 = add_outer(sums.c10, a1, b0);
        next.c11 = add_outer(sums.c11, a1, b1);
    }
    return next;
}

// Number of a thread's first quad of columns (x) and rows (y).
fn thread_quads(lane: u32) -> vec2<u32> {
    let across = TILE_COLS / PER_THREAD;
    return vec2<u32>(lane % across, lane / across);
}

// The product of one tile.
fn multiply(at: Place, lane: u32) -> Sums {
    var sums: Sums;
    let quads = thread_quads(lane);
    let begin = at.split * params.split_depth;
    let other = lane + THREADS;
    var first = load_patch(lane, at.row, at.col, begin);
    var second = mat4x4<f32>();
    if SECOND && other < PATCHES {
        second = load_patch(other, at.row, at.col, begin);
    }
    for (var done = 0u; done < params.split_depth; done += TILE_DEPTH) {
        // Everybody has finished with the slice before.
        workgroupBarrier();
        store_patch(lane, first);
        if SECOND && other < PATCHES {
            store_patch(other, second);
        }
        workgroupBarrier();
        if SUMS_ROWS && lane < A_PATCHES {
            sums.rows += first[0] + first[1] + first[2] + first[3];
        }
        let next = done + TILE_DEPTH;
        if next < params.split_depth {
            first = load_patch(lane, at.row, at.col, begin + next);
            if SECOND && other < PATCHES {
                second = load_patch(other, at.row, at.col, begin + next);
            }
        }
        for (var q = 0u; q < K_QUADS; q++) {
            let a = 4u * q * A_QUADS + (quads.y ^ (q * SWIZZLE));
            let b = B_START + 4u * q * B_QUADS + (quads.x ^ (q * SWIZZLE));
            sums = add_step(sums, a, b);
            sums = add_step(sums, a + A_QUADS, b + B_QUADS);
            sums = add_step(sums, a + 2u * A_QUADS, b + 2u * B_QUADS);
            sums = add_step(sums, a + 3u * A_QUADS, b + 3u * B_QUADS);
        }
    }
    return sums;
}

// How many elements of the quad at this column are inside.
fn inside(col: u32) -> u32 {
    return min(4u, params.cols - col);
}

fn store_c(i: u32, col: u32, value: vec4<f32>) {
    if C_ALIGNED {
        if ACCUMULATES {
            c[i / 4u] = C4(storable4(vec4<f32>(c[i / 4u]) + value, LARGEST_C));
        } else {
            c[i / 4u] = C4(storable4(value, LARGEST_C));
        }
        return;
    }
    for (var j = 0u; j < inside(col); j++) {
        if ACCUMULATES {
            c_scalars[i + j] = C(storable(f32(c_scalars[i + j]) + value[j], LARGEST_C));
        } else {
            c_scalars[i + j] = C(storable(value[j], LARGEST_C));
        }
    }
}

fn store_slope(i: u32, col: u32, value: vec4<f32>) {
    if C_ALIGNED {
        slope[i / 4u] = Slope4(value);
        return;
    }
    for (var j = 0u; j < inside(col); j++) {
        slope_scalars[i + j] = Slope(value[j]);
    }
}

fn residual_quad(i: u32, col: u32) -> vec4<f32> {
    if C_ALIGNED {
        return vec4<f32>(residual[i / 4u]);
    }
    var quad = vec4<f32>(0.0);
    for (var j = 0u; j < inside(col); j++) {
        quad[j] = f32(residual[(i + j) / 4u][(i + j) % 4u]);
    }
    return quad;
}

fn factor_quad(i: u32, col: u32) -> vec4<f32> {
    if C_ALIGNED {
        return vec4<f32>(factor[i / 4u]);
    }
    var quad = vec4<f32>(0.0);
    for (var j = 0u; j < inside(col); j++) {
        quad[j] = f32(factor[(i + j) / 4u][(i + j) % 4u]);
    }
    return quad;
}

// Finishes a quad of Y.
fn finish_forward(row: u32, col: u32, product: vec4<f32>) {
    if row >= params.rows || col >= params.cols {
        return;
    }
    let i = row * params.cols + col;
    var y = product;
    if HAS_BIAS {
        y += vec4<f32>(bias[col / 4u]);
    }
    if ACTIVATION != 0u {
        // Columns are elements; rows are value and slope.
        let f = transpose(mat4x2<f32>(
            activation(ACTIVATION, y.x),
            activation(ACTIVATION, y.y),
            activation(ACTIVATION, y.z),
            activation(ACTIVATION, y.w),
        ));
        y = f[0];
        if KEEPS_SLOPE {
            store_slope(i, col, f[1]);
        }
    }
    if DROPS && now.train != 0u {
        y *= dropout_factors(random_stream(params.site), params.first + i, 1u, params.threshold, params.scale);
    }
    if HAS_RESIDUAL {
        y += residual_quad(i, col);
    }
    store_c(i, col, y);
}

fn finish_forward_block(row: u32, col: u32, block: mat4x4<f32>) {
    finish_forward(row, col, block[0]);
    finish_forward(row + 1u, col, block[1]);
    finish_forward(row + 2u, col, block[2]);
    finish_forward(row + 3u, col, block[3]);
}

@compute @workgroup_size(THREADS)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = place(workgroup, count);
    let sums = multiply(at, lane);
    if at.split >= params.splits {
        return;
    }
    let row = at.row + 4u * thread_quads(lane).y;
    let col = at.col + 4u * thread_quads(lane).x;
    finish_forward_block(row, col, sums.c00);
    if WIDE {
        finish_forward_block(row, col + TILE_COLS / 2u, sums.c01);
        finish_forward_block(row + TILE_ROWS / 2u, col, sums.c10);
        finish_forward_block(row + TILE_ROWS / 2u, col + TILE_COLS / 2u, sums.c11);
    }
}

// Finishes a quad of dX. An entry point of its own: with one buffer more, `forward` would use nine, and eight are what every adapter has.
fn finish_input(row: u32, col: u32, product: vec4<f32>) {
    if row >= params.rows || col >= params.cols {
        return;
    }
    let i = row * params.cols + col;
    if HAS_FACTOR {
        store_c(i, col, product * factor_quad(i, col));
    } else {
        store_c(i, col, product);
    }
}

fn finish_input_block(row: u32, col: u32, block: mat4x4<f32>) {
    finish_input(row, col, block[0]);
    finish_input(row + 1u, col, block[1]);
    finish_input(row + 2u, col, block[2]);
    finish_input(row + 3u, col, block[3]);
}

@compute @workgroup_size(THREADS)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = place(workgroup, count);
    let sums = multiply(at, lane);
    if at.split >= params.splits {
        return;
    }
    let row = at.row + 4u * thread_quads(lane).y;
    let col = at.col + 4u * thread_quads(lane).x;
    finish_input_block(row, col, sums.c00);
    if WIDE {
        finish_input_block(row, col + TILE_COLS / 2u, sums.c01);
        finish_input_block(row + TILE_ROWS / 2u, col, sums.c10);
        finish_input_block(row + TILE_ROWS / 2u, col + TILE_COLS / 2u, sums.c11);
    }
}

// Finishes a quad of dW, or of a part of it.
fn finish_weight(split: u32, row: u32, col: u32, product: vec4<f32>) {
    if row < params.rows && col < params.cols {
        store_c((split * params.rows + row) * params.cols + col, col, product);
    }
}

fn finish_weight_block(split: u32, row: u32, col: u32, block: mat4x4<f32>) {
    finish_weight(split, row, col, block[0]);
    finish_weight(split, row + 1u, col, block[1]);
    finish_weight(split, row + 2u, col, block[2]);
    finish_weight(split, row + 3u, col, block[3]);
}

// Adds up the row sums that the loaders of A have: each saw one quad of every K_QUADS along the depth.
fn finish_bias(at: Place, lane: u32, rows: vec4<f32>) {
    workgroupBarrier();
    if lane < A_PATCHES {
        tile[lane] = rows;
    }
    workgroupBarrier();
    if at.split >= params.splits || at.col != 0u || lane >= A_QUADS {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var q = 0u; q < K_QUADS; q++) {
        sum += tile[q * A_QUADS + lane];
    }
    for (var j = 0u; j < 4u; j++) {
        let row = at.row + 4u * lane + j;
        if row < params.rows {
            let i = at.split * params.rows + row;
            if ACCUMULATES {
                dbias[i] = Dbias(f32(dbias[i]) + sum[j]);
            } else {
                dbias[i] = Dbias(sum[j]);
            }
        }
    }
}

@compute @workgroup_size(THREADS)
fn backward_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = place(workgroup, count);
    let sums = multiply(at, lane);
    if SUMS_ROWS {
        finish_bias(at, lane, sums.rows);
    }
    if at.split >= params.splits {
        return;
    }
    let row = at.row + 4u * thread_quads(lane).y;
    let col = at.col + 4u * thread_quads(lane).x;
    finish_weight_block(at.split, row, col, sums.c00);
    if WIDE {
        finish_weight_block(at.split, row, col + TILE_COLS / 2u, sums.c01);
        finish_weight_block(at.split, row + TILE_ROWS / 2u, col, sums.c10);
        finish_weight_block(at.split, row + TILE_ROWS / 2u, col + TILE_COLS / 2u, sums.c11);
    }
}

// A thread per element: neighbours read neighbours, and the time is that of memory.
const REDUCE_WORKGROUP = 256u;

@compute @workgroup_size(REDUCE_WORKGROUP)
fn reduce(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(workgroup, count) * REDUCE_WORKGROUP + lane;
    let len = params.rows * params.cols;
    if i < len {
        var sum = 0.0;
        for (var split = 0u; split < params.splits; split++) {
            sum += partial[split * len + i];
        }
        c_scalars[i] = C(f32(c_scalars[i]) + sum);
    } else if SUMS_ROWS && i - len < params.rows {
        let row = i - len;
        var sum = 0.0;
        for (var split = 0u; split < params.splits; split++) {
            sum += partial_dbias[split * params.rows + row];
        }
        dbias[row] = Dbias(f32(dbias[row]) + sum);
    }
}
