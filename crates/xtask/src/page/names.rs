//! Names by content.
//!
//! Every file that the document leads to is called after the SHA-256 of what it holds, `page.js` → `page-0f3c….js`, and is mentioned by that
//! name. A cache, of the browser or on the way, can then never mix files of two builds, and may keep each for ever. Mentions are part of
//! the content, so a file is named after all that it mentions.

use std::collections::BTreeMap;

use super::{hexadecimal, sha256};
use crate::error::{Error, Result};

/// Files that are asked for by these names.
const FIXED: [&str; 3] = ["index.html", "sw.js", "manifest.webmanifest"];

/// Hexadecimal digits of a name: two builds that agree in 64 bits are not met.
const DIGITS: usize = 16;

/// Contents by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Renames files of one folder and follows their mentions.
pub fn by_content(mut files: Files) -> Result<Files> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut named = Files::new();
    while !files.is_empty() {
        let waits = |name: &str, content: &[u8]| {
            let others = files.keys().filter(|other| *other != name && !is_fixed(other));
            others.into_iter().any(|other| mentions(name, content, other))
        };
        let next = files.iter().find(|(name, content)| !waits(name, content)).map(|(name, _)| name.clone());
        let Some(name) = next else {
            let rest: Vec<_> = files.into_keys().collect();
            return Err(Error::Disagreement(format!("{} mention each other in a circle", rest.join(", "))));
        };
        let mut content = files.remove(&name).expect("found in it");
        if is_text(&name) {
            let text = String::from_utf8(content)
                .map_err(|_| Error::Disagreement(format!("{name}, a file of the page, is not UTF-8")))?;
            content = names.iter().fold(text, |text, (old, new)| follow(&text, old, new)).into_bytes();
        }
        let new = if is_fixed(&name) { name.clone() } else { name_of(&name, &content) };
        named.insert(new.clone(), content);
        names.insert(name, new);
    }
    Ok(named)
}

fn is_fixed(name: &str) -> bool {
    FIXED.contains(&name)
}

/// Whether it may mention others.
fn is_text(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, kind)| ["css", "html", "js", "webmanifest"].contains(&kind))
}

/// `page-0f3c….js` of `page.js`.
pub fn name_of(name: &str, content: &[u8]) -> String {
    let digest = hexadecimal(&sha256(content));
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    format!("{stem}-{}.{kind}", &digest[..DIGITS])
}

/// Whether a name says its file's content.
pub fn says_content(name: &str) -> bool {
    let digest = name.rsplit_once('.').and_then(|(stem, _)| Some(stem.rsplit_once('-')?.1));
    digest.is_some_and(|digest| digest.len() == DIGITS && digest.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn mentions(name: &str, content: &[u8], other: &str) -> bool {
    is_text(name) && std::str::from_utf8(content).is_ok_and(|text| follow(text, other, "") != text)
}

/// Replaces a file's name between quotes, also after `./`.
fn follow(text: &str, old: &str, new: &str) -> String {
    let mut text = text.to_owned();
    for quote in ['"', '\''] {
        for here in ["", "./"] {
            text = text.replace(&format!("{quote}{here}{old}{quote}"), &format!("{quote}{here}{new}{quote}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(name, content)| ((*name).into(), (*content).into())).collect()
    }

    fn page(wasm: &str) -> Files {
        files(&[
            ("index.html", "<script src=\"./start.js\"></script><link href='base.css'>"),
            ("start.js", "import('./page.js')"),
            ("page.js", "new URL('page_bg.wasm', import.meta.url)"),
            ("page_bg.wasm", wasm),
            ("base.css", "p { color: red }"),
        ])
    }

    #[test]
    fn names_follow_the_content_and_mentions_the_names() {
        let named = by_content(page("code")).unwrap();
        let name = |start: &str| named.keys().find(|name| name.starts_with(start)).unwrap().as_str();
        let text = |name: &str| std::str::from_utf8(&named[name]).unwrap();
        // echo -n code | sha256sum
        assert_eq!(name("page_bg"), "page_bg-5694d08a2e53ffca.wasm");
        assert_eq!(text(name("page-")), "new URL('page_bg-5694d08a2e53ffca.wasm', import.meta.url)");
        assert_eq!(text(name("start")), format!("import('./{}')", name("page-")));
        let document = format!("<script src=\"./{}\"></script><link href='{}'>", name("start"), name("base"));
        assert_eq!(text("index.html"), document);
    }

    #[test]
    fn a_change_renames_what_leads_to_it_and_nothing_else() {
        let (old, new) = (by_content(page("old")).unwrap(), by_content(page("new")).unwrap());
        let kept: Vec<_> = old.keys().filter(|name| new.contains_key(*name)).map(|name| &name[..4]).collect();
        assert_eq!(kept, ["base", "inde"]);
    }

    #[test]
    fn only_whole_quoted_names_are_mentions() {
        let text = "'page.js' \"./page.js\" 'page.jsx' 'a/page.js' page.js";
        assert_eq!(follow(text, "page.js", "p"), "'p' \"./p\" 'page.jsx' 'a/page.js' page.js");
    }

    #[test]
    fn a_circle_is_an_error() {
        let error = by_content(files(&[("a.js", "'b.js'"), ("b.js", "'a.js'")])).unwrap_err();
        assert_eq!(error.to_string(), "a.js, b.js mention each other in a circle");
    }
}
