//! A server of the bench's page, of our page, of the peer's package and of the product: one origin for all.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::error::{Error, Result};

/// The bench's own page.
const PAGE: [(&str, &str); 6] = [
    ("", include_str!("../../../bench/index.html")),
    ("bench.js", include_str!("../../../bench/bench.js")),
    ("inkling.js", include_str!("../../../bench/inkling.js")),
    ("nanogpt.js", include_str!("../../../bench/nanogpt.js")),
    ("product.js", include_str!("../../../bench/product.js")),
    ("stopwatch.js", include_str!("../../../bench/stopwatch.js")),
];

/// Listens until the task ends.
pub struct Server {
    port: u16,
}

impl Server {
    /// Serves each folder below its name.
    pub fn start(folders: Vec<(&'static str, PathBuf)>) -> Result<Self> {
        let failed = |source: io::Error| Error::Browser(format!("its pages cannot be served: {source}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let folders = Arc::new(folders);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let folders = Arc::clone(&folders);
                // A browser hangs up when it likes.
                thread::spawn(move || drop(answer(&stream, &folders)));
            }
        });
        Ok(Self { port })
    }

    /// The bench's page.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

fn answer(mut stream: &TcpStream, folders: &[(&str, PathBuf)]) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = request.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().trim_start_matches('/');
    let (status, body) = content(path, folders).map_or((404, Vec::new()), |body| (200, body));
    write!(stream, "HTTP/1.1 {status} .\r\ncontent-type: {}\r\ncontent-length: {}\r\n", mime(path), body.len())?;
    write!(stream, "cache-control: no-store\r\nconnection: close\r\n\r\n")?;
    stream.write_all(&body)
}

fn content(path: &str, folders: &[(&str, PathBuf)]) -> Option<Vec<u8>> {
    if let Some((_, text)) = PAGE.iter().find(|(name, _)| *name == path) {
        return Some(text.as_bytes().to_vec());
    }
    let (name, rest) = path.split_once('/')?;
    let (_, folder) = folders.iter().find(|(known, _)| *known == name)?;
    let inside = Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
    inside.then(|| fs::read(folder.join(rest)).ok())?
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, kind)| kind) {
        "js" => "text/javascript",
        "wasm" => "application/wasm",
        "" => "text/html",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_folders_is_served() {
        let folders = [("xtask", Path::new(env!("CARGO_MANIFEST_DIR")).to_owned())];
        assert!(content("", &folders).unwrap().starts_with(b"<!doctype html>"));
        assert!(content("xtask/Cargo.toml", &folders).is_some());
        for path in ["xtask/../core/Cargo.toml", "xtask//etc/hosts", "core/Cargo.toml", "xtask/", "favicon.ico"] {
            assert!(content(path, &folders).is_none(), "{path}");
        }
    }
}
