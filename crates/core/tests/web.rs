//! The GPU engine where the page runs it: in a dedicated worker of a browser, on the browser's own WebGPU (SwiftShader in CI).
//!
//! `tests/gpu` has every kernel in every variant, natively. Here is what only a browser can tell: that its compiler takes every shader,
//! that whole models learn and write the same there, and that whatever goes wrong arrives as an error.
//!
//! `cargo xtask test` runs this; `webdriver.json` beside `Cargo.toml` tells the browser to have WebGPU without a graphics card.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]

use std::cell::OnceCell;

use inkling_core::cpu::Pool;
use inkling_core::error::GpuError;
use inkling_core::gpu::GpuDevice;
use inkling_core::gpu::shader::{self, Shader};
use inkling_core::ops::dropout::{DropoutBackward, DropoutSite};
use inkling_core::program::{DType, Pass, Precision, Program, Tensor, Training};
use inkling_core::rng::Site;
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::step::{Mode, Step};
use inkling_core::train::{Dataset, Split, TrainConfig, Trainer};
use inkling_core::{Device, Engine, Error, ModelConfig, Weights, presets};
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const PLENTY: u64 = 1 << 30;

/// Sums of float32 in another order, through a whole model.
const ROUNDING: f64 = 1e-4;

/// The device that tests share, unless they destroy it.
async fn device() -> GpuDevice {
    thread_local!(static DEVICE: OnceCell<GpuDevice> = const { OnceCell::new() });
    if let Some(device) = DEVICE.with(|cell| cell.get().cloned()) {
        return device;
    }
    let device = GpuDevice::request().await.expect("the browser has WebGPU");
    console_log!("{:?}", device.report());
    DEVICE.with(|cell| cell.get_or_init(|| device).clone())
}

fn cpu() -> Device {
    Device::Cpu(Pool::new(1))
}

/// An op of which both engines make the same bits.
fn dropout() -> (Program, Tensor, Tensor) {
    let mut program = Program::new(vec![], Training::No);
    let (dy, dx) = (program.tensor("dy", &[3, 85]), program.tensor("dx", &[3, 85]));
    let dropout = DropoutSite { p: 0.2, site: Site::block_dropout(1, 2), first: 7 };
    program.push(Pass::Forward, DropoutBackward { dy, dx, width: 85, dropout });
    (program, dy, dx)
}

#[wasm_bindgen_test]
async fn an_op_repeats_its_cpu_twin() {
    let step = Step { mode: Mode::Train, seed: 1 << 40 | 7, counter: 5, ..Step::default() };
    let values: Vec<f32> = (0..3 * 85).map(|i| i as f32 - 100.0).collect();
    let mut results = Vec::new();
    for device in [cpu(), Device::Gpu(device().await)] {
        let (program, dy, dx) = dropout();
        let mut engine = device.load(program).await.unwrap();
        engine.write(dy, &values);
        engine.replay(Pass::Forward, &step);
        results.push(engine.read(dx).await.unwrap());
    }
    assert_ne!(results[0], values);
    assert_eq!(results[0], results[1]);
}

/// Compiles a shader; the browser's messages if it refuses.
async fn compile(device: &wgpu::Device, shader: &Shader, types: &[(String, DType)]) -> Result<(), String> {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(shader.name),
        source: wgpu::ShaderSource::Wgsl(shader.module(types).into()),
    });
    let refused = scope.pop().await;
    let messages = module.get_compilation_info().await.messages;
    let errors = messages.iter().filter(|m| m.message_type == wgpu::CompilationMessageType::Error);
    let text: Vec<String> = errors.map(|m| format!("{:?}: {}", m.location.map(|l| l.line_number), m.message)).collect();
    if refused.is_none() && text.is_empty() {
        Ok(())
    } else {
        Err(format!("{}.wgsl: {}", shader.name, text.join("; ")))
    }
}

