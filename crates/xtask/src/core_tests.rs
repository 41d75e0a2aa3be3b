//! Which of core's test programs runs where.

use std::fs;
use std::process::Command;

use crate::error::{Error, Result};
use crate::process::{capture, cargo, root};

/// Core, and the part of it that is a crate of its own.
pub const PACKAGES: [&str; 4] = ["--package", "inkling-core", "--package", "inkling-kernels"];

/// Needs an adapter.
pub const GPU: &str = "gpu";
/// Needs a browser.
pub const WEB: &str = "web";

/// `cargo test` of core's test programs that need nothing but a processor.
pub fn on_the_processor() -> Result<Command> {
    let mut command = cargo();
    command.arg("test").args(PACKAGES).args(["--no-fail-fast", "--lib"]);
    for name in integration_tests()?.iter().filter(|name| ![GPU, WEB].contains(&name.as_str())) {
        command.args(["--test", name]);
    }
    Ok(command)
}

/// `cargo test` of the GPU tests.
pub fn on_a_gpu() -> Command {
    let mut command = cargo();
    command.args(["test", "--package", "inkling-core", "--test", GPU]);
    command
}

/// How many GPU tests there are.
pub fn count_gpu_tests() -> Result<u64> {
    let list = capture(on_a_gpu().args(["--", "--list"]))?;
    Ok(list.lines().filter(|line| line.ends_with(": test")).count() as u64)
}

/// The names that cargo finds in core's `tests` folder: files, and folders with a `main.rs`.
fn integration_tests() -> Result<Vec<String>> {
    let folder = root().join("crates/core/tests");
    let unreadable = |source| Error::File { file: folder.display().to_string(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file() {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_of_tests_are_found_and_folders_of_data_are_not() {
        let names = integration_tests().unwrap();
        for name in ["checkpoint", "gradients", GPU, WEB] {
            assert!(names.iter().any(|found| found == name), "{name} is missing in {names:?}");
        }
        // The folder golden/ has fixtures, beside the file golden.rs.
        assert_eq!(names.iter().filter(|name| *name == "golden").count(), 1);
    }

    #[test]
    fn what_needs_a_device_is_left_out_on_the_processor() {
        let command = on_the_processor().unwrap();
        let arguments: Vec<_> = command.get_args().collect();
        assert!(arguments.contains(&"gradients".as_ref()));
        assert!(!arguments.contains(&GPU.as_ref()) && !arguments.contains(&WEB.as_ref()));
    }
}
