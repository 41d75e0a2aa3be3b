//! A page in a browser: what it shows, and what it is shown. What is done to it is in [`super::input`].

use std::cell::RefCell;
use std::fs;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::error::WebDriverResult;
use thirtyfour::prelude::*;
use tokio::runtime::Runtime;

use super::chromedriver::Chromedriver;
use super::turns::Turn;
use super::{Server, Setup, Theme, root};

/// Nothing that a test waits for takes that long, not even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(15);

/// A browser with one page.
pub struct Page {
    /// Where it comes from.
    pub server: Server,
    pub(super) driver: WebDriver,
    runtime: Runtime,
    setup: Setup,
    features: RefCell<Vec<(&'static str, &'static str)>>,
    console: RefCell<Vec<String>>,
    test: String,
    // Dropped last: the driver's program, then the leave to run.
    _chromedriver: Arc<Chromedriver>,
    _turn: Turn,
}

impl Page {
    /// A browser as most visitors have it, with nothing open.
    #[track_caller]
    pub fn new() -> Self {
        Setup::default().start()
    }

    /// A browser that has opened the page's address with this at its end and shows the model at work.
    #[track_caller]
    pub fn opened(end: &str) -> Self {
        let page = Self::new();
        page.open(end);
        page.ready();
        page
    }

