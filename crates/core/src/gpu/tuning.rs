//! Which tile is best for a product, measured once per shape on the device that will run it, and kept.
//!
//! A program's products are known when it is loaded. Those without a measurement are run with every candidate in a program of their
//! own, on the device's clock, and the fastest is remembered: by the device for later programs, and as JSON by whoever
//! wants to keep it. The results of all candidates are the same up to rounding. One engine never changes its choice.

use std::collections::BTreeMap;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::device::{AdapterReport, GpuDevice};
use super::dispatch::Kernels;
use super::engine::Gpu;
use super::product::{Choice, Layout, MAX_SPLITS, Product, Tile};
use super::shader;
use crate::error::{Error, GpuError, Result};
use crate::memory::Memory;
use crate::ops::linear::{Epilogue, Linear, LinearBackwardInput, LinearBackwardWeight, Sizes};
use crate::order;
use crate::program::{DType, Op, Pass, Program, Tensor, Training};
use crate::step::Step;

/// Replays of every candidate that count, after one that does not: it finds the clock still rising and the caches cold.
const RUNS: usize = 5;
/// Of those, how many of the fastest count: others on the same GPU only ever slow one down.
const FASTEST: usize = 3;
/// A candidate must beat the default by so much: a tie that chance decides would make runs differ without need.
const MARGIN: f64 = 0.95;
/// And by more seconds than the clock can be wrong: browsers round a GPU's clock to 0.1 ms.
const RESOLUTION: f64 = if cfg!(target_family = "wasm") { 1e-4 } else { 0.0 };
/// Products larger than this are measured on fewer rows: 4 GFLOP take a millisecond on a small GPU and fill a large one.
const PROBE_FLOPS: u64 = 4_000_000_000;
/// But not on fewer than this.
const PROBE_ROWS: usize = 512;

/// What was measured on an adapter. Serializable, to be kept between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// Fingerprint of the kernels.
    kernels: u32,
    /// Name, driver and interface of the adapter.
    adapter: String,
    /// The best way of each product, by [`Product`]'s text.
    choices: BTreeMap<String, Choice>,
}

impl Tuning {
    /// Nothing known yet of this adapter.
    pub fn new(adapter: &AdapterReport) -> Self {
        let AdapterReport { name, driver, backend, .. } = adapter;
        Self { kernels: fingerprint(), adapter: format!("{name}, {driver}, {backend}"), choices: BTreeMap::new() }
    }

    /// What is known of a product. A choice that is none of its candidates is not known: some ways of one product are wrong for
    /// another, and what was read from a file may hold anything.
    pub fn get(&self, product: &Product) -> Option<Choice> {
        self.choices.get(&product.to_string()).copied().filter(|choice| product.candidates().contains(choice))
    }

    /// Notes the best way of a product.
    pub fn insert(&mut self, product: &Product, choice: Choice) {
        self.choices.insert(product.to_string(), choice);
    }

    /// Products that are known.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }
}

