//! Runs that outlive their worker.

use super::*;
use crate::protocol::train::{ForgetRun, KeptRun, KeptRuns, TakeSnapshot};
use crate::worker::train::store::Memory;

/// What a browser has left when a tab is gone: its files, and no locks.
fn after_a_crash(place: &Place) -> Place {
    let left = Memory { files: place.0.borrow().files.clone(), ..Memory::default() };
    Place(Rc::new(RefCell::new(left)))
}

fn kept(desk: &mut Desk) -> Vec<KeptRun> {
    desk.call(KeptRuns).unwrap().0
}

/// Losses by step, as core computes them.
fn losses() -> Vec<f32> {
    let mut trainer = native(&settings());
    (0..60).for_each(|_| wait(trainer.step()).unwrap());
    wait(trainer.reports()).unwrap().iter().map(|report| report.loss as f32).collect()
}

#[test]
fn a_run_that_was_paused_goes_on_after_a_reload() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 23);
    assert!(desk.parts(run.ask).contains(&RunPart::Kept { step: 23 }));
    let before = desk.points(run.ask);

    let mut later = Desk::at(after_a_crash(&desk.place()));
    let [one] = &kept(&mut later)[..] else { panic!("one run") };
    assert_eq!((one.name.as_str(), one.steps), ("My run", (23, 60)));
    assert!(one.bytes > 10_000 && one.best.is_some());
    let again = later.open(OpenRun::Kept { folder: one.folder.clone() }).unwrap();
    assert_eq!((again.card.step, again.card.settings.name.as_str()), (23, "My run"));
    assert_eq!(again.card.plan, run.card.plan);
    assert_eq!(again.card.bigram_loss, run.card.bigram_loss);
    // The past is told: the same points, the same evaluation, models to look at.
    assert_eq!(later.points(again.ask), before);
    assert_eq!(later.evaluations(again.ask), desk.evaluations(run.ask));
    let parts = later.parts(again.ask);
    for step in [0, 1, 2, 5, 10, 20, 23] {
        assert!(parts.contains(&RunPart::Snapshot { step }), "{step}");
        let take = |desk: &mut Desk, run: &Opened| desk.call(TakeSnapshot { run: run.card.run, step }).unwrap();
        assert!(take(&mut later, &again) == take(&mut desk, &run), "step {step}");
    }
    later.steer(&again, Steering::Play);
    later.settle();
    assert_eq!(later.points(again.ask).iter().map(|point| point.loss).collect::<Vec<_>>(), losses());
    // It also knows its way back.
    later.steer(&again, Steering::RewindToBest);
    later.settle();
}

#[test]
fn the_best_of_a_kept_run_can_be_gone_back_to() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 23);
    let mut later = Desk::at(after_a_crash(&desk.place()));
    let folder = kept(&mut later)[0].folder.clone();
    let again = later.open(OpenRun::Kept { folder }).unwrap();
    later.steer(&again, Steering::RewindToBest);
    assert!(later.parts(again.ask).contains(&RunPart::Rewound { step: 20 }));
    later.steer(&again, Steering::Step);
    later.settle();
    assert_eq!(later.points(again.ask).last().unwrap().loss, losses()[20]);
}

#[test]
fn a_crash_at_any_write_leaves_a_run_that_goes_on() {
    let losses = losses();
    let mut survived = 0;
    for alive_for in 1.. {
        let mut desk = Desk::new();
        let run = desk.new_run();
        desk.train_to(&run, 21);
        let kept_before = desk.place().0.borrow().files.len();
        assert!(kept_before > 0);
        desk.place().0.borrow_mut().alive_for = Some(alive_for);
        for _ in 0..3 {
            desk.steer(&run, Steering::Step);
            desk.settle();
        }
        let ended = desk.place().0.borrow().alive_for != Some(0);
        let mut later = Desk::at(after_a_crash(&desk.place()));
        let [one] = &kept(&mut later)[..] else { panic!("a crash after {alive_for} changes took the run") };
        let again = later.open(OpenRun::Kept { folder: one.folder.clone() }).unwrap();
        assert!((21..=24).contains(&again.card.step));
        later.steer(&again, Steering::Step);
        later.settle();
        let next = again.card.step as usize;
        assert_eq!(later.points(again.ask).last().unwrap().loss, losses[next], "after {alive_for} changes");
        survived += 1;
        if ended {
            break;
        }
    }
    assert!(survived > 6, "{survived}");
}

#[test]
fn a_full_disk_is_told_and_the_run_goes_on() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 21);
    let used: usize = desk.place().0.borrow().files.values().map(Vec::len).sum();
    desk.place().0.borrow_mut().room = Some(used + 100);
    desk.steer(&run, Steering::Play);
    desk.settle();
    assert_eq!(desk.state(run.ask), RunState::Finished);
    let troubles: Vec<_> =
        desk.parts(run.ask).into_iter().filter(|part| matches!(part, RunPart::NotKept { .. })).collect();
    assert!(matches!(&troubles[..], [RunPart::NotKept { why }] if why.contains("no room")), "{troubles:?}");
    // What was kept before is whole.
    let mut later = Desk::at(after_a_crash(&desk.place()));
    let folder = kept(&mut later)[0].folder.clone();
    assert_eq!(later.open(OpenRun::Kept { folder }).unwrap().card.step, 21);
}

#[test]
fn a_run_is_open_in_one_tab_only_and_forgotten_when_it_is_closed() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 1);
    let mut other = Desk::at(desk.place());
    let folder = kept(&mut other)[0].folder.clone();
    let refused = other.open(OpenRun::Kept { folder: folder.clone() }).map(|_| ()).unwrap_err();
    assert!(refused.message.contains("another tab"), "{refused}");
    assert!(other.call(ForgetRun { folder: folder.clone() }).is_err());
    assert!(desk.call(ForgetRun { folder: folder.clone() }).unwrap_err().message.contains("close it"));
    desk.steer(&run, Steering::Close);
    desk.settle();
    let again = other.open(OpenRun::Kept { folder: folder.clone() }).unwrap();
    other.steer(&again, Steering::Close);
    other.settle();
    desk.call(ForgetRun { folder }).unwrap();
    assert!(kept(&mut desk).is_empty() && desk.place().0.borrow().files.is_empty());
}

#[test]
fn a_run_that_is_closed_while_it_plays_is_kept_first() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.steer(&run, Steering::Play);
    while desk.points(run.ask).is_empty() {
        assert!(desk.turn());
    }
    desk.steer(&run, Steering::Close);
    desk.settle();
    assert!(matches!(desk.outcome(run.ask), Some(Ok(_))));
    let done = desk.points(run.ask).last().unwrap().step;
    assert_eq!(kept(&mut desk)[0].steps, (done, 60));
}
