//! What a run computes, and how it is steered.

use inkling_core::train::Split;

use super::*;
use crate::protocol::model::Load;
use crate::protocol::train::{KeptRuns, PlanRun, TakeSnapshot};

/// Steps with loss, learning rate and gradient norm; evaluations with their loss, and whether they were the best.
type Seen = (Vec<(u64, f32, f32, f32)>, Vec<(u64, f64, bool)>);

/// Core's losses, and what an evaluation after each twentieth update finds.
fn expected(settings: &RunSettings, steps: usize) -> Seen {
    let mut trainer = native(settings);
    let mut evaluations = Vec::new();
    let mut points = Vec::new();
    for _ in 0..steps {
        wait(trainer.step()).unwrap();
        let reports = wait(trainer.reports()).unwrap();
        points.extend(reports.iter().map(|r| (r.step, r.loss as f32, r.learning_rate, r.grad_norm)));
        let step = trainer.state().step;
        if step.is_multiple_of(settings.train.eval_steps) {
            let loss = wait(trainer.evaluate(Split::Val)).unwrap().loss;
            evaluations.push((step, loss, trainer.record_validation(loss)));
        }
    }
    (points, evaluations)
}

fn seen(desk: &Desk, ask: u32) -> Seen {
    let points = desk.points(ask).into_iter().map(|p| (p.step, p.loss, p.learning_rate, p.grad_norm)).collect();
    (points, desk.evaluations(ask).into_iter().map(|e| (e.step, e.val_loss, e.best)).collect())
}

#[test]
fn a_run_is_cores_to_the_last_bit() {
    for ema_decay in [0.0, 0.9] {
        let mut settings = settings();
        settings.train.ema_decay = ema_decay;
        let mut desk = Desk::new();
        let run = desk.open(OpenRun::New(Box::new(settings.clone()))).unwrap();
        assert_eq!(desk.state(run.ask), RunState::Paused);
        desk.steer(&run, Steering::Play);
        desk.settle();
        assert_eq!(desk.state(run.ask), RunState::Finished);
        assert_eq!(seen(&desk, run.ask), expected(&settings, 60));
        // A model and a sample at the beginning, at milestones and at evaluations.
        let parts = desk.parts(run.ask);
        let steps = [0, 1, 2, 5, 10, 20, 40, 50, 60];
        let of = |pick: fn(&RunPart) -> Option<u64>| parts.iter().filter_map(pick).collect::<Vec<_>>();
        assert_eq!(of(|part| if let RunPart::Snapshot { step } = part { Some(*step) } else { None }), steps);
        assert_eq!(of(|part| if let RunPart::Sample { step, .. } = part { Some(*step) } else { None }), steps);
        assert_eq!(
            desk.call(Steer { run: run.card.run, to: Steering::Play }).unwrap_err().kind,
            crate::protocol::FailureKind::Input
        );
    }
}

#[test]
fn two_runs_take_turns_and_do_not_touch_each_other() {
    let mut desk = Desk::new();
    let mut other = settings();
    other.train.seed = 7;
    let one = desk.new_run();
    let two = desk.open(OpenRun::New(Box::new(other.clone()))).unwrap();
    desk.steer(&one, Steering::Play);
    desk.steer(&two, Steering::Play);
    // Neither waits for the other's end.
    let mut led = [false; 2];
    while desk.turn() {
        let [a, b] =
            [one.ask, two.ask].map(|ask| desk.workshop.runs.open.iter().find(|run| run.ask == ask).unwrap().step());
        led[0] |= a > 0 && b < 60;
        led[1] |= b > 0 && a < 60;
    }
    assert_eq!(led, [true; 2]);
    assert_eq!(seen(&desk, one.ask), expected(&settings(), 60));
    assert_eq!(seen(&desk, two.ask), expected(&other, 60));
}

