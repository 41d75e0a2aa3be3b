//! A recorded model: named tensors and, per pass, the ordered list of operations on them.
//!
//! Recording happens once, for a fixed batch and context; an engine then replays. A mistake in shapes panics while
//! recording, naming the operation and both shapes: it is a bug in Inkling, never the user's.

mod frozen;

use std::collections::HashMap;

pub(crate) use frozen::{Frozen, Kept};
pub use frozen::{LowRank, PackedMatrix, Stored};

use crate::error::{Error, Result};
use crate::gpu::Kernels;
use crate::memory::Memory;
use crate::parameters::ParameterSpec;
use crate::step::Step;

/// A handle on a tensor of a [`Program`]. `Copy`: weight tying is the same handle used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tensor(pub(crate) u32);

/// A parameter: its value and its gradient (which accumulates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The value.
    pub value: Tensor,
    /// `∂loss/∂value`, summed over the micro-batches since it was last zeroed; `None` where it is frozen or nothing trains.
    pub grad: Option<Tensor>,
    /// What matrix products read: the value, or its float16 copy in a program of mixed precision.
    pub operand: Tensor,
}

/// The lists of operations that can be replayed separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Tokens to logits and losses.
    Forward,
    /// Losses to parameter gradients, added to what is there.
    Backward,
    /// Clipping and AdamW, then gradients to zero.
    Update,
    /// What is derived from the weights (float16 copies, codes), once after they were loaded or exchanged.
    Load,
    /// A prompt of up to T tokens to logits and a filled KV cache.
    Prefill,
    /// One token and the KV cache to the next logits.
    Decode,
    /// Those logits to the next token, which stays where `Decode` reads it.
    Sample,
}

impl Pass {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; PASSES] =
        [Self::Forward, Self::Backward, Self::Update, Self::Load, Self::Prefill, Self::Decode, Self::Sample];
}

/// How decoding stores matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Float32, as they are.
    Full,
    /// Float16: half the memory to read per token, weights rounded to 11 bits.
    #[default]
    Half,
    /// 8 bits a weight and a scale per row: [`crate::quantize::q8`].
    Q8,
    /// 4 bits a weight of the layers and a scale per 32: [`crate::quantize::q4`]. The head, which needs more, as [`Self::Q8`].
    Q4,
}

impl Precision {
    /// All of them, the largest first.
    pub const ALL: [Self; 4] = [Self::Full, Self::Half, Self::Q8, Self::Q4];

    /// That of the head: as files store it (`checkpoint::WeightFormat` has the measurement).
    pub(crate) fn of_head(self) -> Self {
        if self == Self::Q4 { Self::Q8 } else { self }
    }
}

/// Number of passes.
const PASSES: usize = 7;

/// One operation, recorded with its tensors; forward and backward of an op are two of these side by side in one file.
pub trait Op: Send {
    /// Name for reports, in the field's terms.
    fn name(&self) -> &'static str;
    /// Floating-point operations of one replay (a multiply-add is 2), for reports; 0 where memory is the only cost.
    fn flops(&self) -> u64 {
        0
    }
    /// Replays on the CPU: a thin adapter over a pure function on slices.
    fn cpu(&self, mem: &Memory, step: &Step);
    /// Says what a GPU has to run for the same result: called once, when a program is loaded.
    fn gpu(&self, kernels: &mut Kernels<'_>);
}

/// The name alone: a program is a long list of them.
impl std::fmt::Debug for dyn Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a GPU stores a tensor's elements. The CPU engine keeps everything in float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 4 bytes.
    #[default]
    F32,
    /// 2 bytes: 11 bits of precision, at most 65,504.
    F16,
}

impl DType {
    /// Size of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// WGSL's name.
    pub fn wgsl(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The largest finite number.
    pub fn largest(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => half::f16::MAX.to_f32(),
        }
    }
}

/// The two flat parameter arenas: each has value, gradient and optimizer buffers of one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arena {
    /// Rank 2 and up: matrices and tables.
    Matrices,
    /// Biases and gains.
    Vectors,
}

/// The buffers of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Parameter values.
    Value,
    /// Gradients.
    Grad,
    /// AdamW's first moment.
    M,
    /// AdamW's second moment.
    V,
    /// Exponential moving average of the values.
    Ema,
    /// The values as float16, for matrix products: of matrices only, in a program of mixed precision.
    Half,
}

impl Field {
    /// What follows a parameter's name in the name of its tensor of this field.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Grad => ".grad",
            Self::M => ".m",
            Self::V => ".v",
            Self::Ema => ".ema",
            Self::Half => ".half",
        }
    }
}

/// What is known of a tensor when recording.
#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    pub name: String,
    pub shape: Vec<usize>,
    pub buffer: usize,
    /// In elements.
    pub offset: usize,
}

