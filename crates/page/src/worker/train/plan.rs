//! Whether a run could begin, and what it would take.

use inkling_core::ModelConfig;
use inkling_core::nn::Generation;
use inkling_core::program::{Pass, Precision, Program};
use inkling_core::train::{self, Split, TrainConfig, TrainingPrecision};

use super::crew;
use super::text::{Prepared, check_length};
use crate::protocol::Failure;
use crate::protocol::train::RunPlan;
use crate::worker::model::size;

/// The precision that samples are written in; `trainer train`'s.
pub const WRITING: Precision = Precision::Half;

/// Copies of what is trained, with its moments: of the best, of the last that was kept, and while that is written as tensors and as files.
const COPIES: u64 = 3 * 4;

/// Bytes of copies of a model's numbers.
fn copies(parameters: u64) -> u64 {
    COPIES * 4 * parameters
}

/// Fails where the browser does not give what a run takes of its memory, before anything is made that a failure would leave half done.
///
/// # Errors
/// How much is needed.
pub fn reserve(plan: &RunPlan, on_gpu: bool) -> Result<(), Failure> {
    let bytes = if on_gpu { copies(plan.parameters) } else { plan.memory_bytes };
    let mut room = Vec::<u8>::new();
    let given = usize::try_from(bytes).is_ok_and(|bytes| room.try_reserve_exact(bytes).is_ok());
    // Or the compiler leaves out what is never used.
    std::hint::black_box(&mut room);
    if given {
        return Ok(());
    }
    Err(Failure::memory(format!(
        "This run takes {} of memory, which the browser does not give: choose a smaller batch, context or model, or close another run.",
        size(bytes)
    )))
}

/// What training takes.
///
/// # Errors
/// A setting that is out of range, by its name; a text too short; more memory than `room` bytes.
pub fn plan(
    model: &ModelConfig,
    settings: &TrainConfig,
    prepared: &Prepared,
    on_gpu: bool,
    threads: usize,
    room: u64,
) -> Result<RunPlan, Failure> {
    model.validate()?;
    settings.validate()?;
    check_length(&prepared.data, model.n_positions)?;
    if settings.precision == TrainingPrecision::F16 && !on_gpu {
        return Err(Failure::input(
            "precision is f16, which is for graphics cards: the CPU engine computes in float32. Choose f32.",
        ));
    }
    // Sizes beyond all bounds are not recorded.
    train::check_sizes(model, settings, room)?;
    let (training, ..) = train::record(model, settings)?;
    let (writing, _) = Generation::record(model, WRITING)?;
    let bytes = |program: &Program| if on_gpu { program.gpu_memory_bytes() } else { program.memory_bytes() };
    let parameters = model.num_parameters();
    let memory_bytes = bytes(&training) + bytes(&writing) + copies(parameters);
    inkling_core::error::check_memory(memory_bytes, room)?;
    let accumulation = settings.gradient_accumulation_steps as f64;
    let flops = |pass| training.flops(pass) as f64;
    let [train, val] = [Split::Train, Split::Val].map(|split| prepared.data.split(split).len());
    let flops_per_step = accumulation * (flops(Pass::Forward) + flops(Pass::Backward)) + flops(Pass::Update);
    let tokens_per_step = (settings.batch_size * settings.gradient_accumulation_steps * model.n_positions) as u64;
    let replicas = if on_gpu { 1 } else { crew::replicas(threads, settings, tokens_per_step, flops_per_step) };
    let replica_bytes = if replicas > 1 { crew::memory_bytes(model, settings, replicas)? } else { 0 };
    Ok(RunPlan {
        vocab_size: model.vocab_size,
        tokens: (train, val),
        parameters,
        tokens_per_step,
        flops_per_step,
        memory_bytes,
        replicas,
        replica_bytes,
    })
}
