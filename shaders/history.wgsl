// What a run reports of each update, kept on the device:
//
//     accumulate_loss   running += loss * loss_scale
//     record_step       ring[slot] = running, gradient norm, scale of the loss, 1 if the update was left out;   running = 0
//
// loss      [1], mean of the micro-batch
// running   [1]
// stats     [2]: gradient norm; clip factor, 0 for an update that is left out
// scaler    [2], its first the scale of the loss; only in mixed precision
// ring      [slots], one vec4 per update
// grid      one invocation

@group(0) @binding(2) var<storage, read> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> running: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> scaler: array<f32>;
@group(0) @binding(6) var<storage, read_write> ring: array<vec4<f32>>;

// Whether the loss is scaled.
override HAS_SCALER: bool = false;

@compute @workgroup_size(1)
fn accumulate_loss() {
    running[0] += loss[0] * now.loss_scale;
}

@compute @workgroup_size(1)
fn record_step() {
    var scale = 1.0;
    if HAS_SCALER {
        scale = scaler[0];
    }
    ring[now.slot] = vec4(running[0], stats[0], scale, select(0.0, 1.0, stats[1] == 0.0));
    running[0] = 0.0;
}
