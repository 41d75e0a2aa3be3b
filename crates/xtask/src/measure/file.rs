//! The files that the page reads: an entry per line, so that a change is seen.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// What the page checks before it believes anything.
pub const VERSION: u64 = 1;

/// Writes a file with these entries, and with those of the one before that are not among them, in the order of the `known` names. Returns how many.
pub fn update(path: &Path, about: &Value, known: &[&str], entries: Vec<Value>) -> Result<usize> {
    let problem = |source| Error::File { file: path.display().to_string(), source };
    let before = match fs::read_to_string(path) {
        Ok(text) => earlier(path, &text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(problem(error)),
    };
    let all = merged(known, entries, before);
    fs::create_dir_all(path.parent().expect("a file in a folder")).map_err(problem)?;
    fs::write(path, text(about, &all)).map_err(problem)?;
    Ok(all.len())
}

fn earlier(path: &Path, text: &str) -> Result<Vec<Value>> {
    let refused = |why: &str| {
        Err(Error::Usage(format!(
            "{} {why}: delete it, or check out the one of the repository, and repeat",
            path.display()
        )))
    };
    let Ok(mut content) = serde_json::from_str::<Value>(text) else { return refused("is no JSON") };
    match (content["version"].as_u64(), content["entries"].take()) {
        (Some(VERSION), Value::Array(entries)) => Ok(entries),
        // Entries of another form cannot be kept.
        _ => refused(&format!("is not of version {VERSION}")),
    }
}

fn merged(known: &[&str], new: Vec<Value>, before: Vec<Value>) -> Vec<Value> {
    let find = |name: &str| {
        let mut entries = new.iter().chain(&before);
        entries.find(|entry| entry["name"] == name).cloned()
    };
    known.iter().filter_map(|name| find(name)).collect()
}

fn text(about: &Value, entries: &[Value]) -> String {
    let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
    format!("{{\"version\":{VERSION},\"about\":{about},\"entries\":[\n{}\n]}}\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_that_are_not_measured_now_are_kept_in_order() {
        let entry = |name: &str, best: f64| json!({"name": name, "best": best});
        let before = vec![entry("b", 2.0), entry("gone", 9.0), entry("c", 3.0)];
        let all = merged(&["a", "b", "c", "d"], vec![entry("c", 3.5), entry("a", 1.0)], before);
        assert_eq!(all, [entry("a", 1.0), entry("b", 2.0), entry("c", 3.5)]);
        let written = text(&json!({"prompt": "A"}), &all);
        assert_eq!(earlier(Path::new("f"), &written).unwrap(), all);
        assert_eq!(written.lines().count(), 5, "{written}");
    }

    #[test]
    fn another_version_is_not_mixed_in() {
        for (content, why) in [("{\"version\":0,\"entries\":[]}", "is not of version 1"), ("{", "is no JSON")] {
            let message = earlier(Path::new("web/f.json"), content).unwrap_err().to_string();
            assert!(message.contains("web/f.json") && message.contains(why), "{message}");
        }
    }
}