impl TensorInfo {
    pub fn numel(&self) -> usize {
        numel(&self.shape)
    }
}

/// Elements of a tensor. Saturates: whoever asks for more than can be addressed is refused by [`Program::check_memory`].
fn numel(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product: usize, &size| product.saturating_mul(size))
}

/// A parameter as recorded.
#[derive(Clone, Debug)]
pub(crate) struct RecordedParameter {
    pub spec: ParameterSpec,
    pub arena: Arena,
    pub offset: usize,
}

/// A tensor with the values that it has from the start. They are made when the program is loaded: until then nobody has checked that there
/// is memory for them, and a program stays around.
pub(crate) struct Constant {
    pub tensor: Tensor,
    pub values: Box<dyn Fn() -> Vec<f32> + Send>,
}

impl std::fmt::Debug for Constant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constant").field("tensor", &self.tensor).finish_non_exhaustive()
    }
}

/// Which fields the arenas have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// Values only.
    No,
    /// Gradients and both moments.
    Yes,
    /// Also a moving average of the values.
    WithEma,
}

/// The recorded model. See the module's documentation.
#[derive(Debug)]
pub struct Program {
    pub(crate) tensors: Vec<TensorInfo>,
    /// Index of each name in `tensors`.
    by_name: HashMap<String, u32>,
    /// Length in elements and element type of each buffer.
    pub(crate) buffers: Vec<(usize, DType)>,
    pub(crate) parameters: Vec<RecordedParameter>,
    frozen: Vec<Frozen>,
    /// Buffer of the matrices that frozen ones are unpacked to, one at a time.
    unpacked: Option<usize>,
    pub(crate) constants: Vec<Constant>,
    passes: [Vec<Box<dyn Op>>; PASSES],
    training: Training,
    activations: DType,
    loss_scaler: Option<Tensor>,
}

/// Offsets inside an arena are multiples of this many elements: 256 bytes of float16, which is what WebGPU asks of a buffer binding.
const ALIGNMENT: usize = 128;

impl Program {
    /// A program with these parameters and no operations yet.
    pub fn new(specs: Vec<ParameterSpec>, training: Training) -> Self {
        Self::with_activations(specs, training, DType::F32)
    }

    /// [`Self::new`], with activations of that type. Float16 makes a program of mixed precision: matrices have a float16
    /// copy, and where it trains, the loss has a scale.
    pub fn with_activations(specs: Vec<ParameterSpec>, training: Training, activations: DType) -> Self {
        let mut program = Self {
            tensors: Vec::new(),
            by_name: HashMap::new(),
            buffers: Vec::new(),
            parameters: Vec::new(),
            frozen: Vec::new(),
            unpacked: None,
            constants: Vec::new(),
            passes: Default::default(),
            training,
            activations,
            loss_scaler: None,
        };
        let mut lengths = [0; 2];
        for spec in specs {
            let arena = if spec.shape.len() >= 2 { Arena::Matrices } else { Arena::Vectors };
            let offset = lengths[arena as usize];
            lengths[arena as usize] += spec.numel().next_multiple_of(ALIGNMENT);
            program.parameters.push(RecordedParameter { spec, arena, offset });
        }
        for arena in [Arena::Matrices, Arena::Vectors] {
            for field in program.fields(arena) {
                let name = format!("{arena:?}.{field:?}").to_ascii_lowercase();
                let dtype = if field == Field::Half { DType::F16 } else { DType::F32 };
                program.tensor_of(dtype, &name, &[lengths[arena as usize]]);
            }
        }
        for p in program.parameters.clone() {
            for field in program.fields(p.arena) {
                let buffer = program.arena_buffer(p.arena, field);
                program.add(TensorInfo {
                    name: format!("{}{}", p.spec.name, field.suffix()),
                    shape: p.spec.shape.clone(),
                    buffer,
                    offset: p.offset,
                });
            }
        }
        if activations == DType::F16 && training != Training::No {
            program.loss_scaler = Some(program.tensor("loss_scaler", &[2]));
        }
        program
    }

    fn fields(&self, arena: Arena) -> Vec<Field> {
        let mut fields = match self.training {
            Training::No => vec![Field::Value],
            Training::Yes => vec![Field::Value, Field::Grad, Field::M, Field::V],
            Training::WithEma => vec![Field::Value, Field::Grad, Field::M, Field::V, Field::Ema],
        };
        if arena == Arena::Matrices && self.activations == DType::F16 {
            fields.push(Field::Half);
        }
        fields
    }