    #[track_caller]
    pub(super) fn start(setup: Setup, server: Server) -> Self {
        let turn = Turn::wait(setup.alone);
        let chromedriver = Chromedriver::shared();
        let test = test_name(Location::caller());
        let mut wishes = Capabilities::new();
        for (name, wish) in [
            ("browserName", json!("chrome")),
            // What is still to be fetched is what many tests are about.
            ("pageLoadStrategy", json!("eager")),
            ("goog:chromeOptions", json!({ "args": setup.arguments })),
            ("goog:loggingPrefs", json!({ "browser": "ALL" })),
        ] {
            wishes.set(name, wish).expect("JSON can be written");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let driver = runtime.block_on(WebDriver::new(&chromedriver.address, wishes));
        let page = Self {
            server,
            driver: driver.expect("a browser starts"),
            runtime,
            features: RefCell::default(),
            console: RefCell::default(),
            test,
            _chromedriver: chromedriver,
            _turn: turn,
            setup,
        };
        page.size(1440, 1000);
        page
    }

    /// Waits for the driver.
    #[track_caller]
    pub(super) fn wait<T>(&self, answer: impl Future<Output = WebDriverResult<T>>) -> T {
        self.runtime.block_on(answer).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn attempt<T>(&self, answer: impl Future<Output = WebDriverResult<T>>) -> WebDriverResult<T> {
        self.runtime.block_on(answer)
    }

    // Where it is.

    /// Opens the page's address with this at its end: `#attention?layer=1`.
    #[track_caller]
    pub fn open(&self, end: &str) {
        self.wait(self.driver.goto(format!("{}{end}", self.server.address())));
    }

    /// Loads the page again.
    #[track_caller]
    pub fn reload(&self) {
        self.wait(self.driver.refresh());
    }

    /// Waits until the model is loaded.
    #[track_caller]
    pub fn ready(&self) {
        self.until("return document.querySelector('.model-name')?.textContent.trim()");
    }

    /// Waits until the address has this setting; none is the default.
    #[track_caller]
    pub fn until_setting(&self, name: &str, value: Option<&str>) {
        let setting = format!("new URLSearchParams(location.hash.split('?').slice(1).join('?')).get({})", json!(name));
        self.until(&format!("return {setting} === {}", json!(value)));
    }

    /// The way back in the browser's history, or forward.
    #[track_caller]
    pub fn go(&self, by: i32) {
        self.js::<Value>("history.go(arguments[0])", [json!(by)]);
    }

    /// What follows the page's path in the address: `#attention?layer=1`.
    #[track_caller]
    pub fn address_end(&self) -> String {
        self.js("return location.search + location.hash", [])
    }

    // What the visitor has.

    /// The window's size, in CSS pixels.
    #[track_caller]
    pub fn size(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", size);
    }

    /// Light or dark.
    #[track_caller]
    pub fn emulate(&self, theme: Theme) {
        self.media("prefers-color-scheme", theme.name());
    }

    /// The visitor wants nothing to move.
    #[track_caller]
    pub fn reduce_motion(&self) {
        self.media("prefers-reduced-motion", "reduce");
    }

    /// The visitor has switched JavaScript off.
    #[track_caller]
    pub fn forbid_scripts(&self) {
        self.cdp("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    #[track_caller]
    fn media(&self, name: &'static str, value: &'static str) {
        let mut features = self.features.borrow_mut();
        features.retain(|(known, _)| *known != name);
        features.push((name, value));
        let features: Vec<_> = features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Whether there is no network.
    #[track_caller]
    pub fn offline(&self, offline: bool) {
        let any = -1;
        self.cdp("Network.enable", json!({}));
        let network = json!({ "offline": offline, "latency": 0, "downloadThroughput": any, "uploadThroughput": any });
        self.cdp("Network.emulateNetworkConditions", network);
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.wait(self.driver.cdp().send_raw(command, parameters))
    }

    /// Runs this in every document before its own scripts.
    #[track_caller]
    pub fn before_scripts(&self, script: &str) {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    // What it shows.

    /// Runs a function's body in the page; a promise is waited for.
    #[track_caller]
    pub fn js<T: serde::de::DeserializeOwned>(&self, body: &str, arguments: impl Into<Arc<[Value]>>) -> T {
        let answer = self.wait(self.driver.execute(body, arguments));
        answer.convert().unwrap_or_else(|error| panic!("{body}: {:?}: {error}", answer.json()))
    }

    /// Waits until a function's body returns something that is true; a promise is waited for.
    #[track_caller]
    pub fn until(&self, body: &str) {
        let truth = format!("return Promise.resolve((() => {{ {body} }})()).then(Boolean)");
        let end = Instant::now() + PATIENCE;
        loop {
            // A document that is about to be replaced runs no scripts.
            if let Ok(answer) = self.attempt(self.driver.execute(&*truth, []))
                && answer.json() == &Value::Bool(true)
            {
                return;
            }
            assert!(Instant::now() < end, "never came true: {body}");
            thread::sleep(LOOK);
        }
    }

    /// Waits until an element is there and shown.
    #[track_caller]
    pub fn until_shown(&self, css: &str) {
        self.until(&format!("return document.querySelector({})?.checkVisibility()", json!(css)));
    }

    /// Waits until an element's text contains this.
    #[track_caller]
    pub fn until_text(&self, css: &str, part: &str) {
        self.until(&format!(
            "return [...document.querySelectorAll({})].some(e => (e.innerText ?? e.textContent).includes({}))",
            json!(css),
            json!(part)
        ));
    }

    /// The first such element, waited for.
    #[track_caller]
    pub fn find(&self, css: &str) -> WebElement {
        self.until(&format!("return document.querySelector({})", json!(css)));
        self.wait(self.driver.find(By::Css(css)))
    }

    /// How many there are now.
    #[track_caller]
    pub fn count(&self, css: &str) -> usize {
        self.js("return document.querySelectorAll(arguments[0]).length", [json!(css)])
    }

    /// An element's text as it is drawn.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.find(css);
        self.js("return document.querySelector(arguments[0]).innerText", [json!(css)])
    }

    /// The text of each.
    #[track_caller]
    pub fn texts(&self, css: &str) -> Vec<String> {
        self.js("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", [json!(css)])
    }

    /// An attribute.
    #[track_caller]
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.find(css);
        self.js("return document.querySelector(arguments[0]).getAttribute(arguments[1])", [json!(css), json!(name)])
    }

    /// What an input holds.
    #[track_caller]
    pub fn value(&self, css: &str) -> String {
        self.find(css);
        self.js("return document.querySelector(arguments[0]).value", [json!(css)])
    }

    /// Whether the page is wider than its window.
    #[track_caller]
    pub fn scrolls_sideways(&self) -> bool {
        self.js("return document.documentElement.scrollWidth > document.documentElement.clientWidth", [])
    }

    // What it complains of.

    /// Errors on the console so far: of its scripts, of its policy, and of what could not be fetched.
    pub fn console_errors(&self) -> Vec<String> {
        self.read_console();
        self.console.borrow().iter().filter(|message| message.starts_with("SEVERE")).cloned().collect()
    }

    fn read_console(&self) {
        let messages = self.attempt(self.driver.browser_log()).unwrap_or_default();
        self.console
            .borrow_mut()
            .extend(messages.into_iter().map(|entry| format!("{} {}", entry.level, entry.message)));
    }

    fn unexpected(&self) -> Vec<String> {
        let is_expected = |message: &String| self.setup.expected.iter().any(|part| message.contains(part));
        self.console_errors().into_iter().filter(|message| !is_expected(message)).collect()
    }

    // Pictures.

    /// Writes an element, or the whole page for `html`, however high.
    #[track_caller]
    pub fn screenshot_of(&self, css: &str, file: &Path) {
        let place: Value = self.js(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect();
             return { x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height, scale: 1 }",
            [json!(css)],
        );
        let picture = json!({ "captureBeyondViewport": true, "clip": place });
        let picture = self.cdp("Page.captureScreenshot", picture);
        write(file, &from_base64(picture["data"].as_str().expect("a picture is text")));
    }

    /// Leaves behind what may explain a failure.
    fn leave_evidence(&self) {
        let file = |end: &str| root().join("target/page-failures").join(format!("{}.{end}", self.test));
        if let Ok(picture) = self.attempt(self.driver.screenshot_as_png()) {
            write(&file("png"), &picture);
        }
        if let Ok(document) = self.attempt(self.driver.source()) {
            write(&file("html"), document.as_bytes());
        }
        self.read_console();
        let address = self.attempt(self.driver.current_url()).map(|address| address.to_string()).unwrap_or_default();
        let log = format!("{address}\n{}\n", self.console.borrow().join("\n"));
        write(&file("log"), log.as_bytes());
        eprintln!("what it looked like: {}\n{log}", file("png").display());
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if thread::panicking() {
            self.leave_evidence();
        }
        let unexpected = if thread::panicking() { Vec::new() } else { self.unexpected() };
        if !unexpected.is_empty() {
            self.leave_evidence();
        }
        let _ = self.attempt(self.driver.clone().quit());
        assert!(unexpected.is_empty(), "on the console:\n{}", unexpected.join("\n"));
    }
}

/// Of the test that runs in this thread.
fn test_name(place: &Location) -> String {
    let thread = thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.replace("::", "-"),
        _ => format!("{}-{}", Path::new(place.file()).file_stem().unwrap_or_default().display(), place.line()),
    }
}

fn write(file: &Path, bytes: &[u8]) {
    fs::create_dir_all(file.parent().expect("pictures lie in folders")).expect("a folder can be made");
    fs::write(file, bytes).expect("a file can be written");
}

/// As in RFC 4648, without line ends.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for symbol in text.bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
