//! `cargo xtask serve`: the page on this machine, built anew whenever a source changes.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::{prepare, trunk};
use crate::error::{Error, Result};
use crate::process;

/// Apart from what `dist` and the tests build, so that they may run beside it.
const SERVED: &str = "target/page/served";

/// How to serve.
#[derive(clap::Args)]
pub struct Arguments {
    /// Listen at 127.0.0.1 on this port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    /// Build in half a minute instead of minutes, for work on the page: larger, and a little slower
    #[arg(long)]
    quick: bool,
}

/// Prepares, builds, serves until it is interrupted.
pub fn run(arguments: &Arguments) -> Result<()> {
    // Not after ten minutes of building.
    check_port(arguments.port)?;
    // A figure that needs the corpus says so.
    prepare(true)?;
    let mut command = trunk("serve")?;
    command.args(["--dist", SERVED, "--address", "127.0.0.1", "--port", &arguments.port.to_string()]);
    if arguments.open {
        command.arg("--open");
    }
    if arguments.quick {
        command.args(["--cargo-profile", "dev"]);
    }
    println!("building the page: minutes the first time; then it is at http://127.0.0.1:{}/", arguments.port);
    process::run(&mut command)
}

fn check_port(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::Usage(format!(
            "another program listens on port {port}: end it, or choose a port, `cargo xtask serve --port {}`",
            port.checked_add(1).unwrap_or(8081)
        ))),
        Err(error) => Err(Error::Usage(format!("port {port} cannot be used: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_refused_with_another_to_try() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let message = check_port(port).unwrap_err().to_string();
        assert!(message.starts_with(&format!("another program listens on port {port}")), "{message}");
        drop(taken);
        check_port(port).unwrap();
    }
}
