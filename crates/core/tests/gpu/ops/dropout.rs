use inkling_core::ops::dropout::{DropoutBackward, DropoutSite};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::rng::Site;
use inkling_core::step::{Mode, Step};

use crate::{Case, F16, F32};

#[test]
fn dropout_backward_repeats_the_mask() {
    // Whole quads and not. 65,536 workgroups would be more elements than WebGPU promises to a tensor.
    for (rows, width) in [(1, 1), (3, 85), (2, 128), (9_001, 130), (9_001, 131)] {
        for mode in [Mode::Train, Mode::Eval] {
            for (dtype, tolerance) in [(DType::F32, F32), (DType::F16, F16)] {
                let mut p = Program::new(vec![], Training::No);
                let dy = p.tensor("dy", &[rows, width]);
                let dx = p.tensor_of(dtype, "dx", &[rows, width]);
                let dropout = DropoutSite { p: 0.2, site: Site::block_dropout(1, 2), first: 3 };
                p.push(Pass::Forward, DropoutBackward { dy, dx, width, dropout });
                let step = Step { mode, seed: 1 << 40 | 7, counter: 5, ..Step::default() };
                let name = format!("dropout backward {rows} x {width} {mode:?} {dtype:?}");
                Case::new(name, p).noise(dy).output(dx).step(step).tolerance(tolerance).check();
            }
        }
    }
}
