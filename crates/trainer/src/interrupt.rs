//! Ctrl-C, SIGTERM and SIGHUP: the first asks, the second insists.
//!
//! The first signal raises a flag which the training loop polls between steps, so that it can save and say how to resume.
//! A second one exits at once with 130 (128 + SIGINT); saves are atomic, so even that loses only what was not saved yet.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// A flag that a signal raises.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Installs the handler. Once per process: a second call is an error.
    pub fn install() -> Result<Self> {
        let raised = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&raised);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            // Not `eprintln!`, which panics when stderr is gone: a closed terminal is what SIGHUP means.
            let _ = std::io::stderr().write_all(b"\nstopping after this step (press Ctrl-C again to stop at once)\n");
        })?;
        Ok(Self(raised))
    }

    /// A flag that no signal raises.
    #[cfg(test)]
    pub fn fixed(raised: bool) -> Self {
        Self(Arc::new(AtomicBool::new(raised)))
    }

    /// Whether the user asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails if the user asked to stop, for work that leaves nothing behind.
    pub fn check(&self) -> Result<()> {
        if self.is_raised() { Err(Error::Stopped) } else { Ok(()) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Set in the child processes: signals are the business of a whole process, so each test starts itself again.
    const CHILD: &str = "INKLING_TEST_INTERRUPT_CHILD";

    fn is_child() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    /// The child's work: never-ending steps, ended by `stop`.
    fn work(stop: impl Fn(&Interrupt) -> bool) -> ! {
        let interrupt = Interrupt::install().unwrap();
        println!("\nready");
        while !stop(&interrupt) {
            std::thread::yield_now();
        }
        std::process::exit(42);
    }

    fn start(test: &str) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("interrupt::tests::{test}"), "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        child
    }

    fn signal(child: &Child, name: &str) {
        let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn the_first_signal_lets_the_work_end_by_itself() {
        if is_child() {
            work(Interrupt::is_raised);
        }
        for name in ["-INT", "-TERM"] {
            let mut child = start("the_first_signal_lets_the_work_end_by_itself");
            signal(&child, name);
            assert_eq!(child.wait().unwrap().code(), Some(42));
        }
    }

    #[test]
    fn the_second_signal_exits_at_once_with_130() {
        if is_child() {
            work(|_| false);
        }
        let mut child = start("the_second_signal_exits_at_once_with_130");
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        signal(&child, "-INT");
        // Signals that arrive together are merged into one: wait until the first was answered.
        assert!(stderr.any(|line| line.unwrap().contains("again to stop at once")));
        signal(&child, "-INT");
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}
