//! What a device can do at best: the product of two large float32 matrices by Inkling's own kernel, and copying memory that fits
//! into no cache.

use std::time::Instant;

use inkling_core::cpu::Pool;
use inkling_core::cpu::gemm::{Beta, Mat, gemm};
use inkling_core::gpu::GpuDevice;
use inkling_core::gpu::device::AdapterKind;
use inkling_core::nn::projection::Projection;
use inkling_core::ops::linear::Epilogue;
use inkling_core::parameters::{Init, ParameterSpec};
use inkling_core::program::{Field, Pass, Program, Tensor, Training};
use inkling_core::rng::{Site, Stream};
use inkling_core::step::Step;
use inkling_core::{Device, Engine};

use super::repetitions::{Effort, Repetitions};
use crate::device::Processor;
use crate::error::Result;

/// Side of the CPU's matrices: far larger than any cache.
const CPU_SIZE: usize = 2048;
/// Floats that the CPU copies: 128 MiB, twice.
const CPU_COPY: usize = 32 << 20;
/// Most seconds for each of the CPU's measurements, which hardly vary.
const CPU_SECONDS: f64 = 2.0;
/// Floats that a GPU copies: 64 MiB, in two places.
const GPU_COPY: usize = 16 << 20;
/// Seconds of work that a GPU gets at once: hides what it costs to ask.
const QUEUE_SECONDS: f64 = 0.1;
/// Rounds on a GPU, of which the best counts.
const ROUNDS: usize = 4;

/// Measured peaks.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Billions of floating-point operations per second, a multiply-add being two.
    pub gflops: f64,
    /// Side of the matrices.
    pub gemm_size: usize,
    /// Billions of bytes per second, read and written.
    pub copy_gb_per_s: f64,
}

impl Peaks {
    /// Measures.
    pub async fn measure(processor: &Processor, budget: f64) -> Result<Self> {
        match processor.device() {
            Device::Cpu(pool) => Ok(Self::of_cpu(&pool, budget.min(CPU_SECONDS))),
            Device::Gpu(gpu) => Self::of_gpu(&gpu).await,
        }
    }

    fn of_cpu(pool: &Pool, budget: f64) -> Self {
        let n = CPU_SIZE;
        let matrix = noise(n * n);
        let mut product = vec![0.0; n * n];
        let product_seconds = median(budget, || {
            let (a, b) = (Mat::new(&matrix, n, n), Mat::new(&matrix, n, n));
            gemm(pool, a, b, Beta::Assign, [(&mut product[..], n)], |_, _| {});
        });
        let (from, mut to) = (vec![1.0; CPU_COPY], vec![0.0; CPU_COPY]);
        let copy_seconds = median(budget, || {
            pool.rows([(&mut to, 1)], pool.share(CPU_COPY, 4), |rows, [to]| to.copy_from_slice(&from[rows]));
        });
        Self::new(n, product_seconds, 4 * CPU_COPY, copy_seconds)
    }

    async fn of_gpu(gpu: &GpuDevice) -> Result<Self> {
        // A software adapter takes a second for what a graphics card does in a microsecond.
        let (n, copied) = match gpu.report().kind {
            AdapterKind::Discrete => (4096, GPU_COPY),
            AdapterKind::Software => (256, GPU_COPY / 4),
            AdapterKind::Integrated | AdapterKind::Virtual | AdapterKind::Unknown => (2048, GPU_COPY),
        };
        let parameter = |name: &str, shape, init| ParameterSpec { name: name.into(), shape, init };
        let weight = parameter("weight", vec![n, n], Init::Normal(1.0));
        let parameters = vec![weight, parameter("copied", vec![copied], Init::Zeros)];
        let mut program = Program::new(parameters, Training::Yes);
        let x = program.tensor("x", &[n, n]);
        let weight = program.parameter("weight");
        Projection::with(weight, None).forward(&mut program, Pass::Forward, "product", x, Epilogue::None);
        let token = program.tensor("token", &[1]);
        let mut engine = Engine::gpu(program, gpu).await?;
        engine.initialize(0);
        engine.write(x, &noise(n * n));
        let product_seconds =
            queued_seconds(&mut engine, token, |engine| engine.replay(Pass::Forward, &Step::default())).await?;
        // Two pairs in turns, so that a large cache does not hold what is copied next.
        let copy_twice = |engine: &mut Engine| {
            engine.copy(Field::Value, Field::Grad);
            engine.copy(Field::M, Field::V);
        };
        let copy_seconds = queued_seconds(&mut engine, token, copy_twice).await?;
        Ok(Self::new(n, product_seconds, 2 * 4 * (n * n + copied), copy_seconds))
    }

    fn new(gemm_size: usize, product_seconds: f64, copied_bytes: usize, copy_seconds: f64) -> Self {
        Self {
            gflops: 2.0 * (gemm_size as f64).powi(3) / product_seconds / 1e9,
            gemm_size,
            copy_gb_per_s: 2.0 * copied_bytes as f64 / copy_seconds / 1e9,
        }
    }

    /// The least seconds for so many operations and, where they are known, bytes.
    pub fn floor(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.gflops).max(bytes as f64 / self.copy_gb_per_s) / 1e9
    }
}

/// Numbers that cost what numbers cost: a processor may be quicker, or its clock faster, on zeros.
fn noise(len: usize) -> Vec<f32> {
    let stream = Stream::new(0, 0, Site::BATCH);
    (0..len as u32).map(|i| stream.uniform(i) - 0.5).collect()
}

fn median(budget: f64, mut work: impl FnMut()) -> f64 {
    let mut times = Repetitions::new(budget, Effort::Full);
    while times.go_on() {
        let started = Instant::now();
        work();
        times.add(started);
    }
    times.median()
}

/// Seconds of a piece of work when the GPU has plenty of it: as much in a round as takes [`QUEUE_SECONDS`]. `token` is a small tensor,
/// read to know that all is done.
async fn queued_seconds(engine: &mut Engine, token: Tensor, work: impl Fn(&mut Engine)) -> Result<f64> {
    let mut best = f64::INFINITY;
    let mut count = 1;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        (0..count).for_each(|_| work(engine));
        engine.read(token).await?;
        let each = started.elapsed().as_secs_f64() / f64::from(count);
        best = best.min(each);
        count = ((QUEUE_SECONDS / each) as u32).clamp(1, 1000);
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_slower_of_computing_and_moving() {
        let peaks = Peaks { gflops: 100.0, gemm_size: 1, copy_gb_per_s: 10.0 };
        assert_eq!(peaks.floor(200_000_000_000, 0), 2.0);
        assert_eq!(peaks.floor(200_000_000_000, 30_000_000_000), 3.0);
        assert_eq!(peaks.floor(0, 0), 0.0);
    }
}
