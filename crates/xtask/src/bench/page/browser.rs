//! A Chromium without a window, by its chromedriver: as much of WebDriver as a bench needs.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write, copy, sink};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::bench::Device;
use crate::error::{Error, Result};
use crate::process::program;

/// Milliseconds that a measurement may take: a software adapter needs half a minute for an update.
const PATIENCE: u64 = 30 * 60 * 1000;

/// What a browser does on its own would disturb what is measured. The sandbox does not start as root, which is what a container's user is.
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--enable-unsafe-webgpu",
];

/// WebGPU and WebGL on the processor.
const SOFTWARE: [&str; 4] = [
    "--use-webgpu-adapter=swiftshader",
    "--disable-gpu-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
];

/// Both on a graphics card.
const HARDWARE: [&str; 3] = ["--ignore-gpu-blocklist", "--enable-features=Vulkan", "--use-angle=vulkan"];

/// A running browser, and the program that drives it.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// What it calls itself.
    pub version: String,
}

impl Browser {
    /// Starts both.
    pub fn start(chromedriver: &OsStr, device: Device) -> Result<Self> {
        let mut command = program(chromedriver);
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().map_err(|source| Error::Start { command: "chromedriver".into(), source })?;
        let mut output = BufReader::new(driver.stdout.take().expect("standard output is piped"));
        let port = port(&mut output)?;
        // It must never wait for someone to read the rest.
        thread::spawn(move || copy(&mut output, &mut sink()));
        let mut browser = Self { driver, port, session: String::new(), version: String::new() };
        let mut arguments = ARGUMENTS.to_vec();
        match device {
            Device::Cpu => arguments.extend(SOFTWARE),
            Device::Gpu => arguments.extend(HARDWARE),
        }
        let wishes = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": arguments } });
        let session = browser.call("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wishes } }))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        browser.session = text(&session["sessionId"]);
        let about = &session["capabilities"];
        browser.version = format!("{} {}", text(&about["browserName"]), text(&about["browserVersion"]));
        browser.tell("timeouts", &json!({ "script": PATIENCE }))?;
        Ok(browser)
    }

    /// Opens an address anew.
    pub fn visit(&self, address: &str) -> Result<()> {
        self.tell("url", &json!({ "url": address })).map(drop)
    }

    /// What the page's `measure` answers.
    pub fn measure(&self, what: &str, settings: &Value) -> Result<Value> {
        let script = json!({ "script": "window.measure(...arguments)", "args": [what, settings] });
        let answer = self.tell("execute/async", &script)?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(Error::Browser(format!("{what}: {}", answer["problem"].as_str().unwrap_or("no answer")))),
        }
    }

    fn tell(&self, what: &str, content: &Value) -> Result<Value> {
        self.call("POST", &format!("/session/{}/{what}", self.session), content)
    }

    fn call(&self, method: &str, path: &str, content: &Value) -> Result<Value> {
        let failed = |problem: String| Error::Browser(format!("{path}: {problem}"));
        let body = self.exchange(method, path, content).map_err(|error| failed(error.to_string()))?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        let value = answer["value"].take();
        match value.get("error") {
            Some(error) => Err(failed(format!("{error}: {}", value["message"]))),
            None => Ok(value),
        }
    }

    fn exchange(&self, method: &str, path: &str, content: &Value) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let content = content.to_string();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n", self.port)?;
        write!(stream, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{content}", content.len())?;
        let mut lines = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        Ok(body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser.
            let _ = self.call("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that chromedriver says it listens on.
fn port(output: &mut impl BufRead) -> Result<u16> {
    let mut said = String::new();
    loop {
        let start = said.len();
        let read = output.read_line(&mut said).unwrap_or(0);
        if let Some((_, port)) = said[start..].split_once("started successfully on port ")
            && let Ok(port) = port.trim().trim_end_matches('.').parse()
        {
            return Ok(port);
        }
        if read == 0 {
            return Err(Error::Browser(format!("chromedriver ended and names no port:\n{said}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_what_chromedriver_says() {
        let mut said = "Starting ChromeDriver\nChromeDriver was started successfully on port 41234.\n".as_bytes();
        assert_eq!(port(&mut said).unwrap(), 41234);
        assert!(port(&mut "no".as_bytes()).is_err());
    }
}
