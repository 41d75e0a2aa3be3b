//! One file of the hub onto the disk: what arrived stays, a later attempt asks for the rest.
//!
//! ```text
//! .<file>.<identity>.part    on its way; the name says of which version of the file
//! <file>                     complete
//! ```
//!
//! The identity is the `ETag`, of a large file its SHA-256, which is compared. A rest is only taken of the same version. A connection that
//! breaks is tried again, longer and longer after, as long as something arrives or at most [`ATTEMPTS`] times in a row.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inkling_core::hash::{hex, sha256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ureq::http::Method;

use super::connection::{Answer, Connection};
use crate::atomic_file;
use crate::error::{Error, Result};
use crate::format;
use crate::terminal::Terminal;

/// Attempts in a row without a byte.
const ATTEMPTS: u32 = 5;

/// How parts end.
const PART: &str = ".part";

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;

/// A file that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// Why a file did not.
#[derive(Debug)]
pub enum Failure {
    /// The hub answered with this status, for the reason of this name.
    Status(u16, Option<String>),
    /// The end of a sentence about the network.
    Network(String),
    /// Everything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Fetches files into one folder.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// The hub.
    pub connection: &'a Connection,
    /// Where files go; it exists.
    pub folder: &'a Path,
    /// The wait before the second attempt, doubled for each further one.
    pub pause: Duration,
    /// Shows progress.
    pub terminal: &'a Terminal,
}

/// How an attempt ended that did not end the transfer.
enum Attempt {
    Done(Arrived),
    /// Worth another: after how many bytes, and why.
    Broken(u64, String),
}

