//! `_headers`: what a host is to send along, as Netlify and Cloudflare Pages read it. Where a host reads no such file, the README says the same.
//!
//! The document's own policy does not bind its workers, which are where everything is fetched: theirs is the one that their programs are sent with.

use super::names::says_content;
use crate::error::{Error, Result};

/// The file's name.
pub const FILE: &str = "_headers";

/// What only a header may say: nobody shows the page inside of another one.
const FRAMES: &str = "frame-ancestors 'none'";

/// For everything.
const ALWAYS: [(&str, &str); 4] = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
];

/// For what is named by its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The file, for a document and the names of the page's files.
pub fn file(document: &str, names: impl Iterator<Item = String>) -> Result<String> {
    let mut text = format!("/*\n  Content-Security-Policy: {}; {FRAMES}\n", policy(document)?);
    for (name, value) in ALWAYS {
        text += &format!("  {name}: {value}\n");
    }
    for name in names.filter(|name| says_content(name)) {
        text += &format!("/{name}\n  Cache-Control: {FOR_EVER}\n");
    }
    Ok(text)
}

/// The policy in a document's head.
fn policy(document: &str) -> Result<&str> {
    let meta = document.split_once("http-equiv=\"Content-Security-Policy\" content=\"").map(|(_, rest)| rest);
    let policy = meta.and_then(|rest| rest.split_once('"')).map(|(policy, _)| policy);
    policy.ok_or_else(|| Error::Disagreement("index.html has no Content-Security-Policy".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../index.html");

    #[test]
    fn only_what_is_named_by_its_content_is_kept_for_ever() {
        let names = ["index.html", "sw.js", "page-0123456789abcdef.js", "data/tinyshakespeare-0123456789abcdef.txt"];
        let text = file(DOCUMENT, names.map(Into::into).into_iter()).unwrap();
        let kept: Vec<_> = text.split("\n/").skip(1).map(|part| part.lines().next().unwrap()).collect();
        assert_eq!(kept, ["page-0123456789abcdef.js", "data/tinyshakespeare-0123456789abcdef.txt"]);
        assert_eq!(text.matches("immutable").count(), 2);
        assert!(file("<head></head>", std::iter::empty()).is_err());
    }

    /// `trunk serve` sends the same.
    #[test]
    fn trunk_sends_what_hosts_are_to_send() {
        let trunk = include_str!("../../../../Trunk.toml");
        let policy = format!("{}; {FRAMES}", policy(DOCUMENT).unwrap());
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        for (name, value) in ALWAYS.into_iter().chain([("Content-Security-Policy", policy.as_str())]) {
            assert!(trunk.contains(&format!("\"{name}\" = \"{value}\"")), "{name}");
        }
    }
}
