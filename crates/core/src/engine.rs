//! Engines replay programs. The interface is the same for every engine, and asynchronous where one has to wait for a device.

use web_time::Instant;

use crate::cpu::Pool;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, GpuDevice, Pending};
use crate::memory::Memory;
use crate::ops::lora::Words;
use crate::parameters::{Init, ParameterSpec};
use crate::program::{Arena, Field, Frozen, Kept, Op, PackedMatrix, Pass, Program, Stored, Tensor, no_such_tensor};
use crate::rng::{Site, Stream};
use crate::step::Step;
use crate::weights::{HostTensor, Weights};

/// What a program can be loaded on.
#[derive(Debug)]
pub enum Device {
    /// All cores, SIMD.
    Cpu(Pool),
    /// An adapter of wgpu.
    Gpu(GpuDevice),
}

impl Device {
    /// Loads a program: allocates every tensor.
    ///
    /// # Errors
    /// A GPU that is too small, out of memory, or refuses a kernel.
    pub async fn load(self, program: Program) -> Result<Engine> {
        match self {
            Self::Cpu(pool) => Ok(Engine::cpu(program, pool)),
            Self::Gpu(device) => Engine::gpu(program, &device).await,
        }
    }
}

/// A loaded program.
pub enum Engine {
    /// On the processor.
    Cpu(Box<Cpu>),
    /// On a GPU.
    Gpu(Box<GpuEngine>),
}

/// What a GPU does in a pass.
#[derive(Clone, Debug)]
pub struct GpuCosts {
    /// Bytes that each op moves, at least.
    pub bytes: Vec<u64>,
    /// Dispatches of a replay.
    pub dispatches: usize,
    /// Submits of this engine until now.
    pub submits_so_far: u64,
}

/// The CPU engine.
pub struct Cpu {
    program: Program,
    memory: Memory,
}

impl Cpu {
    /// The program, to be loaded elsewhere.
    pub fn into_program(self) -> Program {
        self.program
    }
}

/// The GPU engine.
pub struct GpuEngine(Gpu);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "Engine::Cpu({:?})", cpu.memory.pool),
            Self::Gpu(gpu) => write!(f, "Engine::Gpu({})", gpu.0.device.report().name),
        }
    }
}

impl Engine {
    /// Loads a program on the CPU: allocates every tensor.
    pub fn cpu(program: Program, pool: Pool) -> Self {
        let memory = Memory::new(&program, pool);
        Self::Cpu(Box::new(Cpu { program, memory }))
    }

    /// Loads a program on a GPU: allocates every tensor, compiles every kernel.
    ///
    /// # Errors
    /// A device that is too small, out of memory, lost, or refuses a kernel.
    pub async fn gpu(program: Program, device: &GpuDevice) -> Result<Self> {
        Ok(Self::Gpu(Box::new(GpuEngine(Gpu::load(program, device).await?))))
    }

    /// The loaded program.
    pub fn program(&self) -> &Program {
        match self {
            Self::Cpu(cpu) => &cpu.program,
            Self::Gpu(gpu) => &gpu.0.program,
        }
    }

    /// Runs a pass. A GPU only takes note of it: it runs by the time that something is read, and what went wrong is told then.
    pub fn replay(&mut self, pass: Pass, step: &Step) {
        match self {
            Self::Cpu(cpu) => cpu.program.ops(pass).iter().for_each(|op| op.cpu(&cpu.memory, step)),
            Self::Gpu(gpu) => gpu.0.replay(pass, step),
        }
    }

    /// Runs a pass from op `from` on, until `enough` says so after one of them: the op to go on with, or `None` at the end. A GPU takes note of
    /// the whole pass.
    pub fn replay_some(
        &mut self,
        pass: Pass,
        step: &Step,
        from: usize,
        enough: &mut dyn FnMut() -> bool,
    ) -> Option<usize> {
        match self {
            Self::Cpu(cpu) => {
                let ops = cpu.program.ops(pass);
                for (at, op) in ops.iter().enumerate().skip(from) {
                    op.cpu(&cpu.memory, step);
                    if at + 1 < ops.len() && enough() {
                        return Some(at + 1);
                    }
                }
            }
            Self::Gpu(gpu) => gpu.0.replay(pass, step),
        }
        None
    }

    /// Sends a GPU what it has been asked to run, without waiting for it.
    pub fn submit(&mut self) {
        if let Self::Gpu(gpu) = self {
            gpu.0.flush();
        }
    }

    /// Runs a pass and measures the seconds of each op, on the GPU's own clock where it has one.
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn replay_timed(&mut self, pass: Pass, step: &Step) -> Result<Vec<f64>> {
        match self {
            Self::Cpu(cpu) => {
                let time = |op: &dyn Op| {
                    let started = Instant::now();
                    op.cpu(&cpu.memory, step);
                    started.elapsed().as_secs_f64()
                };
                Ok(cpu.program.ops(pass).iter().map(|op| time(op.as_ref())).collect())
            }
            Self::Gpu(gpu) => gpu.0.replay_timed(pass, step).await,
        }
    }