#[test]
fn a_run_pauses_steps_goes_back_and_closes() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.settle();
    desk.steer(&run, Steering::Step);
    desk.settle();
    assert_eq!(desk.points(run.ask).len(), 1);
    assert_eq!(desk.state(run.ask), RunState::Paused);
    let refused = desk.call(Steer { run: run.card.run, to: Steering::RewindToBest }).unwrap_err();
    assert!(refused.message.contains("no best evaluation"), "{refused}");

    desk.steer(&run, Steering::Play);
    while desk.points(run.ask).last().is_none_or(|point| point.step < 25) {
        assert!(desk.turn());
    }
    desk.steer(&run, Steering::Pause);
    desk.settle();
    assert_eq!(desk.state(run.ask), RunState::Paused);
    let paused_at = desk.points(run.ask).last().unwrap().step;
    assert!((25..60).contains(&paused_at));

    // Back to the best evaluation, and on: the same numbers once more.
    desk.steer(&run, Steering::RewindToBest);
    let best = desk.evaluations(run.ask).iter().rfind(|evaluated| evaluated.best).unwrap().step;
    let parts = desk.parts(run.ask);
    let rewound = parts.iter().position(|part| *part == RunPart::Rewound { step: best }).unwrap();
    desk.steer(&run, Steering::Play);
    desk.settle();
    let (points, evaluations) = expected(&settings(), 60);
    let after = |parts: &[RunPart]| -> Vec<StepPoint> {
        parts
            .iter()
            .flat_map(|part| if let RunPart::Steps { steps, .. } = part { steps.clone() } else { vec![] })
            .collect()
    };
    let again: Vec<_> = after(&desk.parts(run.ask)[rewound..]).iter().map(|p| (p.step, p.loss)).collect();
    assert_eq!(again, points[best as usize..].iter().map(|p| (p.0, p.1)).collect::<Vec<_>>());
    assert_eq!(desk.evaluations(run.ask).last().map(|e| e.val_loss), evaluations.last().map(|e| e.1));

    desk.steer(&run, Steering::Close);
    desk.settle();
    assert!(matches!(desk.outcome(run.ask), Some(Ok(Answer::OpenRun(_)))));
    let gone = desk.call(Steer { run: run.card.run, to: Steering::Play }).unwrap_err();
    assert!(gone.message.contains("not open"), "{gone}");
}

#[test]
fn a_run_that_was_just_opened_can_be_told_to_do_one_step() {
    let mut desk = Desk::new();
    // It has its first text to write before.
    let run = desk.open(OpenRun::New(Box::new(settings()))).unwrap();
    desk.steer(&run, Steering::Step);
    desk.settle();
    assert_eq!(desk.points(run.ask).iter().map(|point| point.step).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_run_that_is_reset_does_the_same_again() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 40);
    let kept = |desk: &mut Desk| desk.call(KeptRuns).unwrap().0.iter().map(|run| run.steps.0).collect::<Vec<_>>();
    assert_eq!(kept(&mut desk), [40]);
    let first = seen(&desk, run.ask);
    desk.steer(&run, Steering::Reset);
    desk.settle();
    // What the browser keeps is of the beginning, too.
    assert_eq!(kept(&mut desk), [0]);
    let parts = desk.parts(run.ask);
    let reset = parts.iter().position(|part| *part == RunPart::Rewound { step: 0 }).unwrap();
    assert!(parts[reset..].contains(&RunPart::Snapshot { step: 0 }));
    for _ in 0..40 {
        desk.steer(&run, Steering::Step);
        desk.settle();
    }
    let (points, evaluations) = seen(&desk, run.ask);
    let (steps, found) = (first.0.len(), first.1.len());
    assert_eq!((points[steps..].to_vec(), evaluations[found..].to_vec()), first);
}

#[test]
fn a_run_that_is_cancelled_is_gone_at_once() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.steer(&run, Steering::Play);
    desk.turn();
    desk.workshop.receive(Incoming::Request(Request::Cancel { id: run.ask }));
    assert!(!desk.turn() && desk.workshop.runs.open.is_empty());
    assert!(desk.place().0.borrow().held.is_empty());
}

