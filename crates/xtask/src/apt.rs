//! Packages of Debian and its relatives, installed where that takes no password.

use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::process::{capture, program, run, succeeds};

/// Installs packages, after saying so. `remedy` tells users of other systems what to do.
pub fn install(what: &str, packages: &[&str], remedy: &str) -> Result<()> {
    let missing = |remedy: String| Error::Missing { what: what.into(), remedy };
    if !succeeds(program("apt-get").arg("--version")) {
        return Err(missing(remedy.into()));
    }
    let names = packages.join(" ");
    let root = capture(program("id").arg("--user"))?.trim() == "0";
    if !root && !succeeds(program("sudo").args(["--non-interactive", "true"])) {
        return Err(missing(format!("run `sudo apt-get install {names}`")));
    }
    println!("{what} is missing: installing {names} with apt-get");
    let install = || run(apt_get(root).args(["install", "--yes", "--no-install-recommends"]).args(packages));
    // The first try fails where the lists of packages are absent or old.
    install()
        .or_else(|_| run(apt_get(root).arg("update")).and_then(|()| install()))
        .map_err(|error| missing(format!("{error}; {remedy}")))
}

fn apt_get(root: bool) -> Command {
    let mut command = program(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["--non-interactive", "apt-get"]);
    }
    // Nobody is there to be asked, and another apt-get may be at work.
    command.args(["--option", "DPkg::Lock::Timeout=120"]).stdin(Stdio::null());
    command
}
