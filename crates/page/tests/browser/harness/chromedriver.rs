//! The program that starts browsers. It lives as long as a test needs it, and does not outlive the last one, even one that panics.

use std::env;
use std::io::{BufRead, BufReader, copy, sink};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A running chromedriver.
pub struct Chromedriver {
    process: Child,
    /// Where it listens.
    pub address: String,
}

impl Chromedriver {
    /// The one that runs, or a new one.
    pub fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Chromedriver>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Self::start());
            *running = Arc::downgrade(&new);
            new
        })
    }

    /// Starts one on a port that is free, which it says itself.
    fn start() -> Self {
        let program = env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
        let mut process = Command::new(&program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let mut output = BufReader::new(process.stdout.take().expect("standard output is piped"));
        let mut said = String::new();
        let port = loop {
            let start = said.len();
            if output.read_line(&mut said).expect("chromedriver's output is text") == 0 {
                panic!("chromedriver ended and names no port:\n{said}");
            }
            if let Some((_, port)) = said[start..].split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').to_owned();
            }
        };
        // It must never wait for someone to read the rest.
        std::thread::spawn(move || copy(&mut output, &mut sink()));
        Self { process, address: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
