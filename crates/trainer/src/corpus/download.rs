//! One HTTP GET into memory, with a progress bar.
//!
//! Bounded in size. A body that ends before its `Content-Length` is an error.

use std::io::Read;

use crate::error::{Error, Result};
use crate::format;
use crate::http::{agent, explain};
use crate::terminal::Terminal;

/// The body behind `url`.
pub fn download(url: &str, terminal: &Terminal) -> Result<Vec<u8>> {
    let fail = |problem: String| Error::Download { url: url.into(), problem };
    let agent: ureq::Agent = agent(url).build().into();
    let mut response = agent.get(url).call().map_err(|error| fail(explain(&error)))?;
    let expected = response.body().content_length();
    if expected.is_some_and(|length| length > super::MAX_BYTES) {
        return Err(fail(super::too_large()));
    }

    let bar = terminal.byte_bar("downloading", expected);
    let mut bytes = Vec::with_capacity(expected.unwrap_or(0) as usize);
    // One byte more than allowed is asked for, to tell "exactly the limit" from "more".
    let body = response.body_mut().with_config().limit(super::MAX_BYTES + 2).reader();
    let outcome = bar.wrap_read(body).take(super::MAX_BYTES + 1).read_to_end(&mut bytes);
    bar.finish_and_clear();

    let got = bytes.len() as u64;
    match (outcome, expected) {
        (_, Some(length)) if got < length => {
            let (got, length) = (format::count(got), format::count(length));
            Err(fail(format!("the connection was cut after {got} of {length} bytes")))
        }
        (Err(error), _) => Err(fail(format!("the connection broke after {} bytes: {error}", format::count(got)))),
        (Ok(_), _) if got > super::MAX_BYTES => Err(fail(super::too_large())),
        (Ok(_), _) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::test_server::{Reply, Server, refusing_url};

    fn get(reply: Reply) -> Result<Vec<u8>> {
        download(&Server::start(vec![reply]).url("/x"), &Terminal::new(true, true))
    }

    #[test]
    fn a_whole_body_arrives() {
        assert_eq!(get(Reply::ok("some text")).unwrap(), b"some text");
    }

    #[test]
    fn a_cut_body_is_an_error_that_counts_the_bytes() {
        let error = get(Reply::cut("half of it", 1000)).unwrap_err().to_string();
        assert!(error.contains("cut after 10 of 1,000 bytes"), "{error}");
    }

    #[test]
    fn a_body_announced_as_too_large_is_refused_before_it_is_read() {
        let error = get(Reply::cut("", 1 << 40)).unwrap_err().to_string();
        assert!(error.contains("larger than 2.00 GiB"), "{error}");
    }

    #[test]
    fn an_error_status_is_told() {
        assert!(get(Reply::status(404)).unwrap_err().to_string().contains("no such file (status 404)"));
        assert!(get(Reply::status(503)).unwrap_err().to_string().contains("status 503"));
    }

    #[test]
    fn a_refused_connection_is_told() {
        let url = refusing_url();
        let error = download(&url, &Terminal::new(true, true)).unwrap_err().to_string();
        assert!(error.contains(&url) && error.to_lowercase().contains("refused"), "{error}");
    }

    #[test]
    fn a_malformed_address_is_told() {
        assert!(download("http://", &Terminal::new(true, true)).is_err());
        assert!(download("http://a b/", &Terminal::new(true, true)).is_err());
    }
}
