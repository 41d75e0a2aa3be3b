//! A server of the built page, which can be made to fail at will and remembers what it was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a slow line carries at once.
const PACKET: usize = 16 * 1024;

/// What becomes of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing comes until [`Server::mend`].
    Held,
    /// This status, without the file.
    Status(u16),
    /// The file once, not to be kept; from then on status 404.
    Once,
    /// Half of the file, then the line is cut.
    Cut,
    /// The file with a byte in its middle inverted.
    Corrupt,
    /// These bytes in its place.
    Other(Vec<u8>),
}

#[derive(Default)]
struct State {
    /// What is served.
    folder: PathBuf,
    /// What hosts that read `_headers` send along, by path; `/*` is every one.
    advised: Vec<(String, String)>,
    /// By the end of the path that they concern.
    faults: BTreeMap<String, Fault>,
    /// Paths with their queries, in the order in which they were asked for.
    asked: Vec<String>,
    /// The page has gone.
    closed: bool,
    /// Bytes per second of all connections together.
    rate: Option<f64>,
    /// When the line has carried what was sent so far.
    idle: Option<Instant>,
    /// Text and programs as a host that compresses sends them, by path.
    compressed: BTreeMap<String, Vec<u8>>,
}

struct Site {
    /// Where the page lies: `/`, or `/some/folder/`.
    base: String,
    /// Sent with every answer.
    headers: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// A running server.
pub struct Server {
    site: Arc<Site>,
    origin: String,
}

impl Server {
    /// Serves a folder below `base`, with more headers in every answer.
    pub fn start(folder: PathBuf, base: &str, headers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let origin = format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (state, changed) = (Mutex::new(State { folder, ..State::default() }), Condvar::new());
        let site = Arc::new(Site { base: base.to_owned(), headers, state, changed });
        let server = Self { site: Arc::clone(&site), origin };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if site.state().closed {
                    break;
                }
                let site = Arc::clone(&site);
                // A browser hangs up when it likes.
                thread::spawn(move || drop(site.converse(&stream)));
            }
        });
        server
    }

    /// Where the page is.
    pub fn address(&self) -> String {
        format!("{}{}", self.origin, self.site.base)
    }

    /// From now on whatever ends in this fails like that, without the hash that the build puts into names: `page_bg.wasm`.
    pub fn fail(&self, path_end: &str, fault: Fault) {
        self.site.state().faults.insert(path_end.to_owned(), fault);
    }

    /// Ends all faults; what was held is sent.
    pub fn mend(&self) {
        self.site.state().faults.clear();
        self.site.changed.notify_all();
    }

    /// A new release: from now on this folder is served.
    pub fn publish(&self, folder: PathBuf) {
        self.site.state().folder = folder;
    }

    /// From now on what the folder's `_headers` says is sent along, as hosts do that read it.
    pub fn follow_advice(&self) {
        let mut state = self.site.state();
        let text = fs::read_to_string(state.folder.join("_headers")).expect("the build writes _headers");
        let mut advised: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("  ") {
                Some(header) => {
                    advised.last_mut().expect("a path stands before its headers").1 += &format!("{header}\r\n");
                }
                None => advised.push((line.to_owned(), String::new())),
            }
        }
        state.advised = advised;
    }

    /// A line of so many bits per second, also for the page's worker, which the browser's own throttling leaves out.
    pub fn throttle(&self, bits_per_second: f64) {
        self.site.state().rate = Some(bits_per_second / 8.0);
    }

    /// From now on text and programs are sent compressed (brotli), as most hosts do. Compressed here and now, so that no visit waits for it.
    pub fn compress(&self) {
        let site = &self.site;
        let folder = site.state().folder.clone();
        let compressed = fs::read_dir(folder).expect("the page is built").flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let bytes = fs::read(entry.path()).ok().filter(|_| !name.ends_with(".png"))?;
            let name = if name == "index.html" { "" } else { &name };
            Some((format!("{}{name}", site.base), brotli(&bytes)))
        });
        let compressed = compressed.collect();
        site.state().compressed = compressed;
    }

    /// Paths with their queries that were asked for since this was last called.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.site.state().asked)
    }
}

