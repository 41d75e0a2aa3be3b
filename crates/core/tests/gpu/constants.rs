//! Tensors that hold values from the start: whenever and wherever their program is loaded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use inkling_core::Engine;
use inkling_core::cpu::Pool;
use inkling_core::gpu::GpuDevice;
use inkling_core::program::{Program, Tensor, Training};

use crate::{device, noise, wait};

const SHAPE: [usize; 2] = [7, 13];

fn values() -> Vec<f32> {
    noise(SHAPE[0] * SHAPE[1], 1)
}

/// A program of one constant, and how often its values were made.
fn program() -> (Program, Tensor, Arc<AtomicUsize>) {
    let mut program = Program::new(vec![], Training::No);
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let table = program.constant("table", &SHAPE, move || {
        counter.fetch_add(1, Ordering::Relaxed);
        values()
    });
    (program, table, made)
}

#[test]
fn a_constant_is_there_after_every_loading_and_not_before() {
    let (program, table, made) = program();
    let bytes = 4 * SHAPE.iter().product::<usize>() as u64;
    assert_eq!((program.memory_bytes(), program.gpu_memory_bytes()), (bytes, bytes));
    assert_eq!(made.load(Ordering::Relaxed), 0, "made before there was known to be memory for it");
    let mut cpu = Engine::cpu(program, Pool::new(1));
    assert_eq!(wait(cpu.read(table)).unwrap(), values());
    cpu.write(table, &[f32::NAN; SHAPE[0] * SHAPE[1]]);
    let Engine::Cpu(cpu) = cpu else { unreachable!() };
    let Some(device) = device() else { return };
    let gpu = wait(Engine::gpu(cpu.into_program(), &device)).unwrap();
    assert_eq!(wait(gpu.read(table)).unwrap(), values());
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[test]
fn a_constant_is_there_on_the_device_after_a_lost_one() {
    if device().is_none() {
        return;
    }
    for lost in [true, false] {
        let device = wait(GpuDevice::request()).unwrap();
        let (program, table, _) = program();
        let engine = wait(Engine::gpu(program, &device)).unwrap();
        if lost {
            device.destroy();
            assert!(wait(engine.read(table)).is_err());
        } else {
            assert_eq!(wait(engine.read(table)).unwrap(), values());
        }
    }
}

#[test]
fn a_constant_has_one_shape_and_as_many_values() {
    let (mut program, table, made) = program();
    assert_eq!(program.constant("table", &SHAPE, Vec::new), table);
    assert!(catch_unwind(AssertUnwindSafe(|| program.constant("table", &[13, 7], Vec::new))).is_err());
    assert_eq!(made.load(Ordering::Relaxed), 0);
    program.constant("short", &[3], || vec![0.0; 2]);
    assert!(catch_unwind(AssertUnwindSafe(|| Engine::cpu(program, Pool::new(1)))).is_err());
}