/// FNV-1a of the shader and the tiles: measurements of other kernels say nothing.
fn fingerprint() -> u32 {
    let text = shader::LINEAR.module(&[]) + &format!("{:?}", Tile::ALL.map(Tile::shape));
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl GpuDevice {
    /// What has been measured so far, to be kept for [`Self::set_tuning`].
    pub fn tuning(&self) -> Tuning {
        self.0.tuning.lock().expect("nobody panics while holding this").clone()
    }

    /// Adds what was measured earlier. `false`, and nothing happens, when that was on another adapter or driver, of other
    /// kernels, or is nothing that this program writes.
    pub fn set_tuning(&self, tuning: Tuning) -> bool {
        let mut known = self.0.tuning.lock().expect("nobody panics while holding this");
        let valid = tuning.choices.values().all(|choice| (1..=MAX_SPLITS).contains(&choice.splits));
        let accepted = valid && tuning.kernels == known.kernels && tuning.adapter == known.adapter;
        if accepted {
            known.choices.extend(tuning.choices);
        }
        accepted
    }

    /// Measures those of the products that have not been yet, and says how many that were. Programs loaded on hardware with a clock of
    /// its own do it by themselves; a software adapter is too slow for it to pay, and a clock outside sees milliseconds of other things.
    ///
    /// # Errors
    /// What went wrong on the device. Too little memory is no error: the defaults remain.
    pub async fn measure(&self, products: &[Product]) -> Result<usize> {
        let known = self.tuning();
        let missing: Vec<Product> = products.iter().filter(|p| known.get(p).is_none()).copied().collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let choices = match fastest(self, &missing).await {
            Ok(choices) => choices,
            Err(Error::Gpu(GpuError::OutOfMemory(_) | GpuError::Limit { .. })) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut known = self.0.tuning.lock().expect("nobody panics while holding this");
        for (product, choice) in missing.iter().zip(choices) {
            known.insert(product, choice);
        }
        Ok(missing.len())
    }
}

/// The fastest way of each product. Boxed, because loading a program measures, and measuring loads a program.
fn fastest<'a>(
    device: &'a GpuDevice,
    products: &'a [Product],
) -> Pin<Box<dyn Future<Output = Result<Vec<Choice>>> + 'a>> {
    Box::pin(async move {
        let mut program = Program::new(vec![], Training::No);
        for product in products {
            product.candidates().into_iter().for_each(|choice| push_probe(&mut program, product, choice));
        }
        let gpu = Gpu::load(program, device).await?;
        let step = Step::default();
        gpu.replay_timed(Pass::Forward, &step).await?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(gpu.replay_timed(Pass::Forward, &step).await?);
        }
        let mut op = 0;
        let mut seconds = || {
            let mut times: Vec<f64> = runs.iter().map(|run| run[op]).collect();
            order::sort_by(&mut times, f64::total_cmp);
            op += 1;
            times[..FASTEST].iter().sum::<f64>()
        };
        let best = |product: &Product| {
            let times: Vec<(Choice, f64)> = product.candidates().into_iter().map(|c| (c, seconds())).collect();
            let &(default, limit) = times.first()?;
            let wins = |time: f64| time < MARGIN * limit - FASTEST as f64 * RESOLUTION;
            let faster = times.iter().filter(|(_, time)| wins(*time)).min_by(|a, b| a.1.total_cmp(&b.1));
            Some(faster.map_or(default, |&(choice, _)| choice))
        };
        Ok(products.iter().filter_map(best).collect())
    })
}

/// Records a product, run in one way. Products share their tensors: what is in them does not matter.
fn push_probe(p: &mut Program, product: &Product, choice: Choice) {
    let Product { layout, sizes, types: [a, b, c] } = *product;
    let Sizes { rows, outputs, inputs } = sizes;
    let per_row = 2 * (outputs * inputs) as u64;
    let enough = usize::try_from(PROBE_FLOPS / per_row).map_or(PROBE_ROWS, |n| n.max(PROBE_ROWS));
    let rows = rows.min(enough);
    let sizes = Sizes { rows, ..sizes };
    let mut tensor = |role: &str, dtype: DType, shape: [usize; 2]| -> Tensor {
        let name = format!("{role} {} {}x{}", dtype.wgsl(), shape[0], shape[1]);
        p.find(&name).unwrap_or_else(|| p.tensor_of(dtype, &name, &shape))
    };
    match layout {
        Layout::Forward => {
            let x = tensor("a", a, [rows, inputs]);
            let weight = tensor("b", b, [outputs, inputs]);
            let y = tensor("c", c, [rows, outputs]);
            let op = Linear { x, weight, bias: None, y, epilogue: Epilogue::None, sizes };
            p.push(Pass::Forward, Forced { op, choice });
        }
        Layout::BackwardInput => {
            let dy = tensor("a", a, [rows, outputs]);
            let weight = tensor("b", b, [outputs, inputs]);
            let dx = tensor("c", c, [rows, inputs]);
            let op = LinearBackwardInput { dy, weight, dx, slope: None, sizes };
            p.push(Pass::Forward, Forced { op, choice });
        }
        Layout::BackwardWeight => {
            let dy = tensor("a", a, [rows, outputs]);
            let x = tensor("b", b, [rows, inputs]);
            let dweight = tensor("c", c, [outputs, inputs]);
            let op = LinearBackwardWeight { dy, x, dweight, dbias: None, sizes };
            p.push(Pass::Forward, Forced { op, choice });
        }
    }
}

/// An op whose product is run in a given way.
#[derive(Debug)]
pub struct Forced<O> {
    /// The op.
    pub op: O,
    /// The way.
    pub choice: Choice,
}

impl<O: Op> Op for Forced<O> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn flops(&self) -> u64 {
        self.op.flops()
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        self.op.cpu(mem, step);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        kernels.force(self.choice);
        self.op.gpu(kernels);
    }
}
