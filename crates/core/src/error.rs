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
