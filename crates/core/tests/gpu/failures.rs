//! What goes wrong on a GPU, and what it is called: never a panic, a hang or a result.

use std::panic::{AssertUnwindSafe, catch_unwind};

use inkling_core::error::GpuError;
use inkling_core::gpu::{Dispatch, GpuDevice, Kernels, shader};
use inkling_core::memory::Memory;
use inkling_core::ops::dropout::{DropoutBackward, DropoutSite};
use inkling_core::program::{DType, Op, Pass, Program, Tensor, Training};
use inkling_core::step::Step;
use inkling_core::{Engine, Error};

use crate::{device, noise, wait};

/// An op that asks a GPU for what a function says.
struct Strange<F>(F);

impl<F> std::fmt::Debug for Strange<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Strange")
    }
}

impl<F: Fn(&mut Kernels<'_>) + Send> Op for Strange<F> {
    fn name(&self) -> &'static str {
        "strange"
    }

    fn cpu(&self, _: &Memory, _: &Step) {
        unreachable!("these tests have no twin")
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        self.0(kernels);
    }
}

const LEN: usize = 100;

/// A program with an op of ours.
fn strange(gpu: impl Fn(&mut Kernels<'_>) + Send + 'static) -> Program {
    let mut program = Program::new(vec![], Training::No);
    program.push(Pass::Forward, Strange(gpu));
    program
}

/// A program that copies: `dx = dy`.
fn copy(len: usize) -> (Program, Tensor, Tensor) {
    let mut program = Program::new(vec![], Training::No);
    let (dy, dx) = (program.tensor("dy", &[1, len]), program.tensor("dx", &[1, len]));
    program.push(Pass::Forward, DropoutBackward { dy, dx, width: len, dropout: DropoutSite::NONE });
    (program, dy, dx)
}

/// Loads what cannot be, and checks that the device is as good as before.
fn refused(program: Program, device: &GpuDevice) -> GpuError {
    let Error::Gpu(error) = wait(Engine::gpu(program, device)).unwrap_err() else { panic!("an error of another kind") };
    device.check().unwrap();
    let (program, dy, dx) = copy(LEN);
    let mut engine = wait(Engine::gpu(program, device)).unwrap();
    engine.write(dy, &noise(LEN, 1));
    engine.replay(Pass::Forward, &Step::default());
    assert_eq!(wait(engine.read(dx)).unwrap(), noise(LEN, 1));
    error
}

#[test]
fn a_kernel_that_does_not_compile_is_named() {
    let Some(device) = device() else { return };
    let error = refused(strange(|kernels| kernels.push(Dispatch::new(shader::DROPOUT, "sideways"))), &device);
    assert!(matches!(&error, GpuError::Shader { kernel, .. } if kernel == "dropout.wgsl, sideways"), "{error}");
    let constant = |kernels: &mut Kernels<'_>| {
        kernels.push(Dispatch::new(shader::DROPOUT, "backward").constant("NO_SUCH_CONSTANT", 1.0));
    };
    let error = refused(strange(constant), &device);
    assert!(matches!(&error, GpuError::Shader { kernel, .. } if kernel == "dropout.wgsl, backward"), "{error}");
}

#[test]
fn a_tensor_beyond_the_limits_is_refused_before_anything_counts_its_elements() {
    let Some(device) = device() else { return };
    // More elements than a u32 counts, and than a grid has invocations.
    let error = refused(copy(1 << 40).0, &device);
    assert!(matches!(&error, GpuError::Limit { what, .. } if what.contains("dy")), "{error}");
}

#[test]
fn scratch_memory_beyond_the_limits_is_refused() {
    let Some(device) = device() else { return };
    let error = refused(
        strange(|kernels| {
            let scratch = kernels.scratch(1 << 40);
            kernels.push(Dispatch::new(shader::DROPOUT, "backward").bind("dx", scratch));
        }),
        &device,
    );
    assert!(matches!(&error, GpuError::Limit { what, .. } if what.contains("scratch")), "{error}");
}

#[test]
fn a_device_that_is_lost_while_a_program_is_loaded_is_lost() {
    if device().is_none() {
        return;
    }
    let doomed = wait(GpuDevice::request()).unwrap();
    let (mut program, ..) = copy(LEN);
    let same = doomed.clone();
    program.push(Pass::Backward, Strange(move |_: &mut Kernels<'_>| same.destroy()));
    let error = wait(Engine::gpu(program, &doomed)).unwrap_err();
    assert!(matches!(error, Error::Gpu(GpuError::Lost(_))), "{error}");
    assert!(matches!(doomed.check(), Err(GpuError::Lost(_))));
}

#[test]
fn one_name_stands_for_one_type() {
    let Some(device) = device() else { return };
    let mut program = Program::new(vec![], Training::No);
    let full = program.tensor("full", &[LEN]);
    let half = program.tensor_of(DType::F16, "half", &[LEN]);
    program.push(
        Pass::Forward,
        Strange(move |kernels: &mut Kernels<'_>| {
            kernels.push(Dispatch::new(shader::DROPOUT, "backward").bind("dx", full).bind("dx", half));
        }),
    );
    assert!(catch_unwind(AssertUnwindSafe(|| wait(Engine::gpu(program, &device)))).is_err());
}

#[test]
fn engines_on_one_device_do_not_get_in_each_others_way() {
    let Some(device) = device() else { return };
    let mut engines: Vec<_> = (0..3)
        .map(|_| {
            let (program, dy, dx) = copy(LEN);
            (wait(Engine::gpu(program, &device)).unwrap(), dy, dx)
        })
        .collect();
    for round in 0..3 {
        for (i, (engine, dy, _)) in engines.iter_mut().enumerate() {
            engine.write(*dy, &noise(LEN, 10 * round + i as u32));
            engine.replay(Pass::Forward, &Step::default());
        }
        // All are asked for before any is waited for, the last one first.
        let pending: Vec<_> = engines.iter().map(|(engine, _, dx)| engine.start_read(*dx)).collect();
        for (i, pending) in pending.into_iter().enumerate().rev() {
            assert_eq!(wait(engines[i].0.finish_read(pending)).unwrap(), noise(LEN, 10 * round + i as u32));
        }
    }
    let pending = engines[0].0.start_read(engines[0].2);
    assert!(catch_unwind(AssertUnwindSafe(|| wait(engines[1].0.finish_read(pending)))).is_err(), "not its read");
}

#[test]
fn a_read_is_of_its_place_in_the_queue() {
    let Some(device) = device() else { return };
    let (program, dy, dx) = copy(LEN);
    let mut engine = wait(Engine::gpu(program, &device)).unwrap();
    let mut pending = Vec::new();
    for i in 0..5 {
        engine.write(dy, &noise(LEN, i));
        pending.push(engine.start_read(dx));
        engine.replay(Pass::Forward, &Step::default());
        pending.push(engine.start_read(dx));
        engine.write(dx, &[7.0; LEN]);
    }
    let found: Vec<Vec<f32>> = pending.into_iter().map(|read| wait(engine.finish_read(read)).unwrap()).collect();
    for (i, pair) in found.chunks(2).enumerate() {
        assert_eq!(pair[0], [if i == 0 { 0.0 } else { 7.0 }; LEN]);
        assert_eq!(pair[1], noise(LEN, i as u32));
    }
}
