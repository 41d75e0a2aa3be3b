//! A web server of a few lines on a thread of its own: one prepared reply per connection, in order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

/// What one connection is answered with, byte for byte.
pub struct Reply(Vec<u8>);

impl Reply {
    /// 200 with a whole body.
    pub fn ok(body: &str) -> Self {
        Self::cut(body, body.len() as u64)
    }

    /// 200 that announces `length` bytes, sends `body` and hangs up.
    pub fn cut(body: &str, length: u64) -> Self {
        Self(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into())
    }

    /// An error without a body.
    pub fn status(code: u16) -> Self {
        Self(format!("HTTP/1.1 {code} Told you\r\nContent-Length: 0\r\n\r\n").into())
    }

    /// The last byte made one that UTF-8 never has.
    pub fn mangled(mut self) -> Self {
        *self.0.last_mut().expect("replies have bytes") = 0xff;
        self
    }
}

/// Listens on a free port of this machine until its replies are used up.
pub struct Server {
    address: String,
}

impl Server {
    /// Starts serving.
    pub fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
                // The request ends with an empty line.
                while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                stream.write_all(&reply.0).unwrap();
            }
        });
        Self { address }
    }

    /// The address of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// An address where nobody listens: the port was free a moment ago.
pub fn refusing_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/x", listener.local_addr().unwrap())
}
