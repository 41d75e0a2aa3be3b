//! Everything that can stop a task.

use std::io;
use std::process::ExitStatus;

/// A task's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A task's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool or component that this machine lacks.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// The tool.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// A program that could not even be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A program that ended badly; what it had to say is on the terminal already.
    #[error("`{command}` failed ({status})")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: ExitStatus,
    },
    /// A program that ended well but did not print what was expected.
    #[error("`{command}`: {problem}")]
    Output {
        /// The command line.
        command: String,
        /// What was expected and what came instead.
        problem: String,
    },
    /// A file that could not be read or written.
    #[error("{file}: {source}")]
    File {
        /// Its path.
        file: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Two implementations that should agree and do not.
    #[error("{0}")]
    Disagreement(String),
    /// A request that cannot be met, and what to ask for instead.
    #[error("{0}")]
    Usage(String),
    /// A browser that does not do what it is told.
    #[error("the browser: {0}")]
    Browser(String),
    /// A page that takes too long to load.
    #[error("the page is larger than it may be (brotli): {0}")]
    OverBudget(String),
    /// A benchmark on a machine that was not quiet.
    #[error("these figures are not to be quoted; measure again on a quiet machine:\n  {0}")]
    Doubtful(String),
}