impl Transfer<'_> {
    /// Fetches `url` as `file`.
    pub fn fetch(&self, url: &str, file: &str) -> std::result::Result<Arrived, Failure> {
        let mut fruitless = 0;
        loop {
            match self.attempt(url, file)? {
                Attempt::Done(arrived) => return Ok(arrived),
                Attempt::Broken(received, problem) => {
                    fruitless = if received > 0 { 1 } else { fruitless + 1 };
                    if fruitless == ATTEMPTS {
                        return Err(Failure::Network(problem));
                    }
                    self.terminal.note(&format!("{file}: {problem}; trying again"));
                    std::thread::sleep(self.pause * (1 << (fruitless - 1)));
                }
            }
        }
    }

    fn attempt(&self, url: &str, file: &str) -> std::result::Result<Attempt, Failure> {
        let part = self.part(file)?;
        let start = part.as_ref().map_or(0, |part| part.length);
        let answer = match self.connection.ask(&Method::GET, url, start) {
            Ok(answer) => answer,
            // Without a network there is nothing to wait for; in the middle of a file there may be.
            Err(problem) if start > 0 => return Ok(Attempt::Broken(0, problem)),
            Err(problem) => return Err(Failure::Network(problem)),
        };
        let same = part.as_ref().is_some_and(|part| part.path == self.part_path(file, answer.identity.as_deref()));
        match (answer.status, part) {
            (200, part) => {
                if let Some(part) = part {
                    remove(&part.path)?;
                }
                self.receive(answer, url, file, 0)
            }
            (206, _) if same && rest_begins_at(&answer) == Some(start) => self.receive(answer, url, file, start),
            // Another version than the part's, or a part as long as the file: from the start.
            (206 | 416, Some(part)) => {
                remove(&part.path)?;
                Ok(Attempt::Broken(0, "the file has changed meanwhile".into()))
            }
            (429, _) => {
                Ok(Attempt::Broken(0, "the server asks to wait, there were too many requests (status 429)".into()))
            }
            (status @ 500.., _) => Ok(Attempt::Broken(0, format!("the server answered with status {status}"))),
            (status, _) => Err(Failure::Status(status, answer.error_code)),
        }
    }

    /// Takes the body, whose first byte is the file's byte `start`.
    fn receive(&self, mut answer: Answer, url: &str, file: &str, start: u64) -> std::result::Result<Attempt, Failure> {
        let path = self.part_path(file, answer.identity.as_deref());
        let failed = |error| Error::io("write", &path)(error);
        let mut out =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        match out.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let busy = io::Error::new(io::ErrorKind::ResourceBusy, "another trainer is downloading it");
                return Err(Error::io("write", &path)(busy).into());
            }
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
        out.set_len(start).map_err(failed)?;
        out.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match out.read(&mut chunk).map_err(failed)? {
                0 => break,
                count => hash.update(&chunk[..count]),
            }
        }

        let body = answer.response.body_mut();
        let total = body.content_length().map(|length| start + length);
        let bar = self.terminal.byte_bar(file, total);
        bar.set_position(start);
        let mut reader = body.with_config().limit(u64::MAX).reader();
        let mut at = start;
        let broken = loop {
            match reader.read(&mut chunk) {
                Ok(0) => break None,
                Ok(count) => {
                    out.write_all(&chunk[..count]).map_err(failed)?;
                    hash.update(&chunk[..count]);
                    at += count as u64;
                    bar.set_position(at);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error.to_string()),
            }
        };
        bar.finish_and_clear();
        let cut = total.is_some_and(|total| at != total);
        if cut || broken.is_some() {
            let of = total.map(|total| format!(" of {}", format::count(total))).unwrap_or_default();
            let problem = format!("the connection was cut after {}{of} bytes", format::count(at));
            return Ok(Attempt::Broken(at - start, problem));
        }
        let sha256 = hex(&hash.finalize());
        if let Some(expected) = answer.identity.filter(|identity| is_sha256(identity) && *identity != sha256) {
            remove(&path)?;
            return Err(Error::Altered { origin: url.into(), found: sha256, expected }.into());
        }
        out.sync_all().map_err(failed)?;
        drop(out);
        let complete = self.folder.join(file);
        fs::rename(&path, &complete).and_then(|()| atomic_file::sync_folder(self.folder)).map_err(failed)?;
        Ok(Attempt::Done(Arrived { bytes: at, sha256 }))
    }

    /// The part of a file that is there. Of a version without a name no rest can be asked for.
    fn part(&self, file: &str) -> Result<Option<Part>> {
        let prefix = format!(".{file}.");
        let entries = fs::read_dir(self.folder).map_err(Error::io("read", self.folder))?;
        for entry in entries {
            let path = entry.map_err(Error::io("read", self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Exactly this: model.safetensors begins the name of its index too.
            let version = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(PART));
            if version.is_some_and(is_sha256) {
                let length = path.metadata().map_err(Error::io("read", &path))?.len();
                return Ok(Some(Part { path, length }));
            }
        }
        Ok(None)
    }

    fn part_path(&self, file: &str, identity: Option<&str>) -> PathBuf {
        let version = identity.map_or("any".into(), |identity| match is_sha256(identity) {
            true => identity.to_owned(),
            // Any characters, any length.
            false => sha256(identity.as_bytes()),
        });
        self.folder.join(format!(".{file}.{version}{PART}"))
    }
}

/// A file on its way.
struct Part {
    path: PathBuf,
    length: u64,
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(Error::io("remove", path))
}

