//! The GPU engine where the page runs it: in a dedicated worker of a browser, on the browser's own WebGPU (SwiftShader in CI).
//!
//! `tests/gpu` has every kernel in every variant, natively. Here is what only a browser can tell: that its compiler takes every shader,
//! that a whole model trains and writes the same, and that what goes wrong arrives as an error.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]

use inkling_core::Engine;
use inkling_core::cpu::Pool;
use inkling_core::gpu::GpuDevice;
use inkling_core::ops::dropout::{DropoutBackward, DropoutSite};
use inkling_core::program::{Pass, Program, Training};
use inkling_core::rng::Site;
use inkling_core::step::{Mode, Step};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn an_op_repeats_its_cpu_twin() {
    let device = GpuDevice::request().await.unwrap();
    wasm_bindgen_test::console_log!("{:?}", device.report());
    let mut program = Program::new(vec![], Training::No);
    let (dy, dx) = (program.tensor("dy", &[3, 85]), program.tensor("dx", &[3, 85]));
    let dropout = DropoutSite { p: 0.2, site: Site::block_dropout(1, 2) };
    program.push(Pass::Forward, DropoutBackward { dy, dx, width: 85, dropout });
    let step = Step { mode: Mode::Train, seed: 1 << 40 | 7, counter: 5, ..Step::default() };
    let values: Vec<f32> = (0..3 * 85).map(|i| i as f32 - 100.0).collect();

    let mut cpu = Engine::cpu(program, Pool::new(1));
    cpu.write(dy, &values);
    cpu.replay(Pass::Forward, &step);
    let expected = cpu.read(dx).await.unwrap();
    let Engine::Cpu(cpu) = cpu else { unreachable!() };
    let mut gpu = Engine::gpu(cpu.into_program(), &device).await.unwrap();
    gpu.write(dy, &values);
    gpu.replay(Pass::Forward, &step);
    assert_eq!(gpu.read(dx).await.unwrap(), expected);
}
