//! What an op asks a GPU to do, as plain data: the engine turns it into pipelines and bind groups when a program is loaded.

use super::device::Capabilities;
use super::product::{Choice, Product};
use super::shader::Shader;
use super::tuning::Tuning;
use crate::program::{DType, Program, Tensor};

/// Where a binding's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A tensor of the program.
    Tensor(Tensor),
    /// Memory that lives as long as the op's dispatches; see [`Kernels::scratch`].
    Scratch {
        /// Which of the op's.
        slot: usize,
        /// Length in floats.
        len: usize,
    },
    /// A binding that this variant of the shader never touches (an absent bias, say).
    Nothing,
}

impl From<Tensor> for Source {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<Option<Tensor>> for Source {
    fn from(tensor: Option<Tensor>) -> Self {
        tensor.map_or(Self::Nothing, Self::Tensor)
    }
}

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param {
    /// A count, a size, a flag.
    U32(u32),
    /// A real number.
    F32(f32),
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<usize> for Param {
    fn from(value: usize) -> Self {
        Self::U32(u32::try_from(value).expect("sizes fit 32 bits: a configuration has fewer parameters"))
    }
}

impl From<f32> for Param {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

/// One dispatch: an entry point with everything it is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The file.
    pub shader: Shader,
    /// The entry point.
    pub entry: &'static str,
    /// `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Memory by binding name.
    pub bindings: Vec<(&'static str, Source)>,
    /// Bindings that are written and not read.
    pub assigned: Vec<&'static str>,
    /// Fields of `Params` by name; all of them.
    pub params: Vec<(&'static str, Param)>,
    /// Workgroups in each dimension.
    pub workgroups: [u32; 3],
}

impl Dispatch {
    /// An entry point without anything.
    pub fn new(shader: Shader, entry: &'static str) -> Self {
        Self {
            shader,
            entry,
            constants: vec![],
            bindings: vec![],
            assigned: vec![],
            params: vec![],
            workgroups: [1; 3],
        }
    }

    /// Gives a binding its memory, which the kernel writes and does not read: it counts once in the bytes that an op moves.
    pub fn assign(mut self, name: &'static str, source: impl Into<Source>) -> Self {
        self.assigned.push(name);
        self.bind(name, source)
    }

    /// Gives a binding its memory.
    pub fn bind(mut self, name: &'static str, source: impl Into<Source>) -> Self {
        self.bindings.push((name, source.into()));
        self
    }

    /// Sets a parameter.
    pub fn param(mut self, name: &'static str, value: impl Into<Param>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    /// Sets an `override` constant (a flag is 0 or 1).
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// `count` workgroups in a row, folded into two dimensions where there are too many for one; `linear_workgroup` of
    /// `common.wgsl` unfolds them. There may be a few too many: the shader checks.
    pub fn linear(self, count: usize) -> Self {
        let count = count.max(1);
        let y = count.div_ceil(MAX_WORKGROUPS);
        let x = count.div_ceil(y);
        self.grid(x, y, 1)
    }

    /// So many workgroups in each dimension.
    ///
    /// # Panics
    /// Above 65,535, which no adapter has to offer: fold the grid.
    pub fn grid(mut self, x: usize, y: usize, z: usize) -> Self {
        self.workgroups = [x, y, z].map(|n| {
            assert!(
                (1..=MAX_WORKGROUPS).contains(&n),
                "{} {}: a grid of {x} × {y} × {z}",
                self.shader.name,
                self.entry
            );
            n as u32
        });
        self
    }
}

/// WebGPU's limit of a grid's dimension, the same on every adapter.
pub const MAX_WORKGROUPS: usize = 65_535;

/// Storage buffers that a kernel may bind on every adapter.
pub const STORAGE_BUFFERS: u32 = 8;

/// Collects the dispatches of an op.
#[derive(Debug)]
pub struct Kernels<'a> {
    program: &'a Program,
    capabilities: &'a Capabilities,
    tuning: Option<&'a Tuning>,
    forced: Option<Choice>,
    /// Products that were asked for and have not been measured.
    pub(crate) unmeasured: Vec<Product>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) scratch: usize,
}

impl<'a> Kernels<'a> {
    /// No dispatches yet. Matrix products are run in their default ways.
    pub fn new(program: &'a Program, capabilities: &'a Capabilities) -> Self {
        Self {
            program,
            capabilities,
            tuning: None,
            forced: None,
            unmeasured: Vec::new(),
            dispatches: Vec::new(),
            scratch: 0,
        }
    }

    /// Runs matrix products as they were measured to be fastest.
    pub fn tuned(self, tuning: &'a Tuning) -> Self {
        Self { tuning: Some(tuning), ..self }
    }

    /// Runs matrix products in this way.
    pub fn force(&mut self, choice: Choice) {
        self.forced = Some(choice);
    }

    /// How to run a product.
    pub fn choose(&mut self, product: &Product) -> Choice {
        if let Some(choice) = self.forced.or_else(|| self.tuning?.get(product)) {
            return choice;
        }
        self.unmeasured.push(*product);
        product.default_choice()
    }

    /// The recorded program, for shapes and element types.
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// What the device can do.
    pub fn capabilities(&self) -> &'a Capabilities {
        self.capabilities
    }

    /// Elements of a tensor.
    pub fn len(&self, tensor: Tensor) -> usize {
        self.program.shape(tensor).iter().product()
    }

    /// Element type of a tensor.
    pub fn dtype(&self, tensor: Tensor) -> DType {
        self.program.dtype(tensor)
    }

    /// `len` floats for this op's dispatches to pass on to each other. Its contents are lost afterwards: all ops share the memory.
    pub fn scratch(&mut self, len: usize) -> Source {
        self.scratch += 1;
        Source::Scratch { slot: self.scratch - 1, len }
    }

    /// Appends a dispatch; they run in order, each seeing what those before it wrote.
    pub fn push(&mut self, dispatch: Dispatch) {
        self.dispatches.push(dispatch);
    }

    /// What was pushed.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }
}
