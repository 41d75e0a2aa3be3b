//! What the service worker (web/sw.js) must know of a build: its files with their SHA-256, and a version that is different whenever one of
//! them is.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{hexadecimal, sha256};

/// How the service worker of a page begins: by this a folder is known to be one of ours.
pub const MARKER: &str = "// The service worker of an Inkling page.\n";

/// A build's file list: name → integrity, as fetch() takes it.
#[derive(Default)]
pub struct Shell(BTreeMap<String, String>);

impl Shell {
    /// Adds a file of the page.
    pub fn add(&mut self, name: &str, content: &[u8]) {
        self.0.insert(name.into(), format!("sha256-{}", BASE64_STANDARD.encode(sha256(content))));
    }

    /// `program` with its constants in front. A change of the program alone is a version too.
    pub fn program(&self, program: &str) -> String {
        let files = serde_json::to_string_pretty(&self.0).expect("a map of texts");
        let version = &hexadecimal(&sha256(format!("{files}{program}").as_bytes()))[..16];
        format!("{MARKER}const VERSION = '{version}';\nconst FILES = {files};\n\n{program}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_what_fetch_checks_them_by() {
        let mut shell = Shell::default();
        shell.add("index.html", b"code");
        let text = shell.program("addEventListener('fetch', answer);\n");
        // echo -n code | openssl dgst -sha256 -binary | base64
        assert!(text.contains("\"index.html\": \"sha256-VpTQii5T/8rgwxA+Wtb2B2q9lg6x+KVldwQLwQKPcCs=\""), "{text}");
        assert!(
            text.ends_with(
                "};

addEventListener('fetch', answer);
"
            ),
            "{text}"
        );
    }

    #[test]
    fn any_change_is_another_version() {
        let version = |content: &[u8], program: &str| {
            let mut shell = Shell::default();
            shell.add("index.html", content);
            shell.program(program).lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(version(b"a", "p"), version(b"a", "p"));
        assert_ne!(version(b"a", "p"), version(b"b", "p"));
        assert_ne!(version(b"a", "p"), version(b"a", "q"));
    }
}