impl Server {
    /// The host has gone: nobody is there any more.
    pub fn stop(&self) {
        self.site.state().closed = true;
        self.site.changed.notify_all();
        // Wakes the listener, so that it sees that.
        let _ = TcpStream::connect(self.origin.trim_start_matches("http://"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `page_bg.wasm` of `page_bg-0123456789abcdef.wasm`.
fn plain(path: &str) -> String {
    let split = path.rsplit_once('.').and_then(|(stem, kind)| Some((stem.rsplit_once('-')?, kind)));
    match split {
        Some(((stem, hash), kind)) if hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            format!("{stem}.{kind}")
        }
        _ => path.to_owned(),
    }
}

/// A little below the best that hosts do (11), which takes a minute.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let settings = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    let (mut input, mut compressed) = (bytes, Vec::new());
    brotli::BrotliCompress(&mut input, &mut compressed, &settings).expect("memory can be read and written");
    compressed
}

impl Site {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream);
        loop {
            let mut request = String::new();
            lines.read_line(&mut request)?;
            let Some(target) = request.split(' ').nth(1) else { return Ok(()) };
            let target = target.to_owned();
            let mut header = String::new();
            while lines.read_line(&mut header)? > 2 {
                header.clear();
            }
            self.answer(stream, &target)?;
        }
    }

    fn answer(&self, mut stream: &TcpStream, target: &str) -> io::Result<()> {
        let path = target.split('?').next().unwrap_or_default();
        let fault = {
            let mut state = self.state();
            state.asked.push(target.to_owned());
            loop {
                let fault =
                    state.faults.iter().find(|(end, _)| plain(path).ends_with(*end)).map(|(_, fault)| fault.clone());
                if state.closed {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                if matches!(fault, Some(Fault::Once)) {
                    let fault = state.faults.iter_mut().find(|(end, _)| plain(path).ends_with(*end));
                    fault.into_iter().for_each(|(_, fault)| *fault = Fault::Status(404));
                }
                if !matches!(fault, Some(Fault::Held)) {
                    break fault;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let file = self.file(path);
        let (status, mut body) = match (&fault, file) {
            (Some(Fault::Other(bytes)), _) => (200, bytes.clone()),
            (Some(Fault::Status(status)), _) => (*status, Vec::new()),
            (_, Some(bytes)) => (200, bytes),
            (_, None) => (404, b"not here".to_vec()),
        };
        if matches!(fault, Some(Fault::Corrupt)) {
            let middle = body.len() / 2;
            body[middle] = !body[middle];
        }
        let mut headers = self.headers.clone();
        if let Some(compressed) = self.state().compressed.get(path).filter(|_| fault.is_none()) {
            body.clone_from(compressed);
            headers += "content-encoding: br\r\n";
        }
        // As hosts do it best: what is named by its content never changes.
        let caching = if plain(path) == path { "no-cache" } else { "public, max-age=31536000, immutable" };
        let caching = if matches!(fault, Some(Fault::Once)) { "no-store" } else { caching };
        for (rule, advised) in &self.state().advised {
            if rule == "/*" || rule.strip_prefix('/') == path.strip_prefix(&self.base) {
                headers += advised;
            }
        }
        if !headers.contains("Cache-Control: ") {
            headers += &format!("cache-control: {caching}\r\n");
        }
        write!(stream, "HTTP/1.1 {status} .\r\ncontent-type: {}\r\ncontent-length: {}\r\n", mime(path), body.len())?;
        write!(stream, "{headers}\r\n")?;
        if matches!(fault, Some(Fault::Cut)) {
            stream.write_all(&body[..body.len() / 2])?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        for packet in body.chunks(PACKET) {
            self.take_time(packet.len());
            stream.write_all(packet)?;
        }
        Ok(())
    }

    /// Waits as long as the line takes for so many bytes.
    fn take_time(&self, bytes: usize) {
        let arrival = {
            let mut state = self.state();
            let Some(rate) = state.rate else { return };
            let start = state.idle.unwrap_or_else(Instant::now).max(Instant::now());
            *state.idle.insert(start + Duration::from_secs_f64(bytes as f64 / rate))
        };
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
    }

    /// The file's bytes, if it lies in the folder.
    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let path = Path::new(path.strip_prefix(&self.base)?);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        let path = self.state().folder.join(path);
        inside.then(|| fs::read(if path.is_dir() { path.join("index.html") } else { path }).ok())?
    }
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "js" | "mjs" => "text/javascript",
        "css" => "text/css",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" => "text/plain",
        "safetensors" => "application/octet-stream",
        _ => "text/html; charset=utf-8",
    }
}
