//! Every GPU kernel against its CPU twin, on whatever adapter there is (lavapipe in CI).
//!
//! A [`Case`] is a recorded op with values for its inputs. Both engines get the same inputs, and NaN in everything else, so that an
//! element which a kernel leaves unwritten, or reads before it was written, is seen.
//!
//! Without an adapter these tests say that they were skipped; with `INKLING_REQUIRE_GPU` set they fail.

mod constants;
mod failures;
mod generation;
mod lowering;
mod model;
mod ops;
mod shaders;
mod tuning;
#[path = "../common/variants.rs"]
mod variants;

use std::collections::HashMap;
use std::sync::OnceLock;

use inkling_core::Engine;
use inkling_core::cpu::Pool;
use inkling_core::gpu::GpuDevice;
use inkling_core::program::{DType, Pass, Program, Tensor};
use inkling_core::rng::{Site, Stream};
use inkling_core::step::Step;

/// Waits for a future.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// The one device of this binary (drivers have deadlocked on devices made and dropped side by side). `None`: the test is skipped.
pub fn device() -> Option<GpuDevice> {
    static DEVICE: OnceLock<Option<GpuDevice>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| match wait(GpuDevice::request()) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("INKLING_REQUIRE_GPU").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    });
    device.clone()
}

/// `len` standard normal numbers.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let stream = Stream::new(78, seed, Site(1000));
    (0..len as u32).map(|i| stream.normal(i)).collect()
}

/// `len` ids below `n`.
pub fn ids(len: usize, n: u32, seed: u32) -> Vec<u32> {
    let stream = Stream::new(79, seed, Site(1000));
    (0..len as u32).map(|i| stream.below(i, n)).collect()
}

/// How far the engines may differ.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of the size of the values.
    pub relative: f32,
    /// Of the root mean square of the tensor, for values near zero.
    pub of_rms: f32,
}

/// Sums of float32 in another order: some 20 roundings apart.
pub const F32: Tolerance = Tolerance { relative: 2e-6, of_rms: 2e-6 };
/// Results stored as float16.
pub const F16: Tolerance = Tolerance { relative: 2e-3, of_rms: 2e-3 };

/// A recorded op with its inputs.
pub struct Case {
    /// For messages.
    pub name: String,
    /// With the op in `Pass::Forward`.
    pub program: Program,
    /// Inputs (and what accumulates).
    pub inputs: Vec<(Tensor, Vec<f32>)>,
    /// Inputs of ids.
    pub ids: Vec<(Tensor, Vec<u32>)>,
    /// What to compare.
    pub outputs: Vec<Tensor>,
    /// The step.
    pub step: Step,
    /// How close.
    pub tolerance: Tolerance,
}

impl Case {
    /// A case without inputs and outputs yet.
    pub fn new(name: impl Into<String>, program: Program) -> Self {
        Self {
            name: name.into(),
            program,
            inputs: vec![],
            ids: vec![],
            outputs: vec![],
            step: Step::default(),
            tolerance: F32,
        }
    }

    /// Adds an input of random values.
    pub fn noise(mut self, tensor: Tensor) -> Self {
        let len = self.program.shape(tensor).iter().product();
        let values = noise(len, self.inputs.len() as u32);
        // What a GPU stores as float16 is the same on both sides from the start.
        let half = self.program.dtype(tensor) == DType::F16;
        let round = |x: f32| if half { half::f16::from_f32(x).to_f32() } else { x };
        self.inputs.push((tensor, values.into_iter().map(round).collect()));
        self
    }

    /// Adds an input.
    pub fn input(mut self, tensor: Tensor, values: Vec<f32>) -> Self {
        self.inputs.push((tensor, values));
        self
    }

    /// Adds an input of ids.
    pub fn ids(mut self, tensor: Tensor, values: Vec<u32>) -> Self {
        self.ids.push((tensor, values));
        self
    }

    /// Adds an output.
    pub fn output(mut self, tensor: Tensor) -> Self {
        self.outputs.push(tensor);
        self
    }

    /// Sets the step.
    pub fn step(mut self, step: Step) -> Self {
        self.step = step;
        self
    }

    /// Sets how close the engines must be.
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Runs both engines twice each and compares.
    pub fn check(self) {
        let Some(device) = device() else { return };
        let Self { name, program, inputs, ids, outputs, step, tolerance } = self;
        let names: HashMap<Tensor, String> = outputs.iter().map(|&t| (t, program.name(t).to_owned())).collect();
        let given: Vec<Tensor> = inputs.iter().map(|(t, _)| *t).chain(ids.iter().map(|(t, _)| *t)).collect();
        let mut cpu = Engine::cpu(program, Pool::new(1));
        let poison = |engine: &mut Engine| {
            for &output in outputs.iter().filter(|t| !given.contains(t)) {
                let len = engine.program().shape(output).iter().product();
                engine.write(output, &vec![f32::NAN; len]);
            }
            for (tensor, values) in &inputs {
                engine.write(*tensor, values);
            }
            for (tensor, values) in &ids {
                engine.write_ids(*tensor, values);
            }
        };
        poison(&mut cpu);
        cpu.replay(Pass::Forward, &step);
        let expected: Vec<_> = outputs.iter().map(|&t| wait(cpu.read(t)).unwrap()).collect();
        let Engine::Cpu(cpu) = cpu else { unreachable!() };
        let mut gpu = wait(Engine::gpu(cpu.into_program(), &device)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut first: Option<Vec<Vec<f32>>> = None;
        for _ in 0..2 {
            poison(&mut gpu);
            gpu.replay(Pass::Forward, &step);
            let found: Vec<_> =
                outputs.iter().map(|&t| wait(gpu.read(t)).unwrap_or_else(|e| panic!("{name}: {e}"))).collect();
            for ((&t, expected), found) in outputs.iter().zip(&expected).zip(&found) {
                compare(&format!("{name}: {}", names[&t]), expected, found, tolerance);
            }
            let bits = |all: &Vec<Vec<f32>>| all.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
            if let Some(first) = &first {
                assert_eq!(bits(first), bits(&found), "{name}: two runs differ");
            }
            first = Some(found);
        }
    }
}

/// Compares values that differ by rounding only.
pub fn compare(what: &str, expected: &[f32], found: &[f32], tolerance: Tolerance) {
    assert_eq!(expected.len(), found.len(), "{what}: length");
    let squares: f64 = expected.iter().map(|&x| f64::from(x).powi(2)).sum();
    let rms = (squares / expected.len() as f64).sqrt() as f32;
    assert!(rms.is_finite(), "{what}: the CPU's result is not finite");
    for (i, (&e, &f)) in expected.iter().zip(found).enumerate() {
        let allowed = tolerance.relative * e.abs() + tolerance.of_rms * rms;
        // Written so that NaN fails.
        assert!((e - f).abs() <= allowed, "{what}[{i}]: CPU {e}, GPU {f}, allowed {allowed}");
    }
}
