//! Child processes in the workspace's root: shown on the terminal, captured, or both.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::error::{Error, Result};

/// The workspace's root.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("crates/xtask lies two levels below the root").to_owned()
}

/// A program to be run in the workspace's root.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// The cargo that runs this task.
pub fn cargo() -> Command {
    program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The trainer, compiled to be fast.
pub fn trainer() -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "trainer", "--"]);
    command
}

/// The command line as a user would type it, for messages.
pub fn command_line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Whether the program can be started and succeeds; prints nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end with all output on the terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let mut child = start(command)?;
    check(command, wait(&mut child, command)?)
}

/// Runs to the end with its errors on the terminal and returns what it printed.
pub fn capture(command: &mut Command) -> Result<String> {
    let mut text = String::new();
    let status = each_line(command, |line| text.push_str(line))?;
    check(command, status)?;
    Ok(text)
}

/// Runs to the end with all output on the terminal; `see` also gets each line of standard output, its end included.
pub fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    let status = each_line(command, |line| {
        // A reader that hangs up (`| head`) must not hide the result.
        let _ = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
        see(line);
    })?;
    check(command, status)
}

fn each_line(command: &mut Command, mut see: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(|source| cannot_start(command, source))? > 0 {
        see(&String::from_utf8_lossy(&line));
        line.clear();
    }
    wait(&mut child, command)
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|source| cannot_start(command, source))
}

fn wait(child: &mut Child, command: &Command) -> Result<ExitStatus> {
    child.wait().map_err(|source| cannot_start(command, source))
}

fn cannot_start(command: &Command, source: io::Error) -> Error {
    Error::Start { command: command_line(command), source }
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(Error::Failed { command: command_line(command), status }) }
}
