//! Everything that can go wrong in core: one enum, each message saying what was wrong, where, and what to do.

/// Core's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Core's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model configuration that no model can have.
    #[error("invalid model configuration: {0}")]
    Config(String),
    /// Training settings that cannot be run.
    #[error("invalid training settings: {0}")]
    Training(String),
    /// Adapters that the model cannot have.
    #[error("LoRA: {0}")]
    Lora(String),
    /// Text or tokens that cannot be used as data.
    #[error("unusable data: {0}")]
    Data(String),
    /// A tokenizer file or a text that the tokenizer cannot encode.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A file of a checkpoint that is missing, damaged or at odds with the others.
    #[error("{file}: {problem}")]
    Checkpoint {
        /// File name inside the checkpoint folder.
        file: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A token shard that is damaged, no shard at all, or of another text than its siblings.
    #[error("{file}: {problem}")]
    Shard {
        /// Its file name.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Sampling settings out of range, or a prompt that cannot be used.
    #[error("sampling: {0}")]
    Sampling(String),
    /// The model needs more memory than there is.
    #[error("this needs about {need} of memory and {have} is available: use a smaller batch, context or model")]
    Memory {
        /// Bytes needed, formatted.
        need: String,
        /// Bytes available, formatted.
        have: String,
    },
    /// Logits that no token can be drawn from.
    #[error("the model's logits are not finite: its weights are damaged, or its training diverged")]
    NonFiniteLogits,
    /// The GPU could not do what was asked of it.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Training produced no finite loss.
    #[error("training diverged at step {step}: {problem}")]
    Diverged {
        /// Optimizer step.
        step: u64,
        /// What was seen.
        problem: String,
    },
}

/// Fails when `need` bytes are more than `available`.
pub fn check_memory(need: u64, available: u64) -> Result<()> {
    if need <= available {
        return Ok(());
    }
    let size = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    Err(Error::Memory { need: size(need), have: size(available) })
}

/// What can go wrong on a GPU. Clone: the first failure of a device is told to everyone who uses it later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is no adapter, or none of that name.
    #[error("no GPU that wgpu can use: {0}")]
    NoAdapter(String),
    /// The adapter would not give a device.
    #[error(
        "the GPU {adapter} gave no device: {problem}; another program may hold it, or its driver may need a restart"
    )]
    NoDevice {
        /// Its name.
        adapter: String,
        /// What it said.
        problem: String,
    },
    /// The adapter is too small for the model.
    #[error(
        "the GPU {adapter} allows {have} for {limit}, and {what} needs {need}: use a smaller batch, context or model, or --device cpu"
    )]
    Limit {
        /// Its name.
        adapter: Box<str>,
        /// WebGPU's name of the limit.
        limit: &'static str,
        /// Tensor or kernel that is too large.
        what: Box<str>,
        /// What it needs.
        need: u64,
        /// What there is.
        have: u64,
    },
    /// The adapter lacks a feature.
    #[error("the GPU {adapter} lacks {feature}: {remedy}")]
    Feature {
        /// Its name.
        adapter: String,
        /// WebGPU's name of the feature.
        feature: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// No memory left on the device.
    #[error(
        "the GPU is out of memory ({0}): close other programs that use it, or use a smaller batch, context or model"
    )]
    OutOfMemory(String),
    /// A shader or pipeline was refused: a bug here or in the driver.
    #[error(
        "the GPU's driver refused the kernel {kernel}: {problem}; this is a bug in Inkling or the driver: --device cpu works without it"
    )]
    Shader {
        /// File and entry point.
        kernel: String,
        /// The compiler's message.
        problem: String,
    },
    /// The API refused a call: a bug here or in the driver.
    #[error("the GPU refused a command: {0}; this is a bug in Inkling or the driver: --device cpu works without it")]
    Validation(String),
    /// The device is gone: driver reset, unplugged, suspended.
    #[error("the GPU was lost ({0}): its driver was reset or it was taken away")]
    Lost(String),
}
