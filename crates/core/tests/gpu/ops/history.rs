use inkling_core::ops::history::{AccumulateLoss, FIELDS, RecordStep, SLOTS};
use inkling_core::program::{Pass, Program, Training};
use inkling_core::step::Step;

use crate::Case;

#[test]
fn micro_batches_add_up() {
    for running_so_far in [0.0, 1.5] {
        let mut p = Program::new(vec![], Training::No);
        let (loss, running) = (p.tensor("loss", &[1]), p.tensor("running", &[1]));
        p.push(Pass::Forward, AccumulateLoss { loss, running });
        p.push(Pass::Forward, AccumulateLoss { loss, running });
        Case::new("accumulate loss", p)
            .step(Step { loss_scale: 1.0 / 3.0, ..Step::default() })
            .input(loss, vec![4.174_387])
            .input(running, vec![running_so_far])
            .output(running)
            .check();
    }
}

#[test]
fn an_update_takes_its_slot_and_no_other() {
    for slot in [0, 1, SLOTS as u32 - 1] {
        for scale in [None, Some(4096.0)] {
            for stats_now in [[2.5, 0.4], [10.0, 0.0]] {
                let mut p = Program::new(vec![], Training::No);
                let (running, stats) = (p.tensor("running", &[1]), p.tensor("stats", &[2]));
                let ring = p.tensor("ring", &[SLOTS, FIELDS]);
                let scaler = scale.map(|_| p.tensor("scaler", &[2]));
                p.push(Pass::Forward, RecordStep { running, stats, scaler, ring });
                let mut case = Case::new(format!("record step, slot {slot}, scale {scale:?}, {stats_now:?}"), p)
                    .step(Step { slot, ..Step::default() })
                    .noise(ring)
                    .input(running, vec![4.25])
                    .input(stats, stats_now.to_vec());
                if let (Some(scaler), Some(scale)) = (scaler, scale) {
                    case = case.input(scaler, vec![scale, 7.0]);
                }
                case.output(ring).output(running).check();
            }
        }
    }
}