#[test]
fn the_model_of_a_step_can_be_looked_at_while_it_trains() {
    let mut desk = Desk::new();
    let run = desk.new_run();
    desk.train_to(&run, 20);
    desk.steer(&run, Steering::Play);
    let files = desk.call(TakeSnapshot { run: run.card.run, step: 20 }).unwrap();
    let mut figures = Desk::of(Role::FIGURES, Place::default());
    let card = figures.call(Load::Snapshot { name: "step 20".into(), files }).unwrap();
    assert_eq!((card.name.as_str(), card.config.n_embd), ("step 20", 16));
    let mut trainer = native(&settings());
    (0..20).for_each(|_| wait(trainer.step()).unwrap());
    let weights = &figures.workshop.model.as_ref().unwrap().checkpoint.weights;
    assert!(*weights == wait(trainer.weights()).unwrap());
    let missing = desk.call(TakeSnapshot { run: run.card.run, step: 999 }).map(|_| ()).unwrap_err();
    assert!(missing.message.contains("step 999"), "{missing}");
}

#[test]
fn messages_are_answered_between_slices_of_an_update() {
    let mut settings = settings();
    // An update takes many times as long as a slice may, in far smaller ops.
    (settings.model.n_embd, settings.model.n_inner, settings.train.batch_size) = (64, 256, 256);
    let mut desk = Desk::new();
    let run = desk.open(OpenRun::New(Box::new(settings))).unwrap();
    desk.settle();
    desk.steer(&run, Steering::Step);
    let mut turns = 0;
    while desk.points(run.ask).is_empty() {
        assert!(desk.turn());
        turns += 1;
    }
    assert!(turns >= 3, "{turns} turns");
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_name_of_the_setting() {
    let mut desk = Desk::new();
    let mut refuse = |change: &dyn Fn(&mut RunSettings), says: &str| {
        let mut settings = settings();
        change(&mut settings);
        let planned = desk.call(PlanRun(settings.clone())).unwrap_err();
        let opened = desk.open(OpenRun::New(Box::new(settings))).map(|_| ()).unwrap_err();
        assert_eq!(planned, opened);
        assert!(planned.message.contains(says), "{planned}");
    };
    refuse(&|s| s.train.batch_size = 0, "batch_size");
    refuse(&|s| s.train.learning_rate = f32::NAN, "learning_rate");
    refuse(&|s| s.train.eval_steps = 0, "eval_steps");
    refuse(&|s| s.model.n_head = 3, "n_head");
    refuse(&|s| s.model.n_layer = 0, "n_layer");
    refuse(&|s| s.train.precision = inkling_core::train::TrainingPrecision::F16, "precision");
    refuse(&|s| s.model.n_positions = 1 << 16, "too short");
    refuse(&|s| s.tokenizer = RunTokenizer::Bpe { vocab_size: 5 }, "257");
    refuse(&|s| s.text = RunText::Own { name: "a.txt".into(), text: String::new() }, "empty");
    refuse(&|s| s.text = RunText::Own { name: "a.txt".into(), text: "abc".into() }, "too short");
    refuse(&|s| (s.model.n_embd, s.model.n_inner) = (1 << 13, 1 << 15), "memory");
    refuse(&|s| (s.train.batch_size, s.model.n_positions) = (1 << 16, 64), "memory");
}

#[test]
fn a_plan_says_what_a_run_takes() {
    let mut desk = Desk::new();
    let plan = desk.call(PlanRun(settings())).unwrap();
    let run = desk.new_run();
    assert_eq!(run.card.plan, plan);
    let trainer = native(&settings());
    assert_eq!(plan.parameters, trainer.model().num_parameters());
    assert_eq!((plan.tokens, plan.tokens_per_step), ((3600, 400), 64));
    assert!(plan.memory_bytes > trainer.engine().program().memory_bytes());
    assert_eq!(run.card.uniform_loss, (plan.vocab_size as f64).ln());
    assert!(run.card.bigram_loss < run.card.uniform_loss);
    assert!(matches!(&run.card.settings.text, RunText::Own { text, .. } if text.is_empty()));
}

#[test]
fn tiny_shakespeare_is_waited_for() {
    let mut desk = Desk::new();
    let call = PlanRun(RunSettings { text: RunText::Shakespeare, ..settings() });
    let asks = [desk.ask(call.clone().call()), desk.ask(call.call())];
    desk.settle();
    assert!(desk.outcome(asks[0]).is_none());
    desk.workshop.receive(Incoming::Corpus(Ok(text().into_bytes())));
    desk.settle();
    for ask in asks {
        let Some(Ok(Answer::PlanRun(plan))) = desk.outcome(ask) else { panic!("no plan") };
        assert_eq!(plan.tokens, (3600, 400));
    }
    let failed = Desk::new();
    let mut failed = failed;
    let ask = failed.ask(PlanRun(RunSettings { text: RunText::Shakespeare, ..settings() }).call());
    failed.settle();
    failed.workshop.receive(Incoming::Corpus(Err(Failure::network("no connection"))));
    assert_eq!(failed.outcome(ask).unwrap().unwrap_err().message, "no connection");
}

#[test]
fn a_run_that_diverges_says_so_and_can_go_back() {
    let mut settings = settings();
    (settings.train.learning_rate, settings.train.min_learning_rate, settings.train.max_grad_norm) = (10.0, 1.0, 0.0);
    (settings.train.warmup_steps, settings.train.eval_steps) = (0, 1);
    settings.train.adam_epsilon = 1e-20;
    settings.train.weight_decay = 100.0;
    let mut desk = Desk::new();
    let run = desk.open(OpenRun::New(Box::new(settings))).unwrap();
    desk.steer(&run, Steering::Play);
    desk.settle();
    let RunState::Broken { why } = desk.state(run.ask) else { panic!("{:?}", desk.state(run.ask)) };
    assert!(why.contains("learning rate") || why.contains("finite"), "{why}");
    assert!(desk.call(Steer { run: run.card.run, to: Steering::Play }).is_err());
    desk.steer(&run, Steering::RewindToBest);
    desk.settle();
    assert_eq!(desk.state(run.ask), RunState::Paused);
}

/// A device that is lost, as after a driver's reset; only where there is an adapter.
#[test]
fn a_run_goes_on_where_its_gpu_left_it() {
    use crate::protocol::model::{EngineChoice, UseEngine};

    let mut desk = Desk::new();
    desk.ask(UseEngine { choice: EngineChoice::WebGpu, threads: None }.call());
    desk.settle();
    let Some(device) = desk.workshop.engines.gpu().cloned() else { return };
    let run = desk.new_run();
    assert!(run.card.engine.contains("WebGPU"), "{}", run.card.engine);
    desk.train_to(&run, 7);
    desk.steer(&run, Steering::Play);
    desk.turn();
    device.destroy();
    desk.settle();
    assert_eq!(desk.state(run.ask), RunState::Finished);
    let parts = desk.parts(run.ask);
    let moved = parts.iter().position(|part| matches!(part, RunPart::Moved { .. })).expect("it moved");
    assert!(!parts[moved..].contains(&RunPart::Rewound { step: 0 }));
    let again = parts[moved..].iter().find_map(|part| match part {
        RunPart::Steps { steps, .. } => steps.first().copied(),
        _ => None,
    });
    // From where it was kept last: no earlier than the pause.
    assert!(again.unwrap().step >= 8);
    let mut losses = std::collections::BTreeMap::new();
    desk.points(run.ask).iter().for_each(|point| _ = losses.insert(point.step, point.loss));
    for (step, loss, ..) in expected(&settings(), 60).0 {
        assert!((losses[&step] - loss).abs() < 1e-3, "step {step}: {} and {loss}", losses[&step]);
    }
}
