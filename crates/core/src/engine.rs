//! Engines replay programs. The interface is the same for every engine, and asynchronous where one has to wait for a device.

use crate::cpu::Pool;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::parameters::Init;
use crate::program::{Arena, Field, Pass, Program, Tensor, no_such_tensor};
use crate::rng::{Site, Stream};
use crate::step::Step;
use crate::weights::{HostTensor, Weights};

/// A program loaded on a machine's compute unit.
pub enum Engine {
    /// All cores, SIMD.
    Cpu(Box<Cpu>),
}

/// The CPU engine.
pub struct Cpu {
    program: Program,
    memory: Memory,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine::Cpu({:?})", self.memory().pool)
    }
}

impl Engine {
    /// Loads a program on the CPU: allocates every tensor.
    pub fn cpu(program: Program, pool: Pool) -> Self {
        let memory = Memory::new(&program, pool);
        Self::Cpu(Box::new(Cpu { program, memory }))
    }

    /// The loaded program.
    pub fn program(&self) -> &Program {
        let Self::Cpu(cpu) = self;
        &cpu.program
    }

    fn memory(&self) -> &Memory {
        let Self::Cpu(cpu) = self;
        &cpu.memory
    }

    /// Runs a pass.
    pub fn replay(&mut self, pass: Pass, step: &Step) {
        let Self::Cpu(cpu) = self;
        for op in cpu.program.ops(pass) {
            op.cpu(&cpu.memory, step);
        }
    }

    /// Runs a pass and reports each op's seconds to `report`.
    pub fn replay_timed(
        &mut self,
        pass: Pass,
        step: &Step,
        clock: impl Fn() -> f64,
        mut report: impl FnMut(usize, f64),
    ) {
        let Self::Cpu(cpu) = self;
        for (i, op) in cpu.program.ops(pass).iter().enumerate() {
            let start = clock();
            op.cpu(&cpu.memory, step);
            report(i, clock() - start);
        }
    }

    /// Writes a tensor.
    ///
    /// # Panics
    /// When the length differs.
    pub fn write(&mut self, tensor: Tensor, values: &[f32]) {
        self.memory().write(tensor).copy_from_slice(values);
    }

    /// Writes token ids.
    ///
    /// # Panics
    /// When the length differs.
    pub fn write_ids(&mut self, tensor: Tensor, ids: &[u32]) {
        self.memory().write_ids(tensor).copy_from_slice(ids);
    }

    /// Reads a tensor into `out`, whose old contents are dropped.
    pub async fn read_into(&self, tensor: Tensor, out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(&self.memory().read(tensor));
    }

    /// Reads a tensor.
    pub async fn read(&self, tensor: Tensor) -> Vec<f32> {
        let mut out = Vec::new();
        self.read_into(tensor, &mut out).await;
        out
    }

    /// Reads a tensor by its name, `h.3.attn.probs` say.
    ///
    /// # Errors
    /// When the program has none of that name.
    pub async fn read_named(&self, name: &str) -> Result<HostTensor> {
        let tensor = self.program().find(name).ok_or_else(|| no_such_tensor(name))?;
        Ok(HostTensor { shape: self.program().shape(tensor).to_vec(), data: self.read(tensor).await })
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
            };
            let tensor = self.program().parameter(&spec.name).value;
            self.write(tensor, &values);
        }
    }

    fn field(&self, name: &str, field: Field) -> Tensor {
        self.program().find(&format!("{name}{}", field.suffix())).expect("the program has this field")
    }

    /// Copies a field of every parameter over another.
    pub async fn copy(&mut self, from: Field, to: Field) {
        for arena in [Arena::Matrices, Arena::Vectors] {
            let values = self.read(self.program().arena(arena, from)).await;
            self.write(self.program().arena(arena, to), &values);
        }
    }

    /// Sets a field of every parameter.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(&mut self, field: Field, weights: &Weights) -> Result<()> {
        let specs: Vec<_> = self.program().parameters().cloned().collect();
        for spec in specs {
            let Some(tensor) = weights.get(&spec.name) else {
                return Err(Error::Config(format!("the weights have no tensor `{}`", spec.name)));
            };
            if tensor.shape != spec.shape {
                return Err(Error::Config(format!(
                    "`{}` has shape {:?}, the model's is {:?}",
                    spec.name, tensor.shape, spec.shape
                )));
            }
            let target = self.field(&spec.name, field);
            self.write(target, &tensor.data);
        }
        Ok(())
    }

    /// A field of every parameter.
    pub async fn save(&self, field: Field) -> Weights {
        let mut weights = Weights::new();
        for spec in self.program().parameters() {
            let data = self.read(self.field(&spec.name, field)).await;
            weights.insert(spec.name.clone(), HostTensor { shape: spec.shape.clone(), data });
        }
        weights
    }

    /// Exchanges two fields of every parameter: values and their moving average, to evaluate the latter.
    pub async fn swap(&mut self, a: Field, b: Field) {
        for arena in [Arena::Matrices, Arena::Vectors] {
            let (a, b) = (self.program().arena(arena, a), self.program().arena(arena, b));
            let (old_a, old_b) = (self.read(a).await, self.read(b).await);
            self.write(a, &old_b);
            self.write(b, &old_a);
        }
    }
}
