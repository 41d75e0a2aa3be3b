use inkling_core::ops::grad_norm::GradNorm;
use inkling_core::ops::loss_scaler::{GROWTH_INTERVAL, LARGEST_SCALE, LEAST_SCALE, UpdateLossScale};
use inkling_core::program::{Pass, Program, Training};

use crate::{Case, noise};

/// Arenas of these lengths, filled by `gradient`; `scale` is that of the loss.
fn norm(lengths: [usize; 2], max_norm: f32, scale: Option<f32>, gradient: impl Fn(usize, f32) -> f32) -> Case {
    let mut p = Program::new(vec![], Training::No);
    let grads = [p.tensor("matrices", &[lengths[0]]), p.tensor("vectors", &[lengths[1]])];
    let partials = p.tensor("partials", &[GradNorm::partials(lengths)]);
    let stats = p.tensor("stats", &[2]);
    let scaler = scale.map(|_| p.tensor("scaler", &[2]));
    p.push(Pass::Forward, GradNorm { grads, partials, stats, scaler, max_norm });
    let mut case = Case::new(format!("gradient norm of {lengths:?}, largest {max_norm}, scale {scale:?}"), p);
    for (arena, (grad, len)) in grads.into_iter().zip(lengths).enumerate() {
        let values = noise(len, arena as u32).into_iter().enumerate().map(|(i, x)| gradient(i, x)).collect();
        case = case.input(grad, values);
    }
    if let (Some(scaler), Some(scale)) = (scaler, scale) {
        case = case.input(scaler, vec![scale, 0.0]);
    }
    case.output(stats)
}

#[test]
fn the_norm_is_that_of_all_gradients() {
    // A piece is 16,384 elements; the last case has more pieces than a workgroup has lanes. A bigram has no vectors.
    for lengths in [[128, 128], [16_384, 128], [16_384 + 128, 0], [3 * 16_384 - 128, 16_384 + 128], [300 * 16_384, 256]]
    {
        for max_norm in [0.0, 1.0, 1e6] {
            norm(lengths, max_norm, None, |_, x| x).check();
        }
    }
}

#[test]
fn a_sum_of_unlike_sizes_is_exact() {
    // One large gradient, and many whose squares vanish beside it one by one but not together.
    norm([1 << 20, 128], 1.0, None, |i, x| if i == 0 { 1000.0 } else { x * 0.1 }).check();
}

#[test]
fn the_scale_of_the_loss_is_taken_out() {
    for scale in [1.0, 1024.0, 16_777_216.0] {
        for max_norm in [0.0, 0.5] {
            norm([16_384 + 128, 128], max_norm, Some(scale), |_, x| x * scale * 1e-2).check();
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_left_out() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, 1.0] {
        for at in [0, 16_384 + 127] {
            let mut case = norm([16_384 + 128, 128], 1.0, Some(1024.0), |i, x| if i == at { bad } else { x });
            // Which of the values that are not finite the norm is does not matter: what follows from it is compared.
            let (stats, scaler) = (case.outputs[0], case.inputs[2].0);
            case.program.push(Pass::Forward, UpdateLossScale { scaler, stats });
            case.outputs = vec![scaler];
            case.name += &format!(", with {bad}");
            case.check();
        }
    }
}

#[test]
fn the_scale_of_the_loss_is_halved_and_doubled() {
    let last = GROWTH_INTERVAL - 1.0;
    for scaler in [[1024.0, 0.0], [1024.0, last], [LEAST_SCALE, 3.0], [LARGEST_SCALE, last], [LEAST_SCALE, last]] {
        for stats in [[1.0, 1.0], [f32::INFINITY, 0.0]] {
            let mut p = Program::new(vec![], Training::No);
            let (scaler_tensor, stats_tensor) = (p.tensor("scaler", &[2]), p.tensor("stats", &[2]));
            p.push(Pass::Forward, UpdateLossScale { scaler: scaler_tensor, stats: stats_tensor });
            Case::new(format!("loss scale {scaler:?} after {stats:?}"), p)
                .input(scaler_tensor, scaler.to_vec())
                .input(stats_tensor, stats.to_vec())
                .output(scaler_tensor)
                .check();
        }
    }
}