    fn arena_buffer(&self, arena: Arena, field: Field) -> usize {
        let at = self.fields(arena).iter().position(|&f| f == field);
        let at = at.expect("the program was recorded without this field");
        match arena {
            Arena::Matrices => at,
            Arena::Vectors => self.fields(Arena::Matrices).len() + at,
        }
    }

    /// Whether the arenas have gradients and moments.
    pub fn training(&self) -> Training {
        self.training
    }

    /// A whole arena as one flat tensor.
    ///
    /// # Panics
    /// When the program was recorded without that field.
    pub fn arena(&self, arena: Arena, field: Field) -> Tensor {
        Tensor(self.arena_buffer(arena, field) as u32)
    }

    /// The float16 copy of all matrices, in a program of mixed precision.
    pub fn half(&self) -> Option<Tensor> {
        (self.activations == DType::F16).then(|| self.arena(Arena::Matrices, Field::Half))
    }

    /// How activations are stored.
    pub fn activations(&self) -> DType {
        self.activations
    }

    /// `[2]`, in a training program of mixed precision: the factor on the loss's gradient that keeps it within float16, and
    /// the updates in a row that were clean with it.
    pub fn loss_scaler(&self) -> Option<Tensor> {
        self.loss_scaler
    }

    /// A new tensor with a buffer of its own, zeroed when loaded.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Tensor {
        self.tensor_of(DType::F32, name, shape)
    }

    /// A tensor that holds these values, row-major, whenever the program is loaded, and that no op writes: made on first use.
    ///
    /// Loading panics when there are not as many values as the shape has places.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: impl Fn() -> Vec<f32> + Send + 'static) -> Tensor {
        let tensor = self.find(name).unwrap_or_else(|| {
            let tensor = self.tensor(name, shape);
            self.constants.push(Constant { tensor, values: Box::new(values) });
            tensor
        });
        assert_eq!(self.shape(tensor), shape, "constant {name} has two shapes");
        tensor
    }

    /// [`Self::tensor`] with a choice of how a GPU stores it.
    pub fn tensor_of(&mut self, dtype: DType, name: &str, shape: &[usize]) -> Tensor {
        let buffer = self.buffers.len();
        self.buffers.push((numel(shape), dtype));
        self.add(TensorInfo { name: name.to_owned(), shape: shape.to_vec(), buffer, offset: 0 })
    }

    /// A new tensor of activations, or of their gradient, in the program's type of these.
    pub fn activation(&mut self, name: &str, shape: &[usize]) -> Tensor {
        self.tensor_of(self.activations, name, shape)
    }

    fn add(&mut self, info: TensorInfo) -> Tensor {
        let index = self.tensors.len() as u32;
        let earlier = self.by_name.insert(info.name.clone(), index);
        assert!(earlier.is_none(), "two tensors named {}", info.name);
        self.tensors.push(info);
        Tensor(index)
    }

    /// The tensor of that name, made on first use: scratch memory that all layers share.
    pub fn shared(&mut self, name: &str, shape: &[usize]) -> Tensor {
        self.shared_of(DType::F32, name, shape)
    }

    /// [`Self::activation`], made on first use: gradients that all layers share.
    pub fn shared_activation(&mut self, name: &str, shape: &[usize]) -> Tensor {
        self.shared_of(self.activations, name, shape)
    }

    /// [`Self::shared`] with a choice of how a GPU stores it.
    pub fn shared_of(&mut self, dtype: DType, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.find(name).unwrap_or_else(|| self.tensor_of(dtype, name, shape));
        assert_eq!(self.shape(tensor), shape, "shared tensor {name} has two shapes");
        tensor
    }

    /// `count` rows of a tensor from row `first` on, as a tensor: a view, the same when asked for again. All rows are the tensor itself.
    ///
    /// # Panics
    /// When the tensor has fewer rows, or the first of them lies where a GPU cannot bind it; at a multiple of 128 it always can.
    pub fn rows(&mut self, tensor: Tensor, first: usize, count: usize) -> Tensor {
        let TensorInfo { name, shape, buffer, offset } = self.tensors[tensor.0 as usize].clone();
        let end = first + count;
        assert!(end <= shape[0], "{name} has {} rows, not {end}", shape[0]);
        if count == shape[0] {
            return tensor;
        }
        let offset = offset + first * shape[1..].iter().product::<usize>();
        assert_eq!(offset % ALIGNMENT, 0, "row {first} of {name} is not aligned");
        let name = format!("{name}[{first}..{end}]");
        let shape = [&[count], &shape[1..]].concat();
        self.find(&name).unwrap_or_else(|| self.add(TensorInfo { name, shape, buffer, offset }))
    }

    /// The parameter of that name.
    ///
    /// # Panics
    /// When the configuration has no such parameter, or it is a [`PackedMatrix`].
    pub fn parameter(&self, name: &str) -> Parameter {
        let field = |field: Field| self.find(&format!("{name}{}", field.suffix()));
        let value = field(Field::Value).unwrap_or_else(|| panic!("no parameter named {name}"));
        Parameter { value, grad: field(Field::Grad), operand: field(Field::Half).unwrap_or(value) }
    }

    /// Looks a tensor up by name.
    pub fn find(&self, name: &str) -> Option<Tensor> {
        self.by_name.get(name).map(|&index| Tensor(index))
    }

    /// A tensor's name.
    pub fn name(&self, tensor: Tensor) -> &str {
        &self.tensors[tensor.0 as usize].name
    }

    /// A tensor's sizes, outermost first.
    pub fn shape(&self, tensor: Tensor) -> &[usize] {
        &self.tensors[tensor.0 as usize].shape
    }

    /// How a GPU stores a tensor.
    pub fn dtype(&self, tensor: Tensor) -> DType {
        self.buffers[self.tensors[tensor.0 as usize].buffer].1
    }

    /// Sizes of a rank-2 tensor.
    ///
    /// # Panics
    /// When the tensor has another rank.
    pub fn matrix(&self, tensor: Tensor) -> (usize, usize) {
        match *self.shape(tensor) {
            [rows, cols] => (rows, cols),
            ref shape => panic!("{} has shape {shape:?}, not [rows, columns]", self.name(tensor)),
        }
    }

    /// Asserts a shape while recording.
    ///
    /// # Panics
    /// When it differs, naming the op, the tensor and both shapes.
    pub fn expect(&self, op: &str, tensor: Tensor, shape: &[usize]) {
        assert_eq!(self.shape(tensor), shape, "{op}: shape of {}", self.name(tensor));
    }

    /// Appends an operation to a pass.
    pub fn push(&mut self, pass: Pass, op: impl Op + 'static) {
        self.passes[pass as usize].push(Box::new(op));
    }

    /// The operations of a pass, in order.
    pub fn ops(&self, pass: Pass) -> &[Box<dyn Op>] {
        &self.passes[pass as usize]
    }

    /// Bytes that the CPU engine allocates for this program.
    pub fn memory_bytes(&self) -> u64 {
        total(self.buffers.iter().map(|&(len, _)| (DType::F32, len)))
    }

    /// Bytes that a GPU allocates for this program's tensors.
    pub fn gpu_memory_bytes(&self) -> u64 {
        total(self.buffers.iter().map(|&(len, dtype)| (dtype, len)))
    }

    /// Floating-point operations of one replay of a pass.
    pub fn flops(&self, pass: Pass) -> u64 {
        self.ops(pass).iter().map(|op| op.flops()).sum()
    }

    /// Fails when the program needs more memory than `available` bytes.
    pub fn check_memory(&self, available: u64) -> Result<()> {
        crate::error::check_memory(self.memory_bytes(), available)
    }

    /// The parameters in file order, without frozen ones.
    pub fn parameters(&self) -> impl Iterator<Item = &ParameterSpec> {
        self.parameters.iter().map(|p| &p.spec)
    }
}

