//! Runs whose gradients replicas compute.

use super::*;
use crate::protocol::train::PlanRun;

/// Large enough that replicas are worth it.
fn large() -> RunSettings {
    let mut settings = settings();
    (settings.model.n_embd, settings.model.n_inner) = (64, 256);
    (settings.train.batch_size, settings.train.max_steps, settings.train.eval_steps) = (32, 12, 6);
    settings
}

/// A worker with so many threads.
fn desk(threads: usize) -> Desk {
    let mut desk = Desk::new();
    desk.workshop.engines.threads = threads;
    desk
}

/// Until there is nothing to do nor to wait for.
fn settle(desk: &mut Desk) -> usize {
    let mut waits = 0;
    loop {
        if desk.turn() {
            continue;
        }
        // Looks at the replicas, too.
        if desk.workshop.runs.open.iter().any(Run::is_waiting) {
            waits += 1;
        } else if !desk.turn() {
            return waits;
        }
    }
}

fn losses(desk: &Desk, ask: u32) -> Vec<f32> {
    desk.points(ask).into_iter().map(|point| point.loss).collect()
}

fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= 1e-5, "{got} is not {want}");
    }
}

fn alone() -> Vec<f32> {
    let mut trainer = native(&large());
    (0..12).for_each(|_| wait(trainer.step()).unwrap());
    wait(trainer.reports()).unwrap().iter().map(|report| report.loss as f32).collect()
}

#[test]
fn replicas_compute_what_the_learner_would_and_others_are_heard_meanwhile() {
    let mut desk = desk(3);
    let run = desk.open(OpenRun::New(Box::new(large()))).unwrap();
    assert_eq!((run.card.plan.replicas, run.card.engine.as_str()), (3, "CPU, SIMD, 3 threads"));
    assert!(run.card.plan.replica_bytes > 3 * 4 * run.card.plan.parameters);
    desk.steer(&run, Steering::Play);
    assert!(settle(&mut desk) >= 12);
    assert_eq!(desk.state(run.ask), RunState::Finished);
    assert_close(&losses(&desk, run.ask), &alone());
    // For a trifle they are not worth it.
    let plan = desk.call(PlanRun(settings())).unwrap();
    assert_eq!((plan.replicas, plan.replica_bytes), (1, 0));
}

#[test]
fn a_run_with_replicas_pauses_steps_saves_resets_and_closes() {
    let mut desk = desk(2);
    let run = desk.open(OpenRun::New(Box::new(large()))).unwrap();
    settle(&mut desk);
    desk.steer(&run, Steering::Step);
    settle(&mut desk);
    assert_eq!((desk.points(run.ask).len(), desk.state(run.ask)), (1, RunState::Paused));
    // In the middle of an update.
    desk.steer(&run, Steering::Play);
    while !desk.workshop.runs.open[0].is_waiting() {
        desk.turn();
    }
    desk.steer(&run, Steering::Pause);
    settle(&mut desk);
    let paused_at = desk.points(run.ask).len();
    assert_eq!((paused_at, desk.state(run.ask)), (2, RunState::Paused));
    // The same in the middle of another, from the beginning.
    desk.steer(&run, Steering::Play);
    while !desk.workshop.runs.open[0].is_waiting() {
        desk.turn();
    }
    desk.steer(&run, Steering::Reset);
    desk.steer(&run, Steering::Play);
    settle(&mut desk);
    let all = losses(&desk, run.ask);
    assert_close(&all[all.len() - 12..], &alone());
    desk.steer(&run, Steering::Close);
    settle(&mut desk);
    assert!(desk.workshop.runs.open.is_empty());
}

#[test]
fn a_run_that_is_closed_while_replicas_compute_ends_its_update_first() {
    let mut desk = desk(2);
    let run = desk.open(OpenRun::New(Box::new(large()))).unwrap();
    desk.steer(&run, Steering::Play);
    while !desk.workshop.runs.open[0].is_waiting() {
        desk.turn();
    }
    desk.steer(&run, Steering::Close);
    assert_eq!(desk.workshop.runs.open.len(), 1);
    settle(&mut desk);
    assert!(desk.workshop.runs.open.is_empty());
    assert_eq!(desk.call(crate::protocol::train::KeptRuns).unwrap().0[0].steps.0, 1);
}
