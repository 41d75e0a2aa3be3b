//! A web server of a few lines on a thread of its own: one prepared reply per connection, in order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

/// What one connection is answered with, byte for byte.
pub struct Reply {
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: &str, length: u64, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
        Self { head, body: body.into() }
    }

    /// 200 with a whole body.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::cut(body.as_ref(), body.as_ref().len() as u64)
    }

    /// 200 that announces `length` bytes, sends `body` and hangs up.
    pub fn cut(body: impl AsRef<[u8]>, length: u64) -> Self {
        Self::new("200 OK", length, body.as_ref())
    }

    /// 206: the rest of a body from byte `start` on.
    pub fn rest(body: &[u8], start: usize) -> Self {
        let (last, length) = (body.len() - 1, body.len());
        Self::new("206 Partial Content", (length - start) as u64, &body[start..])
            .with("Content-Range", &format!("bytes {start}-{last}/{length}"))
    }

    /// A redirection.
    pub fn redirect(location: &str) -> Self {
        Self::new("302 Found", 0, b"").with("Location", location)
    }

    /// An error without a body.
    pub fn status(code: u16) -> Self {
        Self::new(&format!("{code} Told you"), 0, b"")
    }

    /// With one more header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    /// The last byte made one that UTF-8 never has.
    pub fn mangled(mut self) -> Self {
        *self.body.last_mut().expect("a body to mangle") = 0xff;
        self
    }
}

/// Listens on a free port of this machine until its replies are used up.
pub struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts serving.
    pub fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                // The request ends with an empty line.
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    match line {
                        Ok(line) if !line.is_empty() => request += &(line + "\n"),
                        _ => break,
                    }
                }
                seen.lock().unwrap().push(request);
                stream.write_all(&[reply.head.as_bytes(), b"\r\n", &reply.body].concat()).unwrap();
            }
        });
        Self { address, requests }
    }

    /// The address of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests so far, headers by their lower-case names.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// An address where nobody listens: the port was free a moment ago.
pub fn refusing_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/x", listener.local_addr().unwrap())
}
