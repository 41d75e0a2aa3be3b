//! The Python side: `.venv` in the workspace's root with the versions pinned in `python/requirements.txt`.

use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Result};
use crate::process::{program, root, run, succeeds};

const REQUIREMENTS: &str = "crates/xtask/python/requirements.txt";

/// Exits 0 if every requirement line `name==version` given on the command line is installed. Local builds count: 2.15.0+cpu.
const SATISFIED: &str = "
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    sys.exit(any(version(name).split('+')[0] != wanted for name, wanted in (r.split('==') for r in sys.argv[1:])))
except PackageNotFoundError:
    sys.exit(1)
";

/// The virtual environment's interpreter.
fn interpreter() -> PathBuf {
    root().join(if cfg!(windows) { ".venv/Scripts/python.exe" } else { ".venv/bin/python" })
}

/// One of our scripts, in the virtual environment.
pub fn script(name: &str) -> Command {
    let mut command = program(interpreter());
    command.arg(root().join("crates/xtask/python").join(name));
    command
}

/// Creates `.venv` and installs what is pinned, if that is not there yet.
pub fn ensure() -> Result<()> {
    let file = root().join(REQUIREMENTS);
    let text =
        std::fs::read_to_string(&file).map_err(|source| Error::File { file: file.display().to_string(), source })?;
    if succeeds(program(interpreter()).args(["-c", SATISFIED]).args(requirements(&text))) {
        println!("Python: .venv has everything in {REQUIREMENTS}");
        return Ok(());
    }
    if !succeeds(program(interpreter()).args(["-m", "pip", "--version"])) {
        println!("Python: creating .venv");
        run(program(system_python()?).args(["-m", "venv", ".venv"]))?;
    }
    println!("Python: installing {REQUIREMENTS} into .venv (PyTorch is large: this takes minutes)");
    run(program(interpreter()).args(["-m", "pip", "install", "--requirement", REQUIREMENTS]))
}

/// The lines that name a package.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn system_python() -> Result<&'static str> {
    let usable =
        |name: &&str| succeeds(program(name).args(["-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"]));
    ["python3", "python"].into_iter().find(usable).ok_or_else(|| Error::Missing {
        what: "Python 3.11 or newer with its venv module".into(),
        remedy: "install it from https://www.python.org, or your system's packages `python3` and `python3-venv`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_requirements() {
        let text = "# pinned\ntorch==2.15.0\n\n  numpy==2.4.6  \n";
        assert_eq!(requirements(text).collect::<Vec<_>>(), ["torch==2.15.0", "numpy==2.4.6"]);
    }

    #[test]
    fn every_requirement_is_pinned() {
        for line in requirements(include_str!("../python/requirements.txt")) {
            assert_eq!(line.split("==").count(), 2, "{line}");
        }
    }
}
