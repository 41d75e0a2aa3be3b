//! Tiny Shakespeare, which the build puts beside the page under a name that says its content. The service worker keeps it with the page's other
//! files; what arrives is checked here in any case, so that nothing else is ever learnt from.
#![cfg_attr(not(any(test, target_family = "wasm")), expect(dead_code, reason = "only a browser has a network"))]

use super::download::again;
use super::manifest::matches;
use super::server::{Caching, Refusal, Server};
use crate::protocol::Failure;

/// As the trainer and the build have it.
const SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";

/// Its size.
const BYTES: u64 = 1_115_394;

/// Digits of the checksum that are in the name.
const DIGITS: usize = 16;

fn address() -> String {
    format!("data/tinyshakespeare-{}.txt", &SHA256[..DIGITS])
}

/// Fetches it; what fails by chance is tried again.
///
/// # Errors
/// What is missing, unreachable or another text.
pub async fn fetch(server: &impl Server) -> Result<Vec<u8>, Failure> {
    let address = address();
    // The second time past caches on the way.
    for caching in [Caching::Usual, Caching::Never] {
        let text = again(server, &address, caching, BYTES, &|_, _| {}, &|_| {}).await;
        match text {
            Ok(text) if matches(&text, BYTES, SHA256) => return Ok(text),
            // Another text.
            Ok(_) | Err(Refusal::TooLarge { .. }) => {}
            Err(refusal) => return Err(refusal.failure(&address)),
        }
    }
    Err(Failure::network(format!(
        "{address} is not the text that this page was made with: its SHA-256 differs, so it was damaged on the way, or something else answered in \
         its place. Try again in a minute."
    )))
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::super::download::tests::Stub;
    use super::super::server::Refusal;
    use super::*;

    #[test]
    fn another_text_is_never_learnt_from() {
        let mut stub = Stub::default();
        assert!(block_on(fetch(&stub)).unwrap_err().message.contains("There is no tinyshakespeare"));
        stub.files.insert(address(), b"<!doctype html>Please log in".to_vec());
        assert!(block_on(fetch(&stub)).unwrap_err().message.contains("SHA-256"));
        stub.files.insert(address(), vec![0; BYTES as usize]);
        assert!(block_on(fetch(&stub)).unwrap_err().message.contains("SHA-256"));
    }

    #[test]
    fn a_busy_host_is_asked_again() {
        let stub = Stub::default();
        stub.refusals.replace(vec![Refusal::Status(503), Refusal::Unreachable("reset".into())]);
        block_on(fetch(&stub)).unwrap_err();
        assert_eq!((stub.asked.borrow().len(), stub.pauses.borrow().len()), (3, 2));
    }
}