#[wasm_bindgen_test]
async fn the_browsers_compiler_takes_every_shader() {
    // wgpu's own device: core's compiles only what a program asks for.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.unwrap();
    let half = adapter.features() & wgpu::Features::SHADER_F16;
    let descriptor = wgpu::DeviceDescriptor { required_features: half, ..Default::default() };
    let (device, _) = adapter.request_device(&descriptor).await.unwrap();
    console_log!("shaders are compiled for float32{}", if half.is_empty() { "" } else { " and float16" });
    let mut refused = Vec::new();
    for shader in shader::ALL {
        refused.extend(compile(&device, shader, &[]).await.err());
        if !half.is_empty() {
            let aliases = shader.interface().bindings.into_iter().filter_map(|b| b.alias);
            let types: Vec<_> = aliases.map(|alias| (alias, DType::F16)).collect();
            refused.extend(compile(&device, shader, &types).await.err());
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// `micro`, small enough for a GPU that is a program.
fn micro() -> (ModelConfig, TrainConfig) {
    let preset = presets::find("micro").expect("it is there");
    let model = ModelConfig {
        vocab_size: 11,
        n_positions: 8,
        n_embd: 16,
        n_layer: 2,
        n_head: 2,
        n_kv_head: 2,
        n_inner: 64,
        dropout: 0.1,
        ..preset.model
    };
    (model, TrainConfig { batch_size: 2, max_steps: 10, ..preset.train })
}

async fn trainer(device: Device) -> Trainer {
    let (model, settings) = micro();
    let tokens: Vec<u32> = (0..400).map(|i| i * i % 11).collect();
    let data = Dataset::new(tokens, &vec![1; model.vocab_size]).unwrap();
    Trainer::new(model, settings, data, device, PLENTY).await.unwrap()
}

async fn losses(trainer: &mut Trainer) -> Vec<f64> {
    while !trainer.is_finished() {
        trainer.step().await.unwrap();
    }
    trainer.reports().await.unwrap().iter().map(|report| report.loss).collect()
}

fn close(what: &str, expected: f64, found: f64) {
    // Written so that NaN fails.
    assert!((expected - found).abs() <= ROUNDING * expected.abs().max(1.0), "{what}: CPU {expected}, GPU {found}");
}

#[wasm_bindgen_test]
async fn a_model_learns_as_on_the_cpu() {
    let mut expected = trainer(cpu()).await;
    let mut found = trainer(Device::Gpu(device().await)).await;
    let (cpu_losses, gpu_losses) = (losses(&mut expected).await, losses(&mut found).await);
    assert_eq!((cpu_losses.len(), gpu_losses.len()), (10, 10));
    for (step, (&cpu, &gpu)) in cpu_losses.iter().zip(&gpu_losses).enumerate() {
        close(&format!("loss {step}"), cpu, gpu);
    }
    assert!(cpu_losses[9] < cpu_losses[0], "{cpu_losses:?}");
    let (cpu, gpu) =
        (expected.evaluate(Split::Val).await.unwrap().loss, found.evaluate(Split::Val).await.unwrap().loss);
    close("validation loss", cpu, gpu);
}

/// What a model writes, and its logits here and there.
async fn text(weights: &Weights, precision: Precision, device: Device) -> (Vec<u32>, Vec<f32>) {
    let mut generator = Generator::new(&micro().0, weights, precision, device, PLENTY).await.unwrap();
    generator.start(&[1, 4, 9, 5, 3]).unwrap();
    let (mut ids, mut logits) = (Vec::new(), Vec::new());
    // More than the context of 8: prefills and single tokens.
    for count in [1, 4, 15] {
        logits.extend_from_slice(generator.logits().await.unwrap());
        ids.extend(generator.generate(&SamplerConfig::default(), count).await.unwrap());
    }
    (ids, logits)
}

#[wasm_bindgen_test]
async fn a_model_writes_as_on_the_cpu() {
    let mut trainer = trainer(cpu()).await;
    losses(&mut trainer).await;
    let weights = trainer.weights().await.unwrap();
    for precision in Precision::ALL {
        let (expected, cpu_logits) = text(&weights, precision, cpu()).await;
        let (found, gpu_logits) = text(&weights, precision, Device::Gpu(device().await)).await;
        for (cpu, gpu) in cpu_logits.iter().zip(&gpu_logits) {
            close("logit", f64::from(*cpu), f64::from(*gpu));
        }
        assert_eq!(expected, found, "{precision:?}");
    }
}

#[wasm_bindgen_test]
async fn a_lost_device_is_an_error_wherever_it_is_used_next() {
    let device = GpuDevice::request().await.unwrap();
    let (program, _, dx) = dropout();
    let mut engine = Engine::gpu(program, &device).await.unwrap();
    engine.replay(Pass::Forward, &Step::default());
    engine.read(dx).await.unwrap();
    device.destroy();
    engine.replay(Pass::Forward, &Step::default());
    let error = engine.read(dx).await.unwrap_err();
    assert!(matches!(error, Error::Gpu(GpuError::Lost(_))), "{error}");
    let error = Engine::gpu(dropout().0, &device).await.unwrap_err();
    assert!(matches!(error, Error::Gpu(GpuError::Lost(_))), "{error}");
    // Work goes on with a new device.
    let mut engine = Engine::gpu(dropout().0, &GpuDevice::request().await.unwrap()).await.unwrap();
    engine.replay(Pass::Forward, &Step::default());
    engine.read(dx).await.unwrap();
}

#[wasm_bindgen_test]
async fn a_browser_without_webgpu_is_told_apart() {
    // Tests run one after the other: none sees the worker without it.
    js_sys::eval("Object.defineProperty(navigator, 'gpu', { value: undefined, configurable: true })").unwrap();
    let result = GpuDevice::request().await;
    js_sys::eval("delete navigator.gpu").unwrap();
    assert!(matches!(result, Err(Error::Gpu(GpuError::NoAdapter(_)))), "{result:?}");
    GpuDevice::request().await.expect("it is back");
}

#[wasm_bindgen_test]
async fn ops_are_timed() {
    let mut engine = Engine::gpu(dropout().0, &device().await).await.unwrap();
    let seconds = engine.replay_timed(Pass::Forward, &Step::default()).await.unwrap();
    assert!(matches!(seconds[..], [seconds] if (0.0..60.0).contains(&seconds)), "{seconds:?}");
}

#[wasm_bindgen_test]
async fn a_tensor_beyond_the_limits_is_refused_with_its_name() {
    let mut program = Program::new(vec![], Training::No);
    // Address space only: nothing of it is allocated before it is refused.
    program.tensor("huge", &[1 << 29]);
    let error = Engine::gpu(program, &device().await).await.unwrap_err();
    assert!(matches!(&error, Error::Gpu(GpuError::Limit { what, .. }) if what.contains("huge")), "{error}");
}