/// The first byte of `Content-Range: bytes 5-9/10`.
fn rest_begins_at(answer: &Answer) -> Option<u64> {
    let range = answer.response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::test_server::{Reply, Server};

    const BODY: &[u8] = b"twelve bytes";

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn fetch(&self, server: &Server) -> std::result::Result<Arrived, Failure> {
            let connection = Connection::new(server.url(""), None);
            let terminal = Terminal::new(true, true);
            let transfer = Transfer {
                connection: &connection,
                folder: self.folder.path(),
                pause: Duration::ZERO,
                terminal: &terminal,
            };
            transfer.fetch(&server.url("/file"), "x.bin")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }

        /// The file is there, whole, and nothing else is.
        fn check_arrived(&self, outcome: std::result::Result<Arrived, Failure>) {
            assert_eq!(outcome.unwrap(), Arrived { bytes: 12, sha256: sha256(BODY) });
            assert_eq!(self.names(), ["x.bin"]);
            assert_eq!(fs::read(self.folder.path().join("x.bin")).unwrap(), BODY);
        }
    }

    fn tagged(reply: Reply) -> Reply {
        reply.with("X-Linked-ETag", &format!("\"{}\"", sha256(BODY)))
    }

    #[test]
    fn after_a_cut_only_the_rest_is_asked_for() {
        let place = Place::new();
        let server = Server::start(vec![tagged(Reply::cut("twelve", 12)), tagged(Reply::rest(BODY, 6))]);
        place.check_arrived(place.fetch(&server));
        let requests = server.requests();
        assert!(!requests[0].to_lowercase().contains("range") && requests[1].contains("bytes=6-"), "{requests:?}");
    }

    #[test]
    fn a_later_call_goes_on_where_an_earlier_one_gave_up() {
        let place = Place::new();
        let cuts = (0..5).map(|i| tagged(if i == 0 { Reply::cut("twelve", 12) } else { Reply::cut("", 6) })).collect();
        // The first gives six bytes; then none of the five attempts gives any (the sixth has nobody to answer it).
        assert!(matches!(place.fetch(&Server::start(cuts)), Err(Failure::Network(_))));
        assert_eq!(place.names(), [format!(".x.bin.{}.part", sha256(BODY))]);
    }

    #[test]
    fn a_rest_of_another_version_is_not_taken() {
        let place = Place::new();
        let old = |reply: Reply| reply.with("ETag", "\"1\"");
        let new = |reply: Reply| reply.with("ETag", "\"2\"");
        let server =
            Server::start(vec![old(Reply::cut("other ", 12)), new(Reply::rest(BODY, 6)), new(Reply::ok(BODY))]);
        place.check_arrived(place.fetch(&server));
        assert!(!server.requests()[2].to_lowercase().contains("range"));
    }

    #[test]
    fn a_server_that_sends_all_again_is_understood() {
        let place = Place::new();
        let server = Server::start(vec![tagged(Reply::cut("twelve", 12)), tagged(Reply::ok(BODY))]);
        place.check_arrived(place.fetch(&server));
    }

    #[test]
    fn parts_of_other_files_are_left_alone() {
        let place = Place::new();
        let other = format!(".x.bin.index.json.{}.part", sha256(BODY));
        fs::write(place.folder.path().join(&other), "twelve").unwrap();
        let server = Server::start(vec![tagged(Reply::ok(BODY))]);
        assert!(place.fetch(&server).is_ok() && place.names().contains(&other));
        assert!(!server.requests()[0].to_lowercase().contains("range"));
    }

    #[test]
    fn a_part_as_long_as_the_file_is_fetched_anew() {
        let place = Place::new();
        fs::write(place.folder.path().join(format!(".x.bin.{}.part", sha256(BODY))), BODY).unwrap();
        let server = Server::start(vec![tagged(Reply::status(416)), tagged(Reply::ok(BODY))]);
        place.check_arrived(place.fetch(&server));
    }

    #[test]
    fn a_file_with_another_checksum_is_refused_and_not_kept() {
        let place = Place::new();
        let server = Server::start(vec![tagged(Reply::ok("TWELVE BYTES"))]);
        let Err(Failure::Other(Error::Altered { found, expected, .. })) = place.fetch(&server) else { panic!() };
        assert_eq!((found, expected), (sha256(b"TWELVE BYTES"), sha256(BODY)));
        assert!(place.names().is_empty());
    }

    #[test]
    fn a_busy_server_is_asked_again_and_a_clear_answer_is_believed() {
        let place = Place::new();
        let server = Server::start(vec![Reply::status(429), Reply::status(503), tagged(Reply::ok(BODY))]);
        place.check_arrived(place.fetch(&server));
        let server = Server::start((0..5).map(|_| Reply::status(429)).collect());
        let Err(Failure::Network(problem)) = place.fetch(&server) else { panic!() };
        assert!(problem.contains("429"), "{problem}");
        let server = Server::start(vec![Reply::status(404).with("X-Error-Code", "EntryNotFound")]);
        let Err(Failure::Status(404, code)) = place.fetch(&server) else { panic!() };
        assert_eq!(code.as_deref(), Some("EntryNotFound"));
    }
}