    /// What a GPU does in a pass; `None` on the CPU.
    pub fn gpu_costs(&self, pass: Pass) -> Option<GpuCosts> {
        match self {
            Self::Cpu(_) => None,
            Self::Gpu(gpu) => Some(GpuCosts {
                bytes: gpu.0.traffic(pass),
                dispatches: gpu.0.dispatches(pass),
                submits_so_far: gpu.0.submits(),
            }),
        }
    }

    /// Writes a tensor.
    ///
    /// # Panics
    /// When the length differs.
    pub fn write(&mut self, tensor: Tensor, values: &[f32]) {
        match self {
            Self::Cpu(cpu) => cpu.memory.write(tensor).copy_from_slice(values),
            Self::Gpu(gpu) => gpu.0.write(tensor, bytemuck::cast_slice(values)),
        }
    }

    /// Writes token ids.
    ///
    /// # Panics
    /// When the length differs.
    pub fn write_ids(&mut self, tensor: Tensor, ids: &[u32]) {
        match self {
            Self::Cpu(cpu) => cpu.memory.write_ids(tensor).copy_from_slice(ids),
            Self::Gpu(gpu) => gpu.0.write(tensor, bytemuck::cast_slice(ids)),
        }
    }

    /// Asks for a tensor as it is now, without waiting: what is replayed afterwards does not change what [`Self::finish_read`] returns.
    pub fn start_read(&self, tensor: Tensor) -> Pending {
        match self {
            Self::Cpu(cpu) => Pending::ready(cpu.memory.read(tensor).to_vec()),
            Self::Gpu(gpu) => gpu.0.start_read(tensor),
        }
    }

    /// A read of several tensors that is waited for once, with room for so many elements; [`Self::also_read`] adds to it.
    pub fn start_reads(&self, room: usize) -> Pending {
        match self {
            Self::Cpu(_) => Pending::ready(Vec::with_capacity(room)),
            Self::Gpu(gpu) => gpu.0.start_reads(room),
        }
    }

    /// Appends a tensor as it is now to what is read: the same one again after another replay, say.
    ///
    /// # Panics
    /// When there is no room for it, or the read is another engine's of a GPU.
    pub fn also_read(&self, pending: &mut Pending, tensor: Tensor) {
        match self {
            Self::Cpu(cpu) => pending.append(&cpu.memory.read(tensor)),
            Self::Gpu(gpu) => gpu.0.also_read(pending, tensor),
        }
    }