/// Bytes of buffers; as many as there can be where they are more.
fn total(buffers: impl Iterator<Item = (DType, usize)>) -> u64 {
    buffers.map(|(dtype, len)| (len as u64).saturating_mul(dtype.bytes() as u64)).fold(0, u64::saturating_add)
}

/// The answer to a user who asks for a tensor that there is not ("read this activation").
pub(crate) fn no_such_tensor(name: &str) -> Error {
    Error::Config(format!("the model has no tensor named `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements are counted to the end of `usize` at most, bytes of all tensors to that of `u64`.
    #[test]
    fn a_tensor_of_more_elements_than_can_be_counted_is_not_a_small_one() {
        let mut program = Program::new(Vec::new(), Training::No);
        program.tensor("x", &[usize::MAX, 2]);
        assert!(program.memory_bytes() >= (usize::MAX as u64).saturating_mul(4));
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn more_than_can_be_addressed_is_refused_and_not_wrapped_around() {
        // A product beyond 64 bits, bytes beyond, a sum beyond.
        for shapes in [&[[1 << 40, 1 << 40]][..], &[[1 << 31, 1 << 32]], &[[1 << 30, 1 << 31]; 3]] {
            let mut program = Program::new(Vec::new(), Training::No);
            for (i, shape) in shapes.iter().enumerate() {
                program.tensor(&i.to_string(), shape);
            }
            assert_eq!((program.memory_bytes(), program.gpu_memory_bytes()), (u64::MAX, u64::MAX), "{shapes:?}");
            assert!(program.check_memory(u64::MAX - 1).is_err());
        }
    }
}
