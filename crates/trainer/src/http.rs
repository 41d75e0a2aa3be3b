//! HTTP as the whole program uses it: bounded in time, so that a blocked network fails in seconds instead of hanging.
//!
//! Proxies are taken from the environment (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), except for this machine's own addresses,
//! which no proxy could reach.

#[cfg(test)]
pub mod test_server;

use std::net::IpAddr;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// Looking the host up; with [`CONNECT`], the longest wait on a network that swallows packets.
const RESOLVE: Duration = Duration::from_secs(3);
/// TCP and TLS handshakes together.
const CONNECT: Duration = Duration::from_secs(5);
/// From request to response headers.
const RESPOND: Duration = Duration::from_secs(10);
/// Silence in the middle of a body.
const STALL: Duration = Duration::from_secs(10);

/// An agent for this address, ready to be built.
pub fn agent(url: &str) -> ConfigBuilder<AgentScope> {
    let proxy = if is_this_machine(url) { None } else { ureq::Proxy::try_from_env() };
    ureq::Agent::config_builder()
        .proxy(proxy)
        .timeout_resolve(Some(RESOLVE))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(RESPOND))
        .timeout_per_read(Some(STALL))
        .user_agent(concat!("inkling-trainer/", env!("CARGO_PKG_VERSION")))
}

fn is_this_machine(url: &str) -> bool {
    let uri = url.parse::<ureq::http::Uri>().ok();
    uri.as_ref().and_then(|uri| uri.host()).is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

/// What went wrong, as the end of a sentence.
pub fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(404) => "the server says that there is no such file (status 404)".into(),
        ureq::Error::StatusCode(status) => format!("the server answered with status {status}"),
        ureq::Error::HostNotFound => "the host's name cannot be resolved".into(),
        ureq::Error::Timeout(phase) => format!("no answer in time ({phase})"),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_not_asked_for_this_machine() {
        for url in ["http://127.0.0.1:80/x", "https://LOCALHOST/", "http://[::1]:8080/x"] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in ["http://127.0.0.1.example.org/", "https://example.org/localhost", "nonsense"] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