    /// Waits for what was asked for.
    ///
    /// # Errors
    /// What went wrong on a GPU since the last read.
    ///
    /// # Panics
    /// When that was another engine of a GPU.
    pub async fn finish_read(&self, pending: Pending) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(_) => pending.wait().await,
            Self::Gpu(gpu) => gpu.0.finish_read(pending).await,
        }
    }

    /// Reads a tensor into `out`, whose old contents are dropped.
    ///
    /// # Errors
    /// What went wrong on a GPU since the last read.
    pub async fn read_into(&self, tensor: Tensor, out: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Cpu(cpu) => {
                out.clear();
                out.extend_from_slice(&cpu.memory.read(tensor));
            }
            Self::Gpu(_) => *out = self.read(tensor).await?,
        }
        Ok(())
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// What went wrong on a GPU since the last read.
    pub async fn read(&self, tensor: Tensor) -> Result<Vec<f32>> {
        self.finish_read(self.start_read(tensor)).await
    }

    /// Reads token ids.
    ///
    /// # Errors
    /// What went wrong on a GPU since the last read.
    pub async fn read_ids(&self, tensor: Tensor) -> Result<Vec<u32>> {
        Ok(self.read(tensor).await?.into_iter().map(f32::to_bits).collect())
    }

    /// Reads a tensor by its name, `h.3.attn.probs` say.
    ///
    /// # Errors
    /// When the program has none of that name.
    pub async fn read_named(&self, name: &str) -> Result<HostTensor> {
        let tensor = self.program().find(name).ok_or_else(|| no_such_tensor(name))?;
        Ok(HostTensor { shape: self.program().shape(tensor).to_vec(), data: self.read(tensor).await? })
    }

    /// Draws every parameter's initial value. Each depends on the seed and its own name only.
    pub fn initialize(&mut self, seed: u64) {
        let specs: Vec<_> = self.program().parameters().cloned().collect();
        for spec in specs {
            let n = spec.numel();
            let values: Vec<f32> = match spec.init {
                Init::Zeros => vec![0.0; n],
                Init::Ones => vec![1.0; n],
                Init::Normal(std) => {
                    let stream = Stream::new(seed, 0, Site::parameter(&spec.name));
                    (0..n as u32).map(|i| std * stream.normal(i)).collect()
                }
                Init::Uniform(bound) => {
                    let stream = Stream::new(seed, 0, Site::parameter(&spec.name));
                    (0..n as u32).map(|i| bound * (2.0 * stream.uniform(i) - 1.0)).collect()
                }
            };
            let tensor = self.program().parameter(&spec.name).value;
            self.write(tensor, &values);
        }
    }

    fn field(&self, name: &str, field: Field) -> Tensor {
        self.program().find(&format!("{name}{}", field.suffix())).expect("the program has this field")
    }

    /// Copies a field of every parameter over another.
    pub fn copy(&mut self, from: Field, to: Field) {
        for arena in [Arena::Matrices, Arena::Vectors] {
            let (from, to) = (self.program().arena(arena, from), self.program().arena(arena, to));
            match self {
                Self::Cpu(cpu) => cpu.memory.write(to).copy_from_slice(&cpu.memory.read(from)),
                Self::Gpu(gpu) => gpu.0.copy(from, to),
            }
        }
    }

    /// Sets a field of every parameter.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(&mut self, field: Field, weights: &Weights) -> Result<()> {
        let specs: Vec<_> = self.program().parameters().cloned().collect();
        for spec in specs {
            let tensor = of_spec(weights, &spec)?;
            let target = self.field(&spec.name, field);
            self.write(target, &tensor.data);
        }
        Ok(())
    }

    /// Sets every frozen parameter; matrices are rounded as they are stored.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_frozen(&mut self, weights: &Weights) -> Result<()> {
        for Frozen { spec, kept } in self.program().frozen().to_vec() {
            let tensor = of_spec(weights, &spec)?;
            match kept {
                Kept::Full(target) => self.write(target, &tensor.data),
                Kept::Packed(PackedMatrix { stored, inputs, .. }) => {
                    let words = Words::pack(stored.format(), inputs, &tensor.data);
                    match stored {
                        Stored::Half(halves) => self.write_ids(halves, &words.codes),
                        Stored::Q4 { codes, scales } => {
                            self.write_ids(codes, &words.codes);
                            self.write_ids(scales, &words.scales);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Every frozen parameter, matrices as they were rounded.
    ///
    /// # Errors
    /// What went wrong on a GPU since the last read.
    pub async fn save_frozen(&self) -> Result<Weights> {
        let mut weights = Weights::new();
        for Frozen { spec, kept } in self.program().frozen() {
            let shape = spec.shape.clone();
            let tensor = match *kept {
                Kept::Full(tensor) => HostTensor { shape, data: self.read(tensor).await? },
                Kept::Packed(PackedMatrix { stored, .. }) => {
                    let (codes, scales) = match stored {
                        Stored::Half(halves) => (self.read_ids(halves).await?, vec![]),
                        Stored::Q4 { codes, scales } => (self.read_ids(codes).await?, self.read_ids(scales).await?),
                    };
                    Words { format: stored.format(), codes, scales }.unpack(shape)
                }
            };
            weights.insert(spec.name.clone(), tensor);
        }
        Ok(weights)
    }

    /// A field of every parameter.
    ///
    /// # Errors
    /// What went wrong on a GPU since the last read.
    pub async fn save(&self, field: Field) -> Result<Weights> {
        let specs: Vec<_> = self.program().parameters().collect();
        let pending: Vec<_> = specs.iter().map(|spec| self.start_read(self.field(&spec.name, field))).collect();
        let mut weights = Weights::new();
        for (spec, pending) in specs.into_iter().zip(pending) {
            let data = self.finish_read(pending).await?;
            weights.insert(spec.name.clone(), HostTensor { shape: spec.shape.clone(), data });
        }
        Ok(weights)
    }

    /// Exchanges two fields of every parameter: values and their moving average, to evaluate the latter.
    pub fn swap(&mut self, a: Field, b: Field) {
        for arena in [Arena::Matrices, Arena::Vectors] {
            let (a, b) = (self.program().arena(arena, a), self.program().arena(arena, b));
            match self {
                Self::Cpu(cpu) => cpu.memory.write(a).swap_with_slice(&mut cpu.memory.write(b)),
                Self::Gpu(gpu) => gpu.0.swap(a, b),
            }
        }
    }
}

/// The tensor of a parameter.
fn of_spec<'a>(weights: &'a Weights, spec: &ParameterSpec) -> Result<&'a HostTensor> {
    let name = &spec.name;
    let tensor = weights.get(name).ok_or_else(|| Error::Config(format!("the weights have no tensor `{name}`")))?;
    if tensor.shape != spec.shape {
        return Err(Error::Config(format!("`{name}` has shape {:?}, the model's is {:?}", tensor.shape, spec.shape)));
    }
    Ok(tensor)
}
