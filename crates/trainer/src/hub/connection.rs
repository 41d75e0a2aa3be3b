//! Requests to the hub, which answers large files by way of other hosts.
//!
//! ```text
//! GET <endpoint>/<org/name>/resolve/<revision>/<file>
//!   X-Repo-Commit   the commit that a branch or tag is at
//!   X-Linked-ETag   of a large file: its SHA-256; said where the request is redirected from
//!   Location        where it really lies
//! ```
//!
//! Redirections are followed here, one by one: what the hub says on the way counts, and the token goes to its own host alone.

use ureq::http::header::{AUTHORIZATION, ETAG, LOCATION, RANGE};
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::{Agent, Body};

use crate::http;

/// Hops from the hub to a file; two or three are usual.
const MOST_REDIRECTIONS: usize = 8;

/// Speaks with one hub.
#[derive(Debug)]
pub struct Connection {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

/// What the hub and whoever it referred to said.
#[derive(Debug)]
pub struct Answer {
    /// The last one's status.
    pub status: u16,
    /// The commit.
    pub commit: Option<String>,
    /// What changes when the file does: of a large one its SHA-256.
    pub identity: Option<String>,
    /// The hub's name for what is wrong.
    pub error_code: Option<String>,
    /// The last answer.
    pub response: Response<Body>,
}

impl Connection {
    /// `endpoint` without a slash at its end.
    pub fn new(endpoint: String, token: Option<String>) -> Self {
        let agent = http::agent(&endpoint).max_redirects(0).http_status_as_error(false).build().into();
        Self { endpoint, token, agent }
    }

    /// The hub's address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether requests carry a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for an address of the hub's, from byte `start` on. The error is the end of a sentence.
    pub fn ask(&self, method: &Method, url: &str, start: u64) -> Result<Answer, String> {
        let (mut url, mut commit, mut linked) = (url.to_owned(), None, None);
        for _ in 0..=MOST_REDIRECTIONS {
            let mut request = Request::builder().method(method.clone()).uri(&url);
            if start > 0 {
                request = request.header(RANGE, format!("bytes={start}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| self.is_own(&url)) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(()).map_err(|error| error.to_string())?;
            let response = self.agent.run(request).map_err(|error| http::explain(&error))?;
            let headers = response.headers();
            commit = commit.or_else(|| text(headers, "x-repo-commit"));
            linked = linked.or_else(|| text(headers, "x-linked-etag"));
            let status = response.status().as_u16();
            match text(headers, LOCATION.as_str()) {
                Some(location) if matches!(status, 301 | 302 | 303 | 307 | 308) => url = join(&url, &location)?,
                _ => {
                    let identity = linked.or_else(|| text(headers, ETAG.as_str())).map(|tag| bare(&tag));
                    let error_code = text(headers, "x-error-code");
                    return Ok(Answer { status, commit, identity, error_code, response });
                }
            }
        }
        Err(format!("the server redirects in circles, at last to {url}"))
    }

    /// Whether an address is on the hub's own host.
    fn is_own(&self, url: &str) -> bool {
        matches!((origin(url), origin(&self.endpoint)), (Some(one), Some(other)) if one == other)
    }
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<(String, String)> {
    let uri = url.parse::<Uri>().ok()?;
    Some((uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?.as_str().to_ascii_lowercase()))
}

/// Where a redirection from `url` leads.
fn join(url: &str, location: &str) -> Result<String, String> {
    let (scheme, authority) = origin(url).ok_or_else(|| format!("{url} is no address"))?;
    let target = if location.starts_with('/') && !location.starts_with("//") {
        format!("{scheme}://{authority}{location}")
    } else {
        location.to_owned()
    };
    match origin(&target) {
        Some((next, _)) if next == scheme || next == "https" => Ok(target),
        Some((next, _)) => Err(format!("the server redirects from {scheme} to {next}, which is not safe: {target}")),
        None => Err(format!("the server redirects to {location:?}, which is no address")),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `W/"abc"` → `abc`.
fn bare(tag: &str) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::test_server::{Reply, Server};

    #[test]
    fn what_is_said_on_the_way_counts_and_the_token_stays_at_home() {
        let elsewhere = Server::start(vec![Reply::ok("body").with("ETag", "\"other\"")]);
        let target = elsewhere.url("/file").replace("127.0.0.1", "localhost");
        let hub = Server::start(vec![
            Reply::redirect("/moved").with("X-Repo-Commit", "c0ffee"),
            Reply::redirect(&target).with("X-Linked-ETag", "W/\"abc\""),
        ]);
        let connection = Connection::new(hub.url(""), Some("secret".into()));
        let mut answer = connection.ask(&Method::GET, &hub.url("/a"), 7).unwrap();
        assert_eq!(
            (answer.status, answer.commit.as_deref(), answer.identity.as_deref()),
            (200, Some("c0ffee"), Some("abc"))
        );
        assert_eq!(answer.response.body_mut().read_to_string().unwrap(), "body");
        let asked = hub.requests();
        assert!(asked[0].starts_with("GET /a ") && asked[1].starts_with("GET /moved "), "{asked:?}");
        assert!(
            asked.iter().all(|request| request.to_lowercase().contains("authorization: bearer secret")),
            "{asked:?}"
        );
        let asked = elsewhere.requests().concat().to_lowercase();
        assert!(asked.contains("range: bytes=7-") && !asked.contains("secret"), "{asked}");
    }

    #[test]
    fn redirections_that_lead_nowhere_are_refused() {
        let ask = |replies| {
            let hub = Server::start(replies);
            Connection::new(hub.url(""), None).ask(&Method::GET, &hub.url("/a"), 0).unwrap_err()
        };
        assert!(ask((0..9).map(|_| Reply::redirect("/a")).collect()).contains("in circles"));
        assert!(ask(vec![Reply::redirect("nonsense")]).contains("no address"));
        assert!(ask(vec![Reply::redirect("ftp://host/x")]).contains("not safe"));
        assert!(join("https://a/x", "http://a/y").unwrap_err().contains("not safe"));
        assert_eq!(join("http://a/x", "https://b/y").unwrap(), "https://b/y");
    }
}
